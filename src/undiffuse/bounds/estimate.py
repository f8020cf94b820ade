"""Means with standard errors, gathered block by block; and the blocks.

Examples are computed in blocks of fixed size, each with its own noise stream, so what is found of example i
depends on the seed and on i alone. Memory grows neither with the chain nor with the data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Streams
from undiffuse.student import student
from undiffuse.tensors import micro_batch


@dataclass(frozen=True)
class Estimate:
    """A mean over examples and its standard error: two of them cover 95 %, however few examples there are."""

    mean: float
    se: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.se:.4f}"

    def __add__(self, shift: float) -> "Estimate":
        """From another origin."""
        return Estimate(self.mean + shift, self.se)

    def __sub__(self, shift: float) -> "Estimate":
        """From another origin."""
        return self + -shift

    def __mul__(self, factor: float) -> "Estimate":
        """In another unit."""
        return Estimate(self.mean * factor, self.se * abs(factor))


class Block(NamedTuple):
    """Some rows: their model, x_0, how many of them count, and their noise."""

    model: ReverseProcess
    x_0: Tensor
    kept: int
    streams: Streams


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
        """Standard error of the mean, as much wider for few rows as Student's t asks (`student`)."""
        return (self.squares / (self.count - 1) / self.count).sqrt() * student(self.count)

    def estimates(self) -> list[Estimate]:
        """One for each column."""
        return [Estimate(float(m), float(e)) for m, e in zip(self.mean, self.se, strict=True)]


class Streamed(Sequence[Block]):
    """The data (N, *shape) in blocks of one size, each encoded, with its model, and with its noise.

    The first `done` rows, whole blocks, are left out.
    """

    def __init__(
        self,
        model: ReverseProcess,
        data: Tensor,
        seed: int,
        name: str,
        encode: Callable[[Tensor], Tensor],
        block: int | None,
        done: int = 0,
    ) -> None:
        self.model, self.data, self.encode = model, data, encode
        self.key, self.done, self.size = (seed, name), done, block or micro_batch(tuple(data.shape[1:]))
        self.device = next(model.parameters(), torch.zeros(())).device

    def __len__(self) -> int:
        return -(-(len(self.data) - self.done) // self.size)

    def __getitem__(self, number: Any) -> Any:
        """Block number `number`, computed anew each time."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        begin = self.done + number * self.size
        rows = torch.arange(begin, begin + self.size)
        last = rows.clamp(max=len(self.data) - 1)  # the last block repeats its last row
        streams = Streams(*self.key, rows=range(begin, begin + self.size))
        x_0 = self.encode(self.data[last]).to(self.device)
        return Block(self.model.rows(last), x_0, self.counted(number), streams)

    def counted(self, number: int) -> int:
        """How many rows of a block are no repeats."""
        return min(self.size, len(self.data) - self.done - number * self.size)


def check_examples(data: Tensor) -> None:
    """Raise ValueError unless a standard error can be had."""
    if len(data) < 2:
        raise ValueError(f"{len(data)} examples: a standard error needs at least two")
