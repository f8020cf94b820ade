"""Means over examples with their standard errors, gathered block by block."""

from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.student import student


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


def check_examples(data: Tensor) -> None:
    """Raise ValueError unless a standard error can be had."""
    if len(data) < 2:
        raise ValueError(f"{len(data)} examples: a standard error needs at least two")
