"""The bound over a whole data set: mean, standard error and every term, in bits per dimension."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from undiffuse import terms as bound
from undiffuse.bounds.drawing import Drawing
from undiffuse.bounds.nelbo import Nelbo, averaged, calls, nelbo
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.model import ReverseProcess
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Generator
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The bound over `examples` examples; everything in bits per dimension.

    `total` = prior + steps + decode; prior + steps is the `rate`, what a receiver is sent before x_0 itself:
    L_1 + .. + L_T in Ho et al. (2020), and decode their L_0. `null` is -log2 pi(x_0), what the data cost
    under the chain's prior alone, and `gain` how far `total` lies below it. `k` is the 2015 paper's bound on
    log2 p, with its fixed last step; `k_gain` = k + null is its K - L_null. `k_entropies` is k by the paper's
    eq. 14, which needs `excess`, null less the entropy of pi, to be zero. `per_step[i]` leaves grid[i + 1];
    `terms` of these steps were computed for each example. `beside` has what other densities make of the same
    examples, by name, and how far `total` lies above it, example by example. `untold` is the total of the
    same model on the same noise where nothing is told, and `worth` how far it lies above `total`. Of several
    `rounds`, each with draws of its own, all of this is the mean, and `noise` the standard error that the
    draws leave in the total of these very examples.
    """

    examples: int
    terms: int
    total: Estimate
    rate: Estimate
    gain: Estimate
    prior: Estimate
    steps: Estimate
    decode: Estimate
    null: Estimate
    k: Estimate
    k_gain: Estimate
    k_entropies: Estimate
    excess: Estimate
    grid: Tensor  # (T,)
    per_step: Tensor  # (T - 1,)
    per_step_se: Tensor  # (T - 1,)
    beside: dict[str, tuple[Estimate, Estimate]] = field(default_factory=dict)
    untold: Estimate | None = None
    worth: Estimate | None = None
    rounds: int = 1
    noise: float | None = None

    def __repr__(self) -> str:
        """One line; `summary` has all of it."""
        return (
            f"{self.total} bits per dimension of x_0 ({self.examples:,} examples, {len(self.grid):,} steps)"
        )

    @property
    def calls(self) -> int:
        """Network calls for each example."""
        return self.rounds * (self.terms + 1)


class Beside(Protocol):
    """Other densities, by name, of the examples that a model is evaluated on."""

    names: list[str]

    def __call__(self, x_0: Tensor, generator: Generator) -> Tensor:
        """-log p of x_0 (B, *shape) by each of them, (B, names), in nats."""


@dataclass(frozen=True, eq=False)
class Partial:
    """What has been gathered of the first `done` examples: enough to go on, to the last bit."""

    scalars: Moments = field(default_factory=Moments)
    steps: Moments = field(default_factory=Moments)

    @property
    def done(self) -> int:
        """Examples."""
        return self.scalars.count


def blocks(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    terms: int | None = None,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    done: int = 0,
    track: Track = SILENT,
) -> Iterator[tuple[Tensor, Nelbo]]:
    """(x_0, bound) of the data (N, *shape) from row `done` on, block by block; `encode` makes x_0 of rows."""
    parts = Streamed(model, data, seed, "nelbo", encode, block, grid, done)
    for (given, x_0, count, streams), inner in track.over(parts):
        part = nelbo(given, x_0, grid=grid, generator=streams, terms=terms, track=inner)
        yield x_0[:count], part.first(count)


def evaluate(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    terms: int | None = None,
    rounds: int = 1,
    drawing: Drawing | None = None,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
    partial: Partial | None = None,
    kept: Callable[[Partial], object] = lambda partial: None,
    processes: Processes = ALONE,
    beside: Beside | None = None,
    untold: ReverseProcess | None = None,
) -> Report:
    """The report over the data (N, *shape), N >= 2. Raises ValueError for fewer examples, or rounds below 1.

    `kept` is called with what is gathered so far after every block; handed in as `partial`, it is gone on
    from. The blocks are divided among the `processes`, all of which return the same report. `untold` is the
    model of which `worth` is a difference, if that is asked for.
    """
    check_examples(data)
    scale, now = 1 / (dims(tuple(data.shape[1:])) * math.log(2)), partial or Partial()
    parts = Streamed(model, data, seed, "nelbo", encode, block, grid, now.done, processes)
    plain = (
        None if untold is None else Streamed(untold, data, seed, "nelbo", encode, parts.size, grid, now.done)
    )
    tracks = track.part(now.done, len(data), len(data)).split(*[1] * len(parts))

    how: dict[str, Any] = {"grid": grid, "terms": terms, "rounds": rounds, "drawing": drawing}

    def work(number: int) -> Tensor:
        given, x_0, _, streams = parts[number]
        looks = tracks[number].split(*[1] * (1 if plain is None else 2))
        part, noise = averaged(given, x_0, generator=streams, track=looks[0], **how)
        others = part.total.new_zeros(len(x_0), 0) if beside is None else beside(x_0, streams)
        columns = [*_columns(model, x_0, part), *others.T, *(part.total - each for each in others.T)]
        if plain is not None:
            other, same, _, again = plain[number]
            total = averaged(other, same, generator=again, track=looks[1], **how)[0].total
            columns += [total, total - part.total]
        return torch.cat([torch.stack([*columns, noise * scale], 1), part.steps], 1) * scale

    names = [] if beside is None else beside.names
    columns = len(COLUMNS) + 2 * len(names) + (0 if untold is None else 2) + 1
    for number, rows in enumerate(processes.spread(work, len(parts))):
        rows = rows[: parts.counted(number)]
        now.scalars.add(rows[:, :columns])
        now.steps.add(rows[:, columns:])
        kept(now)
    (*scalars, noise), steps = now.scalars.estimates(), now.steps
    named, others = dict(zip(COLUMNS, scalars, strict=False)), scalars[len(COLUMNS) :]
    return Report(
        examples=len(data),
        terms=calls(grid, terms) - 1,
        grid=grid,
        per_step=steps.mean,
        per_step_se=steps.se,
        beside={name: (others[i], others[len(names) + i]) for i, name in enumerate(names)},
        untold=None if untold is None else others[-2],
        worth=None if untold is None else others[-1],
        rounds=rounds,
        noise=None if rounds == 1 else (noise.mean / len(data)) ** 0.5,
        **named,
    )


COLUMNS = (
    "total",
    "rate",
    "gain",
    "prior",
    "steps",
    "decode",
    "null",
    "k",
    "k_gain",
    "k_entropies",
    "excess",
)


def _columns(model: ReverseProcess, x_0: Tensor, part: Nelbo) -> list[Tensor]:
    """What `COLUMNS` are, (B,) each."""
    null = fetched(bound.null(model, x_0))
    excess = null - fetched(bound.prior_entropy(model, x_0))
    steps = part.steps.sum(1)
    parts = [part.total, part.prior + steps, null - part.total, part.prior, steps, part.decode]
    return [*parts, null, part.k, part.k + null, part.k_entropies, excess]
