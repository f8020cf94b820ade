"""Scores of examples beside the same scores of n examples that were held out.

    percentile    share of the held-out examples that take no more bits
    p value       (1 + number of them that take as many bits or more) / (n + 1)
    typicality    twice the smaller of the p values of too many and of too few bits, at most 1

A p value is conformal: where an example is as the held-out ones are, p <= a has probability a at most,
whatever the model. Likelihood alone misleads, as what is simple takes few bits: hence typicality, which is
small for too few as well, and `above`, by how many bits the model lies above a background that knows only
how simple an example is, which has a p value of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

SHOWN = 10  # examples in a summary
COLUMNS = (
    *("name", "bits_per_dim", "standard_error", "percentile"),
    *("p_value", "typicality", "above_background", "background_p_value"),
)
WAYS = ("bits", "typicality", "background")  # what an alarm is raised by


class Held(NamedTuple):
    """Of held-out examples the bits and what these are above the background, (n,), in one order."""

    bits: Tensor
    above: Tensor


@dataclass(frozen=True, eq=False)
class Scores:
    """Of each example (N,), float64: `bits` per dimension, their standard error `se`, and `above`.

    `above` is by how many bits per dimension they lie above those of the `background`, NaN where that is
    None. `held` are those that are compared with; without any, shares and p values are NaN.
    """

    bits: Tensor
    se: Tensor
    above: Tensor
    held: Held
    background: str | None = None
    names: tuple[str, ...] | None = None

    @property
    def held_out(self) -> int:
        """How many held-out examples there are."""
        return len(self.held.bits)

    @property
    def percentile(self) -> Tensor:
        """Of held-out examples, the percentage that take no more bits, (N,)."""
        return self._beside(
            lambda own: 100 * torch.searchsorted(own, self.bits, right=True).double() / len(own)
        )

    @property
    def p_value(self) -> Tensor:
        """That of as many bits, or more, (N,)."""
        return self._beside(lambda own: at_least(own, self.bits))

    @property
    def typicality(self) -> Tensor:
        """The two-sided p value of so many bits, (N,)."""

        def both(own: Tensor) -> Tensor:
            fewer = at_least(-own.flip(0), -self.bits)
            return (2 * torch.minimum(at_least(own, self.bits), fewer)).clamp(max=1.0)

        return self._beside(both)

    @property
    def background_p_value(self) -> Tensor:
        """The p value of so many bits above the background, (N,); NaN without one."""
        if self.background is None:
            return torch.full_like(self.bits, math.nan)
        return self._beside(lambda _: at_least(self.held.above.sort().values, self.above))

    def alarm(self, rate: float, by: str = "bits") -> Tensor:
        """Which examples are unlike the held-out ones, bool (N,): of those like them a share `rate` at most.

        By their `bits`, too many; by `typicality`, too many or too few; or by what they have above the
        `background`. Raises ValueError for another way, a rate that is no share, or one that so few held-out
        examples cannot tell.
        """
        check_alarm(rate, by, self.held_out, self.background)
        found = {"bits": self.p_value, "typicality": self.typicality, "background": self.background_p_value}
        return found[by] <= rate

    def rows(self) -> list[tuple[Any, ...]]:
        """One of `COLUMNS` for each example."""
        names = self.names or tuple(map(str, range(len(self.bits))))
        beside = (self.percentile, self.p_value, self.typicality, self.above, self.background_p_value)
        numbers = (self.bits, self.se, *beside)
        return list(zip(names, *(each.tolist() for each in numbers), strict=True))

    def frame(self) -> Any:
        """A pandas DataFrame of the same, a row for each example."""
        import pandas

        return pandas.DataFrame(self.rows(), columns=list(COLUMNS)).set_index(COLUMNS[0])

    def of_kind(self, kind: Any) -> "Scores":
        """The same, with a DataFrame's names of rows."""
        index = kind.index
        if index is None or len(index) != len(self.bits):
            return self
        return replace(self, names=tuple(map(str, index)))

    def _repr_html_(self) -> str:
        highest = sorted(self.rows(), key=lambda row: -row[1])[:SHOWN]
        cells = "".join(
            f"<tr><td>{name}" + "".join(f"<td>{value:.4g}" for value in values) for name, *values in highest
        )
        head = "".join(f"<th>{name.replace('_', ' ')}" for name in COLUMNS)
        return f"<p>{self}<table><tr>{head}{cells}</table>"

    def __str__(self) -> str:
        return (
            f"{len(self.bits):,} examples, {float(self.bits.mean()):.4f} bits/dim on average, the most "
            f"surprising {float(self.bits.max()):.4f} (percentiles among {self.held_out:,} held-out examples)"
        )

    def _beside(self, found: Callable[[Tensor], Tensor]) -> Tensor:
        """What is found beside the held-out bits in their order, or NaN if there are none."""
        own = self.held.bits.sort().values
        return found(own).double() if len(own) else torch.full_like(self.bits, math.nan)


def at_least(held: Tensor, found: Tensor) -> Tensor:
    """(1 + how many of the held-out values, in increasing order, are as large) / (n + 1), (N,)."""
    n = len(held)
    return (1 + n - torch.searchsorted(held, found).double()) / (n + 1)


def check_alarm(rate: float, by: str, count: int, background: str | None) -> None:
    """Raise ValueError for an alarm by no such way, or a rate that so many held-out examples cannot tell."""
    if by not in WAYS:
        raise ValueError(f"by={by!r}: by one of {', '.join(WAYS)}")
    if by == "background" and background is None:
        raise ValueError("by='background': there is none for these data; use bits or typicality")
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate:g}: a share of false alarms, between 0 and 1")
    least = (2 if by == "typicality" else 1) / (count + 1)
    if least > rate:
        raise ValueError(
            f"rate={rate:g}: {count:,} held-out examples tell {least:.2g} at least; choose a higher one"
        )
