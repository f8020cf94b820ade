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
    def blurred(self, x_0: Tensor, t: Tensor) -> Distribution:
        """The law of x_t where x_0 is soft: q(x_t | x_0), mixed."""

    @abstractmethod
    def soften(self, output: Tensor, known: Tensor | None = None) -> Tensor:
        """The soft x_0 of a network's output, its logits, with `known` logits added to them.

        Those are of the layout of `logits` and `evidence`.
        """

    @abstractmethod
    def logits(self, log_probs: Tensor) -> Tensor:
        """Of log-probabilities (..., K): log p(1) - log p(0) for bits, themselves for symbols."""

    @abstractmethod
    def evidence(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What x_t adds to the logits of x_0, in its dtype: log q(x_t | x_0 = k), up to a constant."""

    @abstractmethod
    def sharpness(self, t: Tensor) -> Tensor:
        """How far apart `evidence` puts two symbols, on average; float64 of t's shape."""

    @abstractmethod
    def from_probs(self, probs: Tensor) -> Tensor:
        """The soft x_0 of probabilities (..., K)."""

    @abstractmethod
    def channelled(self, soft: Tensor) -> Tensor:
        """A soft x_0 in the layout of `features`, whose means it holds."""

    def settled(self, x_0: Tensor, x_t: Tensor) -> Tensor:
        """A soft x_0, certain where x_t cannot but be x_0."""
        return x_0

    @abstractmethod
    def law(self, x_0: Tensor) -> Distribution:
        """The distribution that a soft x_0 is."""

    @abstractmethod
    def soft(self, law: Any) -> Tensor:
        """The soft x_0 that a distribution of the symbols is."""
