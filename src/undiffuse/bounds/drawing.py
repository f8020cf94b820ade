"""Which steps of a chain are computed for an example, and what is known of the rest without a network.

The steps cost L = sum_j L_j. They are cut into stretches S of about equal share, one is drawn in each, and
what is like L_j and known on average is taken off and added again (a control variate):

    L ~ sum_S (L_j - b_j C_j) P(S) / P(j) + sum_j b_j E C_j,        j drawn in S by its share P(j)

That is unbiased whatever shares and slopes b are, as long as they do not look at the draws; the best shares
are as the root mean squares of L_j - b_j C_j, and a step with a share above that of a stretch is one alone,
always computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from undiffuse import terms as bound
from undiffuse.devices import sent
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator, uniform


class Control(Protocol):
    """A number C_j that is like what step j costs, in nats, with a mean over the noise in closed form."""

    def at(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """C of x_0 (B, *shape) and one draw of x_t, (B,)."""

    def mean(self, x_0: Tensor, grid: Tensor) -> Tensor:
        """E C_j over x_t, of every step, (B, T - 1), float64 on the host."""


class Drawn(NamedTuple):
    """One step for each row, how often it counts, and L and C there; C is 0 without control."""

    step: Tensor  # 0-d or (B,), on the host, as is the weight
    weight: Tensor
    cost: Tensor
    control: Tensor


@dataclass(frozen=True, eq=False)
class Drawing:
    """`shares` (T - 1,) of the steps, of sum 1, and the `slopes` (T - 1,) of the control."""

    shares: Tensor
    slopes: Tensor
    control: Control | None = None

    @classmethod
    def even(cls, steps: int, control: Control | None = None) -> "Drawing":
        """Equal shares, and nothing taken off."""
        zeros = torch.zeros(steps, dtype=torch.float64)
        return cls(zeros + 1 / max(steps, 1), zeros, control)

    def drawn(
        self, model: ReverseProcess, x_0: Tensor, grid: Tensor, generator: Generator, terms: int | None
    ) -> Iterator[Drawn]:
        """So many steps for each of x_0 (B, *shape), in order; None: all, from noise to data."""
        for step, weight in self.chosen(terms, len(x_0), generator):
            s, t = grid[step], grid[step + 1]
            x_t = bound.noisy(model, x_0, t, generator)
            cost = bound.step_from(model, x_0, x_t, s, t)
            known = torch.zeros_like(cost) if self.control is None else self.control.at(x_0, x_t, s, t)
            yield Drawn(step, weight, cost, known)

    def left(self, one: Drawn) -> Tensor:
        """What a draw adds to the estimate, (B,): of a device's numbers on that device."""
        put = partial(sent, device=one.cost.device)
        if self.control is None:
            return put(one.weight) * one.cost
        return put(one.weight) * (one.cost - put(self.slopes[one.step]) * one.control)

    def known(self, x_0: Tensor, grid: Tensor) -> Tensor | float:
        """What was taken off on average, (B, T - 1)."""
        return 0.0 if self.control is None else self.slopes * self.control.mean(x_0, grid)

    def chosen(self, terms: int | None, rows: int, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """(step, weight) pairs: 0-d, all steps in turn; or (B,), one of each stretch a row."""
        count = len(self.shares)
        if terms is not None and terms < 1:
            raise ValueError(f"terms={terms}: at least one step of the chain is evaluated")
        if terms is None or terms >= count:
            yield from ((step, torch.tensor(1.0).double()) for step in torch.arange(count - 1, -1, -1))
            return
        for low, high in pairwise(stretches(self.shares, terms).tolist()):
            within = self.shares[low:high].cumsum(0) / self.shares[low:high].sum()
            u = uniform((rows,), generator, torch.float64)
            place = torch.searchsorted(within, u, right=True).clamp(max=high - low - 1)
            chances = within.diff(prepend=within.new_zeros(1))
            yield low + place, 1 / chances[place]


def stretches(shares: Tensor, count: int) -> Tensor:
    """The ends (count + 1,) of so many stretches, each of one step at least and else of equal share."""
    ends = torch.cat([shares.new_zeros(1), shares.cumsum(0)]) / shares.sum()
    k = torch.arange(count + 1)
    right = torch.searchsorted(ends, (k / count).double()).clamp(1, len(shares))
    left = right - 1
    place = left + ((k / count).double() - ends[left]) / (ends[right] - ends[left])
    found = (place.round().long() - k).cummax(0).values + k
    return torch.minimum(found, len(shares) - count + k)
