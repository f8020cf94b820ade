"""An objective is one differentiable number for every example of a batch."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from undiffuse.model import Denoiser
from undiffuse.objectives.times import Noise, Times


class Objective(ABC):
    """Called with a model and clean data; the mean of the result is what training lowers."""

    unit: ClassVar[str]  # what the number is
    times: Times  # how the times of a batch are drawn
    even: ClassVar[bool] = True  # whether the network is called as often whatever the rows

    @abstractmethod
    def __call__(self, model: Denoiser, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) losses at random times and noise."""
