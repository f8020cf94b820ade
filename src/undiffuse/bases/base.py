"""What a base is: a density of the training data whose denoiser is known in closed form."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from undiffuse.distributions import Distribution
from undiffuse.kernels import Kernel


class Base(nn.Module, ABC):
    """A density of x_0 (B, *shape) that a model begins at; tensors without gradient, no weights.

    An `output` of zeros, as that of a network whose last layer starts at zero, leaves the base's own
    prediction. Times are float64, 0-d or (B,); the kernel is the chain's.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one example."""

    @abstractmethod
    def check(self, kernel: Kernel) -> None:
        """Raise ValueError for a kernel that destroys other data than this is a density of."""

    @abstractmethod
    def log_prob(self, x_0: Tensor) -> Tensor:
        """log p(x_0), (B,), in nats and float64."""

    @abstractmethod
    def prior(self, like: Tensor, kernel: Any) -> Distribution:
        """p(x_1) where x_0 is drawn from the base, of the shape of `like`."""

    @abstractmethod
    def features(self, x_t: Tensor, t: Tensor, kernel: Any) -> Tensor:
        """What a network sees of x_t, of unit scale at every t: (B, kernel.channels * C, ...)."""

    @abstractmethod
    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Any) -> Tensor:
        """x_0-hat: the base's E[x_0 | x_t], changed by the network's output; soft for symbols."""
