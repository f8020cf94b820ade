"""The bound over a whole data set: mean, standard error and every term, in bits per dimension.

Examples are computed in blocks of fixed size, each with its own noise stream, so the bound of example i
depends on the seed and on i alone. Memory grows neither with the chain nor with the data.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.bounds.nelbo import Nelbo, calls, nelbo
from undiffuse.model import ReverseProcess
from undiffuse.random import Streams
from undiffuse.tensors import dims, micro_batch, total


@dataclass(frozen=True)
class Estimate:
    """A mean over examples and its standard error."""

    mean: float
    se: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.se:.4f}"


@dataclass(frozen=True, eq=False)
class Report:
    """The bound over `examples` examples; everything in bits per dimension but where it says else.

    `total` = prior + steps + decode; `gain` is how far it lies below the isotropic Gaussian N(0, I) fitted to
    x_0 (K - L_null of the 2015 paper; times the channels it is per pixel). `per_step[i]` leaves the latent
    time grid[i + 1].
    """

    examples: int
    total: Estimate
    gain: Estimate
    prior: Estimate
    steps: Estimate
    decode: Estimate
    grid: Tensor  # (T,)
    per_step: Tensor  # (T - 1,)
    per_step_se: Tensor  # (T - 1,)


def blocks(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    terms: int | None = None,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Tensor, Nelbo]]:
    """(x_0, bound) of the data (N, *shape), block by block; `encode` makes x_0 of raw rows."""
    size = block or micro_batch(tuple(data.shape[1:]))
    device = next(model.parameters(), torch.zeros(())).device
    for begin in range(0, len(data), size):
        rows = data[begin : begin + size]
        count = len(rows)
        if count < size:  # the last block repeats its last row, so that every block has one size
            rows = torch.cat([rows, rows[-1:].expand(size - count, *rows.shape[1:])])
        x_0 = encode(rows).to(device)
        streams = Streams(seed, "nelbo", rows=range(begin, begin + size))
        bound = nelbo(model, x_0, grid=grid, generator=streams, terms=terms, tick=tick)
        kept = Nelbo(bound.prior[:count], bound.steps[:count], bound.decode[:count])
        yield x_0[:count], kept


def evaluate(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    terms: int | None = None,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Report:
    """The report over the data (N, *shape), N >= 2. Raises ValueError for fewer examples."""
    if len(data) < 2:
        raise ValueError(f"{len(data)} examples: a standard error needs at least two")
    scale = 1 / (dims(tuple(data.shape[1:])) * math.log(2))
    scalars, steps = _Moments(), _Moments()
    parts = blocks(model, data, grid=grid, seed=seed, terms=terms, encode=encode, block=block, tick=tick)
    for x_0, part in parts:
        above = null(x_0).cpu() - part.total
        columns = [part.total, above, part.prior, part.steps.sum(1), part.decode]
        scalars.add(torch.stack(columns, 1) * scale)
        steps.add(part.steps * scale)
    bound, gain, prior, step, decode = scalars.estimates()
    return Report(len(data), bound, gain, prior, step, decode, grid, steps.mean, steps.se)


def count_calls(
    examples: int, shape: tuple[int, ...], grid: Tensor, terms: int | None, block: int | None = None
) -> int:
    """Network calls that `evaluate` makes: the length of its progress bar."""
    return -(-examples // (block or micro_batch(shape))) * calls(grid, terms)


def null(x_0: Tensor) -> Tensor:
    """-log N(x_0; 0, I) in nats, (B,): the isotropic Gaussian that the 2015 paper compares with."""
    return total(0.5 * (x_0.double().square() + math.log(2 * math.pi)))


class _Moments:
    """Running mean and standard error over rows, merged block by block (Chan et al. 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        count = self.count + len(rows)
        mean = rows.mean(0)
        delta = mean - self.mean
        self.squares = self.squares + (rows - mean).square().sum(0)
        self.squares = self.squares + delta.square() * (self.count * len(rows) / count)
        self.mean = self.mean + delta * (len(rows) / count)
        self.count = count

    @property
    def se(self) -> Tensor:
        return (self.squares / (self.count - 1) / self.count).sqrt()

    def estimates(self) -> list[Estimate]:
        return [Estimate(float(m), float(e)) for m, e in zip(self.mean, self.se, strict=True)]
