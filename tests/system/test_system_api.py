"""The names that the design promises, and a run in Python."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import undiffuse
from undiffuse.recipes import load_data
from undiffuse.training import checkpoint


def test_promised_names():
    schedule = undiffuse.schedules.Cosine()
    kernel = undiffuse.kernels.Gaussian(schedule)
    for name in ("Linear", "Cosine", "Quadratic", "Sigmoid", "Betas"):
        assert issubclass(getattr(undiffuse.schedules, name), undiffuse.schedules.Schedule)
    for name in ("Eps", "X0", "V", "Mean", "Posterior", "Forward", "Interpolated", "Free"):
        assert isinstance(getattr(undiffuse.parameterizations, name), type)
    network = undiffuse.networks.MLP((3,), hidden=8, layers=1)
    model = undiffuse.Denoiser(
        network,
        kernel,
        parameterization=undiffuse.parameterizations.X0(),
        variance=undiffuse.parameterizations.Forward(),
        decoder=undiffuse.parameterizations.NormalDecoder(),
    )
    assert isinstance(model, undiffuse.ReverseProcess)
    grid, generator = undiffuse.schedules.grids.uniform(5), torch.Generator()
    bound = undiffuse.bounds.nelbo(model, torch.zeros(4, 3), grid=grid, generator=generator)
    assert [tuple(t.shape) for t in (bound.prior, bound.steps, bound.decode, bound.total)] == [
        (4,), (4, 4), (4,), (4,)]  # fmt: skip
    sampler = undiffuse.samplers.DDIM()
    x_0 = undiffuse.samplers.sample(model, (2, 3), sampler=sampler, grid=grid, generator=generator)
    assert x_0.shape == (2, 3)


def test_everything_listed_is_there():
    for name in dir(undiffuse):
        assert getattr(undiffuse, name) is not None
    with pytest.raises(AttributeError, match="no part called 'nothing'; it has: Denoiser"):
        _ = undiffuse.nothing


def test_a_run_in_python(runs: Path):
    run = undiffuse.load(str(runs / "digits"))
    assert isinstance(run, undiffuse.Run)
    assert (run.shape, run.levels, run.step, run.folder) == ((1, 8, 8), 17, 6, runs / "digits")
    assert run.recipe["train"].arguments["steps"] == 6
    assert not run.model.training
    assert not any(p.requires_grad for p in run.model.parameters())
    data = load_data(run.recipe).test[:3]
    assert torch.equal(run.space.decode(run.space.encode(data)), data)
    assert run.bits(data).shape == (3,)


def test_the_average_is_what_is_loaded(runs: Path):
    saved = undiffuse.training.checkpoint.load(runs / "points/checkpoints/step-00000006")
    loaded = dict(undiffuse.load(runs / "points").model.named_parameters())
    assert all(torch.equal(loaded[name], saved.average[name]) for name in loaded)
    assert not all(torch.equal(loaded[name], saved.weights[name]) for name in loaded)


@pytest.mark.parametrize("kind", ["points", "pictures"])
def test_a_sample_of_a_seed_is_one_thing(runs: Path, kind: str):
    run = undiffuse.load(runs / kind)
    every = run.sample(40, seed=3)
    assert torch.equal(run.sample(1, seed=3), every[:1])
    assert torch.equal(run.sample(5, seed=3, first=30), every[30:35])
    assert not torch.equal(run.sample(1, seed=4), every[:1])
    with pytest.raises(ValueError, match="n=0"):
        run.sample(0)


def test_nothing_touches_the_global_generator(runs: Path):
    before = torch.get_rng_state()
    run = undiffuse.load(runs / "points")
    run.sample(2)
    run.bits(run.sample(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_training_in_python_touches_it_neither(tmp_path: Path):
    from shell import POINTS, train

    before = torch.get_rng_state()
    train(tmp_path / "run", POINTS)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_lowers_the_bound(tmp_path: Path):
    from shell import POINTS, train

    runs = [train(tmp_path / str(n), POINTS, f"train.steps={n}", "train.lr=0.01", "train.ema=0.9",
                  "kernel.schedule.first=4") for n in (1, 150)]  # fmt: skip
    first, last = (undiffuse.load(run) for run in runs)
    data = load_data(first.recipe).test
    assert last.bits(data).mean() < first.bits(data).mean() - 0.3


@pytest.mark.parametrize("place", ["verify", "_load"])
def test_a_run_is_loaded_while_its_checkpoints_come_and_go(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, place: str
):
    """A writer with keep=1 removes what is read, twice; a checkpoint that is damaged stays an error."""
    run, step = copy("points"), 7
    root, real = run / "checkpoints", getattr(checkpoint, place)
    newest = checkpoint.load(checkpoint.latest(root))

    def hindered(path: Path, *more: object, **named: object) -> object:
        nonlocal step
        if step < 9:
            checkpoint.save(root, replace(newest, step=step), keep=1)
            step += 1
        return real(path, *more, **named)

    monkeypatch.setattr(checkpoint, place, hindered)
    loaded = undiffuse.load(run)
    assert loaded.step == 8 and [p.name for p in checkpoint.steps(root)] == ["step-00000008"]
    (root / "step-00000008" / "average.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"average\.safetensors: damaged"):
        undiffuse.load(run)
