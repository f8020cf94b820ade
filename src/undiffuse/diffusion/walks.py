"""Walks of few steps that were measured for a model: with which solver, at which times, and how good."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from undiffuse.estimate import Estimate
from undiffuse.samplers import Sampler

ALL = "all"
Steps = int | Literal["all"] | None  # of a chain: so many, or all


@dataclass(frozen=True, eq=False)
class Walk:
    """A sampler, by `name` too, the times `grid` (steps,) that it stops at, and its samples' distances."""

    name: str
    sampler: Sampler
    grid: Tensor
    frechet: Estimate
    sliced: Estimate

    @property
    def steps(self) -> int:
        """Network calls for each sample."""
        return len(self.grid)

    def __str__(self) -> str:
        """In words."""
        return f"{self.steps} steps of {self.name}"


@dataclass(frozen=True, eq=False)
class Walks:
    """The walks, the whole `chain` beside them, and as many `training` examples in the samples' place."""

    walks: Sequence[Walk]
    chain: Walk
    training: tuple[Estimate, Estimate]
    samples: int
    features: str

    def of(self, steps: int) -> Walk | None:
        """The best of so many steps, if one was measured."""
        return min((w for w in self.walks if w.steps == steps), key=lambda w: w.frechet.mean, default=None)

    @property
    def shortest(self) -> Walk | None:
        """That of the fewest steps whose Fréchet distance is within one standard error of the chain's."""
        most = self.chain.frechet.mean + self.chain.frechet.se
        good = [walk for walk in self.walks if walk.frechet.mean <= most]
        return min(good, key=lambda walk: (walk.steps, walk.frechet.mean), default=None)

    def said(self, walk: Walk | None) -> str:
        """One line on a walk; without one, that none is as good as the chain."""
        chain = self.chain
        if walk is None:
            return f"no walk is as good as the whole chain of {chain.steps:,} steps"
        return (
            f"{walk}, at times chosen for this run: Fréchet distance {walk.frechet.mean:.4g} +- "
            f"{walk.frechet.se:.2g} of {self.samples:,} samples, {chain.frechet.mean:.4g} with all "
            f"{chain.steps:,} steps (--steps all)"
        )
