"""Schedules given by a rate beta(u) along the chain: linear, quadratic and sigmoid.

With `steps=T` they are the tables that the field uses: T values of beta from `start` to `end`. With
`steps=None` they are the continuous limit of the 1000-step table,

    log keep_t = -1000 * integral_0^t beta(u) du

Where a table is shorter than 1000 steps its rates are used as they are (so a short one keeps much of the
signal at t = 1, which the prior term of the bound then shows).
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import softplus

from undiffuse.schedules.base import Schedule, check_time, logit
from undiffuse.schedules.betas import Betas

REFERENCE_STEPS = 1000


class Rates(Schedule):
    """beta rises from `start` to `end`; a T-step table, or continuous if `steps` is None.

    Raises ValueError unless 0 < start <= end < 1 and steps >= 1.
    """

    def __init__(self, start: float = 1e-4, end: float = 0.02, steps: int | None = 1000) -> None:
        super().__init__()
        if not 0 < start <= end < 1:
            raise ValueError(f"start={start:g}, end={end:g}: rates need 0 < start <= end < 1")
        if steps is not None and steps < 1:
            raise ValueError(f"steps={steps}: a table has at least one step (or null: continuous)")
        self.start, self.end, self.steps = start, end, steps
        self._table = None if steps is None else Betas(self.rate(_unit(steps)))

    @abstractmethod
    def rate(self, u: Tensor) -> Tensor:
        """beta at the share u in [0, 1] of the chain."""

    @abstractmethod
    def integral(self, u: Tensor) -> Tensor:
        """Integral of the rate from 0 to u."""

    def logsnr(self, t: Tensor) -> Tensor:
        """From the table, or from the integral of the rate."""
        if self._table is not None:
            return self._table.logsnr(t)
        return logit(-REFERENCE_STEPS * self.integral(check_time(t)))


class Linear(Rates):
    """beta(u) = start + (end - start) u (Ho et al. 2020, section 4)."""

    def rate(self, u: Tensor) -> Tensor:
        """Linear in u."""
        return self.start + (self.end - self.start) * u

    def integral(self, u: Tensor) -> Tensor:
        """start u + (end - start) u^2 / 2."""
        return self.start * u + (self.end - self.start) * u.square() / 2


class Quadratic(Rates):
    """beta(u) = (sqrt(start) + (sqrt(end) - sqrt(start)) u)^2."""

    def rate(self, u: Tensor) -> Tensor:
        """Square of a line in u."""
        root = math.sqrt(self.start) + (math.sqrt(self.end) - math.sqrt(self.start)) * u
        return root.square()

    def integral(self, u: Tensor) -> Tensor:
        """Integral of the squared line, term by term."""
        a = math.sqrt(self.start)
        d = math.sqrt(self.end) - a
        return a * a * u + a * d * u.square() + d * d * u.pow(3) / 3


class Sigmoid(Rates):
    """beta(u) = start + (end - start) sigmoid(12 u - 6)."""

    def rate(self, u: Tensor) -> Tensor:
        """Sigmoid in u."""
        return self.start + (self.end - self.start) * torch.sigmoid(12 * u - 6)

    def integral(self, u: Tensor) -> Tensor:
        """start u + (end - start) (softplus(12 u - 6) - softplus(-6)) / 12."""
        rise = (softplus(12 * u - 6) - softplus(torch.full_like(u, -6.0))) / 12
        return self.start * u + (self.end - self.start) * rise


def _unit(steps: int) -> Tensor:
    return torch.linspace(0, 1, steps, dtype=torch.float64)
