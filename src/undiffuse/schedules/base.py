"""A schedule gives the log signal-to-noise ratio at every time; everything else follows from it.

keep_t = sigmoid(logsnr_t)           kept share of the signal
1 - keep_t = sigmoid(-logsnr_t)      share of the noise
beta(s, t) = 1 - keep_t / keep_s     diffusion rate of the step from s to t
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from undiffuse.devices import fetched


class Schedule(nn.Module, ABC):
    """t in [0, 1] -> log-SNR, strictly decreasing, float64; +inf and -inf are allowed at the ends."""

    steps: int | None = None  # a table's length; None for a schedule given at every time

    @abstractmethod
    def logsnr(self, t: Tensor) -> Tensor:
        """lambda_t at t (0-d or (B,)), float64 of t's shape."""

    def keep(self, t: Tensor) -> Tensor:
        """keep_t, the kept share of the signal."""
        return self.logsnr(t).sigmoid()

    def beta(self, s: Tensor, t: Tensor) -> Tensor:
        """Diffusion rate of the step from s to t, s < t."""
        return -torch.expm1(log_kept(self.logsnr(s), self.logsnr(t)))


def log_kept(logsnr_s: Tensor, logsnr_t: Tensor) -> Tensor:
    """log(keep_t / keep_s) = log(1 - beta): what a step from s to t keeps of the signal."""
    return logsigmoid(logsnr_t) - logsigmoid(logsnr_s)


def check_time(t: Tensor) -> Tensor:
    """t in float64 on the CPU; ValueError outside [0, 1]."""
    t = fetched(t.detach())
    inside = 0 <= float(t) <= 1 if t.ndim == 0 else bool(((t >= 0) & (t <= 1)).all())
    if not inside:
        raise ValueError(f"times lie in [0, 1], 0 is data; got {t.min():g} to {t.max():g}")
    return t


def logit(log_keep: Tensor) -> Tensor:
    """Log-SNR from log keep <= 0: log(keep / (1 - keep)), without loss at either end."""
    return log_keep - torch.log(-torch.expm1(log_keep))
