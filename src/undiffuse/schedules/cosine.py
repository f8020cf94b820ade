"""The cosine schedule (Nichol & Dhariwal 2021, eq. 17).

keep_t = f(t) / f(0),   f(t) = cos^2((t + offset) / (1 + offset) * pi / 2)
"""

import math

import torch
from torch import Tensor

from undiffuse.schedules.base import Schedule, check_time, logit
from undiffuse.schedules.betas import Betas


class Cosine(Schedule):
    """Cosine in the signal's scale: a T-step table, or continuous if `steps` is None.

    The table's rates are cut at `max_beta`. The continuous one ends in pure noise: keep_1 = 0 exactly, so
    it goes with the x0 and v parameterizations.
    """

    def __init__(self, steps: int | None = 1000, offset: float = 0.008, max_beta: float = 0.999) -> None:
        super().__init__()
        if steps is not None and steps < 1:
            raise ValueError(f"steps={steps}: a table has at least one step (or null: continuous)")
        if offset <= 0 or not 0 < max_beta <= 1:
            raise ValueError(f"offset={offset:g} must be > 0 and max_beta={max_beta:g} in (0, 1]")
        self.steps, self.offset, self.max_beta = steps, offset, max_beta
        self._table = None if steps is None else Betas(self._rates(steps))

    def logsnr(self, t: Tensor) -> Tensor:
        """From the table, or from the formula."""
        if self._table is not None:
            return self._table.logsnr(t)
        return logit(self._log_keep(check_time(t)))

    def _log_keep(self, t: Tensor) -> Tensor:
        left = math.pi / 2 * (1 - t) / (1 + self.offset)  # cos(x) = sin(pi/2 - x): exact at t = 1
        zero = math.pi / 2 / (1 + self.offset)
        found = 2 * (torch.sin(left).log() - math.log(math.sin(zero)))
        return found.clamp(max=0)  # two libraries' sines differ in the last digit: at t = 0 nothing is lost

    def _rates(self, steps: int) -> Tensor:
        log_keep = self._log_keep(torch.linspace(0, 1, steps + 1, dtype=torch.float64))
        return (-torch.expm1(log_keep[1:] - log_keep[:-1])).clamp(max=self.max_beta)
