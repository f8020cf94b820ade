"""What a run's samplers of few steps are worth: distance from held-out data, beside the whole chain's.

A solver without noise stops at times that are chosen for it and the number of its steps (`samplers.Tuner`);
any other at even distances along the chain. All draw samples of the same seed. What was measured is kept as
it comes, so that a rerun goes on, and asks only for what is new.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from undiffuse import plots
from undiffuse.diffusion.walks import Walks
from undiffuse.estimate import Estimate
from undiffuse.kernels import Absorbing, Gaussian
from undiffuse.metrics import extract, frechet, sliced_wasserstein
from undiffuse.random import keyed
from undiffuse.recipes import sampler_of
from undiffuse.reports.distances import Contest, drawn, unit_batches
from undiffuse.runs.run import Run
from undiffuse.runs.walking import store, stored, walks_of
from undiffuse.samplers import Sampler, check_tuned
from undiffuse.samplers.tuned import ROWS, USUAL
from undiffuse.track import SILENT, Track

STEPS = (8, 10, 15, 20, 30, 50)
NUMBERS = ("unipc order=3", "dpm-solver++ order=2 tau=1", "ddim")
MASKS, SYMBOLS = ("counted", "ancestral"), ("ancestral",)
CHOOSING = USUAL * ROWS  # samples that choosing times is as much work as


@dataclass
class Job:
    """What is measured: walks of these samplers and numbers of steps, by so many samples of a seed."""

    run: Run
    fixed: Contest
    samples: int
    seed: int
    samplers: Sequence[str]
    steps: Sequence[int]
    kept: Callable[[dict[str, Any]], object] = lambda found: None
    found: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.head = {"samples": self.samples, "seed": self.seed, "features": self.fixed.extractor.title}
        for name, steps in self.pairs():
            solver = sampler_of(name)
            solver.check(self.run.model)
            if solver.deterministic:
                check_tuned(self.run.model, solver, steps)
            self.run.thinned(steps)
        before = stored(self.run) or {}
        if all(before.get(name) == value for name, value in self.head.items()):
            self.found = {name: before[name] for name in ("walks", "chain", "training")}
        self.found = {**self.head, "walks": [], "chain": None, **self.found}

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Every sampler with every number of steps."""
        return ((name, steps) for steps in self.steps for name in self.samplers)

    def measure(self, track: Track = SILENT) -> Walks:
        """What is missing, the whole chain last, each kept as soon as it is there."""
        missing = [pair for pair in self.pairs() if pair not in self._there()]
        weights = [steps * sum(self._work(sampler_of(name))) for name, steps in missing]
        *parts, last = track.split(
            *weights, len(self.run.grid) * self.samples * (self.found["chain"] is None)
        )
        test = self._features(self.fixed.test)
        if "training" not in self.found:
            self.found["training"] = self._distances(self._features(self.fixed.training), test)
        for (name, steps), part in zip(missing, parts, strict=True):
            self.found["walks"].append(self._walk(name, steps, test, part))
            self.found["walks"].sort(key=lambda walk: (len(walk["times"]), walk["sampler"]))
            self.kept(self.found)
        if self.found["chain"] is None:
            self.found["chain"] = self._drawn(self.run, own_sampler(self.run), test, last)
            self.kept(self.found)
        return walks_of(self.found)

    def _there(self) -> set[tuple[str, int]]:
        return {(walk["sampler"], walk["asked"]) for walk in self.found["walks"]}

    def _walk(self, name: str, steps: int, test: Tensor, track: Track) -> dict[str, Any]:
        """One walk, on times that suit it."""
        solver = sampler_of(name)
        choose, draw = track.split(*self._work(solver))
        if solver.deterministic:
            run = self.run.tuned(steps, solver, self.seed, track=choose)
        else:
            run = self.run.replace(chain=self.run.thinned(steps), sampler=solver)
        return {**self._drawn(run, name, test, draw), "asked": steps}

    def _work(self, solver: Sampler) -> tuple[int, int]:
        """Samples that choosing the times takes, and drawing."""
        return CHOOSING if solver.deterministic else 0, self.samples

    def _drawn(self, run: Run, name: str, test: Tensor, track: Track) -> dict[str, Any]:
        raw = drawn(run, self.samples, self.seed, track=track)
        features = extract(self.fixed.extractor, (self.fixed.unit_samples(x) for x in raw))
        return {"sampler": name, "times": run.grid.tolist(), **self._distances(features, test)}

    def _features(self, raw: Tensor) -> Tensor:
        return extract(self.fixed.extractor, unit_batches(self.fixed, raw, SILENT))

    def _distances(self, features: Tensor, test: Tensor) -> dict[str, list[float]]:
        generator = keyed(self.seed, "solvers", "directions")
        sliced = sliced_wasserstein(features, test, generator=generator)
        return {"frechet": _pair(frechet(features, test)), "sliced": _pair(sliced)}


def own_sampler(run: Run) -> str:
    """The words of the recipe's own sampler."""
    kind, *rest = run.recipe.describe()["sampler"].items()
    return " ".join([str(kind[1]), *(f"{name}={value}" for name, value in rest)])


def usual_samplers(run: Run) -> Sequence[str]:
    """Those that are measured unless told."""
    if isinstance(run.model.kernel, Absorbing):
        return MASKS
    return NUMBERS if isinstance(run.model.kernel, Gaussian) else SYMBOLS


def solver_rows(found: Walks) -> Iterator[tuple[str, str, str, str]]:
    """Steps, sampler, Fréchet and sliced Wasserstein distance, the chain and the training data last."""
    for walk in (*found.walks, found.chain):
        yield f"{walk.steps:,}", walk.name, _said(walk.frechet), _said(walk.sliced)
    gaussians, sliced = found.training
    yield "", "training examples", _said(gaussians), _said(sliced)


def save_solvers(run: Run, job: Job, found: Walks, folder: Path) -> list[Path]:
    """solvers.json, which the run's samples are drawn by from then on, and solvers.png."""
    picture = folder / "solvers.png"
    curves = {
        name: [(w.steps, w.frechet.mean, w.frechet.se) for w in found.walks if w.name == name]
        for name in dict.fromkeys(walk.name for walk in found.walks)
    }
    plots.save_distances(
        curves,
        picture,
        chain=(found.chain.steps, found.chain.frechet.mean, found.chain.frechet.se),
        training=found.training[0].mean,
        measure=f"Fréchet distance, {found.features}",
    )
    return [store(run, folder, job.found), picture]


def _pair(value: Estimate) -> list[float]:
    return [value.mean, value.se]


def _said(value: Estimate) -> str:
    return f"{value.mean:.4g} +- {value.se:.2g}"
