"""Means with standard errors, gathered block by block; and the blocks.

Examples are computed in blocks of fixed size, each with its own noise stream, so what is found of example i
depends on the seed and on i alone. Memory grows neither with the chain nor with the data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Streams
from undiffuse.tensors import micro_batch


@dataclass(frozen=True)
class Estimate:
    """A mean over examples and its standard error."""

    mean: float
    se: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.se:.4f}"

    def __mul__(self, factor: float) -> "Estimate":
        """In another unit."""
        return Estimate(self.mean * factor, self.se * abs(factor))


class Moments:
    """Running mean and standard error over rows, merged block by block (Chan et al. 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """Count rows (B, ...) in."""
        count = self.count + len(rows)
        mean = rows.mean(0)
        delta = mean - self.mean
        self.squares = self.squares + (rows - mean).square().sum(0)
        self.squares = self.squares + delta.square() * (self.count * len(rows) / count)
        self.mean = self.mean + delta * (len(rows) / count)
        self.count = count

    @property
    def se(self) -> Tensor:
        """Standard error of the mean."""
        return (self.squares / (self.count - 1) / self.count).sqrt()

    def estimates(self) -> list[Estimate]:
        """One for each column."""
        return [Estimate(float(m), float(e)) for m, e in zip(self.mean, self.se, strict=True)]


def streamed(
    model: ReverseProcess,
    data: Tensor,
    seed: int,
    name: str,
    encode: Callable[[Tensor], Tensor],
    block: int | None,
    done: int = 0,
) -> Iterator[tuple[ReverseProcess, Tensor, int, Streams]]:
    """The model of some rows of the data (N, *shape), their x_0, how many of them count, and their noise.

    The first `done` rows, whole blocks, are left out.
    """
    size = block or micro_batch(tuple(data.shape[1:]))
    device = next(model.parameters(), torch.zeros(())).device
    for begin in range(done, len(data), size):
        rows = torch.arange(begin, begin + size)
        count = min(size, len(data) - begin)
        last = rows.clamp(max=len(data) - 1)  # the last block repeats its last row: every block has one size
        streams = Streams(seed, name, rows=range(begin, begin + size))
        yield model.rows(last), encode(data[last]).to(device), count, streams


def check_examples(data: Tensor) -> None:
    """Raise ValueError unless a standard error can be had."""
    if len(data) < 2:
        raise ValueError(f"{len(data)} examples: a standard error needs at least two")
