"""Bases of real numbers: all that a Gaussian chain has to know of one is what x_0 is thought to be at x_t.

Along the base's axes x_0 given x_t has a mean m(x_t, t) and standard deviations d(x_t, t), and a network's
output is what the data are off, in these units:

    x_0-hat = m + U (d * output),        target = U' (x_0 - m) / d

At every t a target has unit scale where the base is right, however little of x_0 is left to be known.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from undiffuse.axes import Axes
from undiffuse.bases.base import Base
from undiffuse.devices import onto
from undiffuse.kernels import Gaussian, Kernel

FAR = 5.0  # deviations that a feature never exceeds


class Belief(NamedTuple):
    """x_0 given x_t, along the axes: `mean` (B, *shape), and `var` of that shape or (1, *shape)."""

    mean: Tensor
    var: Tensor


class NumberBase(Base):
    """A base of real numbers."""

    @property
    @abstractmethod
    def axes(self) -> Axes:
        """Those along which x_0 is thought of."""

    @abstractmethod
    def belief(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Belief:
        """What x_0 is thought to be at x_t."""

    def spread(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """The belief's variances alone."""
        return self.belief(x_t, t, kernel).var

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels of symbols."""
        if not isinstance(kernel, Gaussian):
            raise ValueError(
                f"base: of real numbers, the kernel is {type(kernel).__name__.lower()}, of symbols"
            )

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """m + U (d output)."""
        mean, var = self.belief(x_t, t, kernel)
        return self.axes.back(mean + onto(var.sqrt(), x_t) * output)

    def target(self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """U' (x_0 - m) / d."""
        mean, var = self.belief(x_t, t, kernel)
        return (self.axes.along(x_0) - mean) / onto(var.sqrt(), x_t)


def drawn_in(z: Tensor) -> Tensor:
    """Features z of unit scale, outliers drawn in: no network has learned what to make of those."""
    return FAR * torch.tanh(z / FAR)
