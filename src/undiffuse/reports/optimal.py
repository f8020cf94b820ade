"""A run's bound with the best fixed variance of every step (Bao et al. 2022), beside its own."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse.bounds import blocks, check_fixed, optimal_variance, widened
from undiffuse.diffusion.evaluation import Row
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.files import write_csv, write_json
from undiffuse.kernels import Gaussian
from undiffuse.parameterizations import Table
from undiffuse.runs.run import Run
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track


@dataclass(frozen=True, eq=False)
class Compared:
    """The bound on `examples` examples, in bits per dimension of raw units, with two variances.

    `gain` = own - best, example by example with the same noise; the table is of `fitted` other examples.
    """

    examples: int
    fitted: int
    table: Table
    own: Estimate
    best: Estimate
    gain: Estimate

    def rows(self, name: str) -> Iterator[Row]:
        """The two bounds and their difference; `name` is of the run's own variance."""
        named = {f"variance={name}": self.own, "optimal variance": self.best, "lower by": self.gain}
        for each, value in named.items():
            yield Row(each, value.mean, value.se, "bits/dim")


def fit_variance(
    run: Run,
    raw: Tensor,
    seed: int = 0,
    *,
    steps: int | None = None,
    track: Track = SILENT,
) -> Table:
    """The best variance of every step for raw training examples. Raises ValueError as `optimal_variance`."""
    run.check(raw)
    return optimal_variance(
        run.denoiser, raw, grid=run.thinned(steps), seed=seed, encode=run.space.encode, track=track
    )


def compare_variance(
    run: Run,
    table: Table,
    fitted: int,
    raw: Tensor,
    seed: int = 0,
    *,
    terms: int | None = None,
    track: Track = SILENT,
) -> Compared:
    """The bound on raw examples with the table of `fitted` examples, and with the run's own variance."""
    run.check(raw)
    check_examples(raw)
    how: dict[str, Any] = {"grid": table.grid, "seed": seed, "terms": terms, "encode": run.space.encode}
    pair = blocks(run.model, raw, **how, track=track), blocks(widened(run.denoiser, table), raw, **how)
    scale, bits = 1 / (dims(run.shape) * math.log(2)), Moments()
    for (_, ours), (_, its) in zip(*pair, strict=True):
        bits.add(torch.stack([ours.total, its.total, ours.total - its.total], 1) * scale)
    own, best, gain = bits.estimates()
    return Compared(len(raw), fitted, table, own - run.shift, best - run.shift, gain)


def check_variance(run: Run, steps: int | None) -> None:
    """Raise ValueError unless the run has variances to be chosen, on a chain of two steps or more."""
    check_fixed(run.denoiser)
    if len(run.thinned(steps)) < 2:
        raise ValueError(f"steps={steps}: variances are of a chain of at least two steps")


def save_variance(run: Run, found: Compared, folder: Path, split: str) -> list[Path]:
    """optimal-variance-SPLIT.csv, every step between beta-tilde and beta, and the bounds as JSON."""
    kernel, grid = run.model.kernel, found.table.grid
    assert isinstance(kernel, Gaussian)
    table, numbers = (folder / f"optimal-variance-{split}.{kind}" for kind in ("csv", "json"))
    c = kernel.coefficients(grid[:-1], grid[1:])
    columns = (grid[1:], grid[:-1], c.var, found.table.values[1:], c.beta)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_csv(table, ("t", "s", "beta_tilde", "variance", "beta"), rows)
    facts = {"examples": found.examples, "fitted": found.fitted, "chain_steps": len(grid)}
    facts |= {"training_steps": run.step}
    write_json(numbers, facts | {"rows": [asdict(row) for row in found.rows(variance_name(run))]})
    return [table, numbers]


def variance_name(run: Run) -> str:
    """The run's own variance, as recipes call it."""
    return type(run.denoiser.variance).__name__.lower()
