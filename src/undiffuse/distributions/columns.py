"""Rows of a table (B, D) whose columns have distributions of several families, some of their cells left out.

Every part has the columns it is of, and its own family; what is asked of an element is asked of its part. A
cell that is left out is none of the row's: its log-probability, entropy and divergence are 0, and a draw has
there what `filled` says, by default NaN.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from undiffuse.devices import onto, sent
from undiffuse.distributions.base import Distribution
from undiffuse.distributions.categorical import Categorical
from undiffuse.random import Generator


class Part(NamedTuple):
    """The law of these `columns` (n,): of elements (B, n)."""

    columns: Tensor
    law: Distribution


@dataclass(frozen=True, eq=False)
class Columns(Distribution):
    """The parts, whose columns are 0 .. D-1 together; `out` (B, D) is True for cells that are left out."""

    parts: Sequence[Part]
    out: Tensor
    filled: Tensor | float = math.nan

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Whether any part is."""
        return any(part.law.continuous for part in self.parts)

    @property
    def shape(self) -> torch.Size:
        """(B, D)."""
        return self.out.shape

    @property
    def mean(self) -> Tensor:
        """E[x], and what fills cells that are left out."""
        return self._fill(self._joined([part.law.mean for part in self.parts]))

    @property
    def point(self) -> Tensor:
        """Means of numbers and the likeliest symbols, and what fills cells that are left out."""
        laws = [part.law for part in self.parts]
        return self._fill(self._joined([x.mode if isinstance(x, Categorical) else x.mean for x in laws]))

    def sample(self, generator: Generator) -> Tensor:
        """A draw of every part in turn."""
        return self._fill(self._joined([part.law.sample(generator) for part in self.parts]))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), 0 for cells that are left out."""
        x = x.masked_fill(self.out, 0.0)
        return self._counted([part.law.log_prob(x[:, part.columns]) for part in self.parts])

    def entropy(self) -> Tensor:
        """Of every cell, 0 where it is left out."""
        return self._counted([part.law.entropy() for part in self.parts])

    def kl(self, other: Distribution) -> Tensor:
        """KL(self || other) for one of the same parts; cells left out of either are left out."""
        other = self._like(other)
        pairs = zip(self.parts, other.parts, strict=True)
        return self._counted([part.law.kl(theirs.law) for part, theirs in pairs]).masked_fill(other.out, 0.0)

    def tilt(self, g: Tensor) -> "Columns":
        """Each part's."""
        return self._each(lambda part: part.law.tilt(g[:, part.columns]))

    def blend(self, other: Distribution, weight: float) -> "Columns":
        """Part by part."""
        theirs = iter(self._like(other).parts)
        return self._each(lambda part: part.law.blend(next(theirs).law, weight))

    def pin(self, mask: Tensor, value: Tensor) -> "Columns":
        """Each part's."""
        mask, value = (each.expand(self.shape) for each in (mask, value))
        return self._each(lambda part: part.law.pin(mask[:, part.columns], value[:, part.columns]))

    def rows(self, index: Tensor) -> "Columns":
        """Each part's."""
        picked = self._each(lambda part: part.law.rows(index))
        here = sent(index, self.out.device)
        filled = self.filled[here] if isinstance(self.filled, Tensor) and self.filled.ndim else self.filled
        return replace(picked, out=self.out[here], filled=filled)

    def patch(self, mask: Tensor, other: Distribution) -> "Columns":
        """Part by part."""
        theirs, mask = iter(self._like(other).parts), mask.expand(self.shape)
        return self._each(lambda part: part.law.patch(mask[:, part.columns], next(theirs).law))

    def _each(self, law: Callable[[Part], Distribution]) -> "Columns":
        return replace(self, parts=[Part(part.columns, law(part)) for part in self.parts])

    def _like(self, other: Distribution) -> "Columns":
        if not isinstance(other, Columns) or len(other.parts) != len(self.parts):
            raise TypeError(f"known of Columns with the same parts, not of {other!r}")
        return other

    def _counted(self, values: Sequence[Tensor]) -> Tensor:
        return self._joined(values).masked_fill(self.out, 0.0)

    def _joined(self, values: Sequence[Tensor]) -> Tensor:
        """Columns (B, n) of the parts, as (B, D)."""
        spread = [
            v.expand(len(self.out), len(part.columns)) for v, part in zip(values, self.parts, strict=True)
        ]
        dtype = max((v.dtype for v in spread), key=lambda d: d.itemsize)
        order = torch.cat([part.columns for part in self.parts]).argsort()
        return torch.cat([v.to(dtype) for v in spread], 1)[:, order]

    def _fill(self, x: Tensor) -> Tensor:
        filled = self.filled
        put = partial(onto, x=x)
        return torch.where(self.out, put(filled) if isinstance(filled, Tensor) else x.new_tensor(filled), x)
