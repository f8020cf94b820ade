"""A run's student: the same network, taught to walk its chain in a few calls.

    student/  recipe.yaml  run.json  ..  teacher.safetensors  checkpoints/step-0/

It begins with the teacher's weights, which stay beside it, at times that suit so few steps, and is trained,
resumed, sampled, evaluated and distilled again like any run.
"""

import shutil
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import torch
import yaml
from torch import Tensor

from undiffuse import tensorfile
from undiffuse.conditions import Given
from undiffuse.diffusion.bases import FILE
from undiffuse.enclosure import names
from undiffuse.files import folder as new_folder
from undiffuse.files import write_text
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import Distilled
from undiffuse.recipes.parts import RecipeError
from undiffuse.recipes.reading import override
from undiffuse.recipes.recipe import Recipe
from undiffuse.runs.begin import GIVEN, absolute, check_empty, first_checkpoint
from undiffuse.runs.datafiles import LIST
from undiffuse.runs.run import Run
from undiffuse.samplers import DDIM, DPMSolverPP, check_tuned
from undiffuse.schedules.grids import invert
from undiffuse.track import SILENT, Track
from undiffuse.training import checkpoint

TEACHER = "teacher.safetensors"
STEPS = 1000  # of training, unless told
OWN = ("train", "objective", "evaluate_terms", "about", "seed")
RATE = 0.25  # of the teacher's learning rate: it begins where that ended


def begin_student(
    run: Run, out: str | Path, steps: int = 4, changes: Sequence[str] = (), *, track: Track = SILENT
) -> Path:
    """Make the student's folder, at step 0, complete or not at all; `changes` are overrides of its recipe.

    Raises ValueError for a run whose steps cannot be held together (symbols, learned variances, no data),
    fewer than two steps, and FileExistsError for a folder in use.
    """
    out = Path(out)
    check_empty(out)
    check_teacher(run)
    check_tuned(run.model, DDIM(), steps)
    student_recipe(run, run.thinned(steps), changes)  # before anything takes long
    plan = student_recipe(run, run.tuned(steps, DDIM(), track=track).grid, changes)
    start, settings = first_checkpoint(plan, run.denoiser), plan["train"].build()
    with new_folder(out) as temporary:
        write_text(temporary / "recipe.yaml", yaml.safe_dump(plan.describe(), sort_keys=False))
        for name in {"run.json", LIST, FILE, *GIVEN} & set(names(run.folder)):
            shutil.copy(run.folder / name, temporary / name)
        tensorfile.write(temporary / TEACHER, start.weights)
        checkpoint.save(temporary / "checkpoints", start, settings.keep)
    return out


def student_recipe(run: Run, chain: Tensor, changes: Sequence[str]) -> Recipe:
    """The teacher's recipe on this chain, for a short training by it."""
    node = run.recipe.describe()
    about = f"distilled from {run.folder.absolute().name}, {len(run.grid)} steps"
    node |= {"grid": {"kind": "times", "times": chain.tolist()}, "sampler": "ddim", "about": about}
    node |= {"objective": {"kind": "distilled"}, "evaluate_terms": None}
    node["train"] |= {"steps": STEPS, "lr": RATE * node["train"]["lr"], "watch": 0.0, "patience": 0}
    node["train"] |= {"evaluate_every": 0, "sample_every": 0, "sample_steps": len(chain)}
    for change in changes:
        if change.partition("=")[0].partition(".")[0] not in OWN:
            raise RecipeError(f"{change}: a student has its own {', '.join(OWN)}; the teacher says the rest")
    plan = Recipe(absolute(override(node, list(changes))))
    if not isinstance(plan.objective(run.model.kernel), Distilled):
        raise RecipeError("objective.kind: a student's is distilled")
    return plan


def check_teacher(run: Run) -> None:
    """Raise ValueError for a run that has no student."""
    if not isinstance(run.model.kernel, Gaussian):
        kind = type(run.model.kernel).__name__
        raise ValueError(f"{run.folder}: a {kind} kernel is of symbols, whose steps are draws; none is held")
    if run.denoiser.variance.learned:
        raise ValueError(
            f"{run.folder}: has learned its variances, which no student does; few steps: undiffuse solvers"
        )
    if run.recipe["data"] is None:
        raise ValueError(f"{run.folder}: has no data to be taught on; name them where it is imported")


class Taught:
    """The teacher beside a student's run: as it was when that began."""

    def __init__(self, folder: Path, student: Denoiser) -> None:
        self.model = deepcopy(student).eval().requires_grad_(False)
        own = dict(self.model.named_parameters())
        found = tensorfile.read(folder / TEACHER)
        if found.keys() != own.keys() or any(found[name].shape != p.shape for name, p in own.items()):
            raise ValueError(f"{folder / TEACHER}: not the weights of the model in {folder / 'recipe.yaml'}")
        for name, p in own.items():
            p.copy_(found[name])

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor | None, given: Given | None, steps: int) -> Tensor:
        """x_s by so many steps of DPM-Solver++ 2M, even in log-SNR; x_0-hat for no s."""
        model = self.model.told(given)
        if s is None:
            return model.predict(x_t, t)
        kernel, solver, none = model.kernel, DPMSolverPP(2), torch.Generator()
        assert isinstance(kernel, Gaussian)
        top, bottom = (float(kernel.schedule.logsnr(r)) for r in (s, t))
        times = invert(kernel.schedule, torch.linspace(max(bottom, -15.0), top, steps + 1).double())
        times[0], times[-1] = t, s
        state = solver.init()
        for a, b in pairwise(times):
            x_t, state = solver.step(model, x_t, a, b, state, none)
        return x_t
