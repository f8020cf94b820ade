"""What kernels for symbols share: how they destroy, soft predictions, and the place of time in a shape."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from undiffuse.distributions import Distribution
from undiffuse.kernels.base import Kernel
from undiffuse.schedules import log_kept


class Discrete(Kernel):
    """A kernel for symbols. A *soft* x_0 is a distribution over them, such as a network's prediction."""

    symbols: int

    @abstractmethod
    def faded(self, x: Tensor, kept: Tensor, lost: Tensor) -> Distribution:
        """x, kept with probability `kept` and else drawn anew from pi; the two sum to one."""

    def transition(self, x_s: Tensor, s: Tensor, t: Tensor) -> Distribution:
        """x_s, drawn anew with probability beta."""
        log_share = log_kept(self.schedule.logsnr(s), self.schedule.logsnr(t))
        return self.faded(x_s, log_share.exp(), -torch.expm1(log_share))

    def marginal(self, x_0: Tensor, t: Tensor) -> Distribution:
        """x_0, drawn anew with probability 1 - keep_t."""
        logsnr = self.schedule.logsnr(t)
        return self.faded(x_0, logsnr.sigmoid(), (-logsnr).sigmoid())

    @abstractmethod
    def soften(self, output: Tensor) -> Tensor:
        """The soft x_0 of a network's output, its logits."""

    @abstractmethod
    def law(self, x_0: Tensor) -> Distribution:
        """The distribution that a soft x_0 is."""

    @abstractmethod
    def soft(self, law: Any) -> Tensor:
        """The soft x_0 that a distribution of the symbols is."""


def column(coefficient: Tensor, x: Tensor) -> Tensor:
    """A 0-d coefficient as it is; (B,) as (B, 1, .., 1) against x (B, *shape)."""
    return coefficient if coefficient.ndim == 0 else coefficient.view(-1, *[1] * (x.ndim - 1))


def fit(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient in x's dtype and on its device; 0-d ones multiply any tensor as they are."""
    return coefficient if coefficient.ndim == 0 else coefficient.to(x.device, x.dtype)
