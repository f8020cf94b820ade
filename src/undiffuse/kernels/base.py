"""What a forward process is: four distributions and the schedule that times them."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from undiffuse.distributions import Distribution
from undiffuse.schedules import Schedule


class Kernel(nn.Module, ABC):
    """A forward process q that destroys data. Times are float64, 0-d or (B,), 0 <= s < t <= 1.

    `symbols` is the number of different values of the data, None for real numbers. A network sees `features`
    of x_t, which have `channels` channels for each one of the data.
    """

    schedule: Schedule
    symbols: int | None = None
    channels: int = 1
    reversible: ClassVar[bool] = True  # whether pi(x) T(y | x) = pi(y) T(x | y)

    @abstractmethod
    def transition(self, x_s: Tensor, s: Tensor, t: Tensor) -> Distribution:
        """q(x_t | x_s)."""

    @abstractmethod
    def marginal(self, x_0: Tensor, t: Tensor) -> Distribution:
        """q(x_t | x_0)."""

    @abstractmethod
    def bridge(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Distribution:
        """q(x_s | x_t, x_0); x_0 may be a prediction."""

    @abstractmethod
    def prior(self, like: Tensor) -> Distribution:
        """pi, where the process ends: independent of x_0, of the shape of `like`."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError for examples of a shape that this kernel is not for."""

    def feature_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a network's input for examples of this shape."""
        return (self.channels * shape[0], *shape[1:])

    def features(self, x_t: Tensor) -> Tensor:
        """What a network sees of x_t: (B, channels * C, ...)."""
        return x_t
