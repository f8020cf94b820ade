"""Two schedules that are one line each: a constant fraction a step, and log-SNR linear in time."""

import torch
from torch import Tensor

from undiffuse.schedules.base import Schedule, check_time


class ConstantFraction(Schedule):
    """Every step erases the same share 1/T of the *original* signal (Sohl-Dickstein et al. 2015, 2.4.1).

    keep_t = 1 - t, that is beta_i = 1 / (T - i + 1) on the grid of any T; keep_1 = 0.
    """

    def logsnr(self, t: Tensor) -> Tensor:
        """log((1 - t) / t)."""
        t = check_time(t)
        return torch.log1p(-t) - t.log()


class LogLinear(Schedule):
    """log-SNR falls linearly from `first` at t = 0 to `last` at t = 1 (Kingma et al. 2021, VDM).

    Raises ValueError unless first > last.
    """

    def __init__(self, first: float = 13.3, last: float = -5.0) -> None:
        super().__init__()
        if not first > last:
            raise ValueError(f"first={first:g} must be above last={last:g}: log-SNR falls with time")
        self.first, self.last = first, last

    def logsnr(self, t: Tensor) -> Tensor:
        """first + (last - first) t."""
        return self.first + (self.last - self.first) * check_time(t)

    def slope(self, t: Tensor) -> Tensor:
        """d logsnr / dt, float64 of t's shape."""
        return torch.full_like(check_time(t), self.last - self.first)
