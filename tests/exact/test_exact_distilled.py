"""Distillation: what a student is to predict, against where a teacher goes, and where flows lead."""

from itertools import pairwise

import pytest
import torch

from oracles import GaussianDenoiser, f64, normals
from undiffuse import tensorfile
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import MLP
from undiffuse.objectives import Distilled
from undiffuse.parameterizations import X0, V
from undiffuse.random import keyed
from undiffuse.runs.distilling import TEACHER, Taught
from undiffuse.samplers import DDIM
from undiffuse.schedules import LogLinear, grids

KERNEL = Gaussian(LogLinear(5, -7))
GRID = grids.logsnr(KERNEL.schedule, 4, 1e-3)
EXACT = Denoiser(GaussianDenoiser(KERNEL, f64(0.4, -0.2), f64(0.3, 0.05)), KERNEL, X0())


def taught(tmp_path, model: Denoiser) -> Taught:
    tensorfile.write(tmp_path / TEACHER, {name: p.detach() for name, p in model.named_parameters()})
    return Taught(tmp_path, model)


def test_one_step_of_what_is_aimed_at_goes_where_the_teacher_goes():
    """A student that says x~ arrives there by DDIM; the teacher is any map."""
    objective = Distilled(grid=GRID)
    objective.teacher = lambda x, t, s, given, steps: torch.sin(3 * x) + float(t)
    x = normals(20, 2)
    for i in (1, 2, 3):
        aim = objective.aim(EXACT, x, i)
        student = Denoiser(lambda x, t, aim=aim: aim, KERNEL, X0())
        found, _ = DDIM().step(student, x, GRID[i], GRID[i - 1], DDIM().init(), keyed(0))
        torch.testing.assert_close(found, torch.sin(3 * x) + float(GRID[i]))
    torch.testing.assert_close(objective.aim(EXACT, x, 0), torch.sin(3 * x) + float(GRID[0]))


def test_a_teacher_of_many_steps_walks_the_flow(tmp_path):
    """Of normal data, which it only scales: second order in the number of its steps."""
    teacher, x, errors = taught(tmp_path, EXACT), normals(9, 2), []
    mean, var = f64(0.4, -0.2), f64(0.3, 0.05)
    for steps in (16, 32):
        worst = 0.0
        for s, t in pairwise(GRID):
            (a_t, s_t), (a_s, s_s) = (KERNEL.alpha_sigma(r) for r in (t, s))
            scale = ((a_s**2 * var + s_s**2) / (a_t**2 * var + s_t**2)).sqrt()
            exact = a_s * mean + scale * (x - a_t * mean)
            worst = max(worst, float((teacher(x, t, s, None, steps) - exact).abs().max()))
        errors.append(worst)
    assert errors[1] < 5e-3 and 1.7 < torch.tensor(errors[0] / errors[1]).log2() < 2.4
    torch.testing.assert_close(teacher(x, GRID[0], None, None, 3), EXACT.predict(x, GRID[0]))


def test_a_student_that_is_its_teacher_of_one_step_has_nothing_to_learn(tmp_path):
    torch.manual_seed(0)
    model = Denoiser(MLP((2,), hidden=8, layers=1), KERNEL, V()).double()
    for p in model.parameters():  # whose last layer begins at zero
        torch.nn.init.normal_(p, std=0.3)
    for substeps, same in ((1, True), (4, False)):
        objective = Distilled(substeps=substeps, grid=GRID)
        (tmp_path / str(substeps)).mkdir()
        objective.teacher = taught(tmp_path / str(substeps), model)
        loss = objective(model, normals(40, 2), keyed(1))
        assert loss.shape == (40,) and bool((loss < 1e-12).all()) == same
    loss.mean().backward()
    assert all(p.grad is None for p in objective.teacher.model.parameters())


def test_a_flow_is_learned():
    """Two steps of a student, taught by the exact model of points, lead where the flow does."""
    point = f64(0.3, -0.5)
    model = Denoiser(GaussianDenoiser(KERNEL, point, f64(0.0, 0.0)), KERNEL, X0())
    objective = Distilled(grid=GRID[[0, 2, 3]], substeps=6)
    with pytest.raises(ValueError, match=r"has no teacher; begin it with undiffuse distill"):
        objective(model, normals(3, 2), keyed(0))
    objective.teacher = lambda x, t, s, given, steps: point if s is None else x * 0 + walked(x, t, s)

    def walked(x, t, s):
        (a_t, s_t), (a_s, s_s) = (KERNEL.alpha_sigma(r) for r in (t, s))
        return a_s * point + s_s / s_t * (x - a_t * point)

    assert (objective(model, point.expand(30, 2), keyed(0)) < 1e-10).all()


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="substeps=0: a teacher walks one step"):
        Distilled(substeps=0, grid=GRID)
    for grid in (None, grids.uniform(1)):
        with pytest.raises(ValueError, match="a student needs a grid of at least two times"):
            Distilled(grid=grid)
    other = Denoiser(MLP((2,), hidden=9, layers=1), KERNEL, V())
    taught(tmp_path, other)
    with pytest.raises(ValueError, match=r"teacher\.safetensors: not the weights of the model"):
        Taught(tmp_path, Denoiser(MLP((2,), hidden=8, layers=1), KERNEL, V()))
