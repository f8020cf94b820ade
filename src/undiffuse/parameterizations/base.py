"""What the network's output means: how it gives the prediction of x_0. For Gaussian kernels an affine map,

    x_0-hat = c_x(t) x_t + c_out(t) output          target = (x_0 - c_x x_t) / c_out

| name | output            | c_x       | c_out            | target                   |
|------|-------------------|-----------|------------------|--------------------------|
| x0   | x_0               | 0         | 1                | x_0                      |
| eps  | the noise         | 1 / alpha | -sigma / alpha   | (x_t - alpha x_0)/sigma  |
| v    | alpha eps - sigma x_0 | alpha | -sigma           | alpha eps - sigma x_0    |
| score | grad log q(x_t) | 1 / alpha | sigma^2 / alpha | (alpha x_0 - x_t) / sigma^2 |
| mean | E[x_s given x_t, x_0] | -b / a    | 1 / a            | a x_0 + b x_t            |

An error of the output times c_out is an error of x_0-hat, which is what turns a weight on the loss in
x_0 into one on the loss in the network's own output (see `undiffuse.objectives.weights`). For symbols
the output holds the logits of x_0.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from undiffuse.bases import Base
from undiffuse.kernels import Discrete, Gaussian, Kernel
from undiffuse.tensors import like


class Parameterization(ABC):
    """Turns a network's output into E[x_0 | x_t]."""

    base: Base | None = None  # a density of the data that the output changes

    def features(self, x_t: Tensor, t: Tensor, kernel: Kernel) -> Tensor:
        """What the network sees of x_t."""
        return kernel.features(x_t)

    @abstractmethod
    def check(self, kernel: Kernel) -> None:
        """Raise ValueError if this output says nothing about x_0 at some time of the kernel."""

    @abstractmethod
    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Any) -> Tensor:
        """x_0-hat from the network's output, both of x_t's shape; soft for symbols."""


class Logit(Parameterization):
    """The network gives the logits of x_0: one for a bit, one a state for symbols."""

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels for real numbers."""
        if not isinstance(kernel, Discrete):
            raise ValueError(
                f"parameterization=logit is for symbols, not for a {_name(kernel)} kernel: use v"
            )

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Discrete) -> Tensor:
        """Probabilities of the symbols; of what has survived of an absorbing chain, that it is what it is."""
        return kernel.settled(kernel.soften(output), x_t)


class Numbers(Parameterization):
    """What has a target: an output that predicts x_0 exactly, of Gaussian kernels."""

    @abstractmethod
    def target(self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """The output that predicts x_0 exactly."""

    @abstractmethod
    def gain(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """|d x_0-hat / d output|, to broadcast against x_t: what an error of the output is in x_0-hat."""


class Affine(Numbers):
    """x_0-hat = c_x x_t + c_out output, for Gaussian kernels."""

    @abstractmethod
    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """c_x and c_out at t, float64 of t's shape."""

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels that are not Gaussian."""
        if not isinstance(kernel, Gaussian):
            raise ValueError(
                f"{type(self).__name__} is defined for Gaussian kernels, not for a {_name(kernel)} one: "
                "use parameterization=logit"
            )

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """x_0-hat from the network's output, both of x_t's shape."""
        c_x, c_out = self.coefficients(t, kernel)
        return like(c_x, x_t) * x_t + like(c_out, x_t) * output

    def target(self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """The output that predicts x_0 exactly."""
        c_x, c_out = self.coefficients(t, kernel)
        return (x_0 - like(c_x, x_t) * x_t) * like(1 / c_out, x_t)

    def gain(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """|c_out|."""
        return like(self.coefficients(t, kernel)[1].abs(), x_t)


class X0(Affine):
    """The network predicts the data."""

    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """0 and 1."""
        one = torch.ones(t.shape, dtype=torch.float64)
        return 0 * one, one


class Eps(Affine):
    """The network predicts the noise (Ho et al. 2020, eqs. 11, 15)."""

    def check(self, kernel: Kernel) -> None:
        """Refuse a kernel that ends in (nearly) pure noise: there eps says nothing about x_0."""
        super().check(kernel)
        end = kernel.schedule.keep(torch.ones((), dtype=torch.float64))
        if end < 1e-12:
            raise ValueError(
                f"parameterization={type(self).__name__.lower()} with a schedule that keeps {end:.1e} of the "
                "signal at t = 1: x_0 cannot be recovered there; use v or x0, or a schedule that keeps more"
            )

    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """1/alpha and -sigma/alpha."""
        alpha_t, sigma_t = kernel.alpha_sigma(t)
        return 1 / alpha_t, -sigma_t / alpha_t


class Score(Eps):
    """The network predicts the score, the gradient of log q(x_t): -eps / sigma (Song & Ermon 2019).

    Its error in denoising score matching, weighted by sigma^2, is the error of eps: weight.kind=snr.
    """

    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """1/alpha and sigma^2/alpha."""
        alpha_t, sigma_t = kernel.alpha_sigma(t)
        return 1 / alpha_t, sigma_t.square() / alpha_t


class V(Affine):
    """The network predicts v = alpha eps - sigma x_0 (Salimans & Ho 2022)."""

    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """alpha and -sigma."""
        alpha_t, sigma_t = kernel.alpha_sigma(t)
        return alpha_t, -sigma_t


class Mean(Affine):
    """The network predicts the mean of q(x_s | x_t, x_0), s = t - 1/T (Ho et al. 2020, eqs. 7, 8).

    `steps` is T, the chain it is defined on; at other steps the same x_0-hat is used.
    """

    def __init__(self, steps: int = 1000) -> None:
        if steps < 1:
            raise ValueError(f"steps={steps}: the mean of a reverse step needs a chain of T >= 1 steps")
        self.steps = steps

    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """-b/a and 1/a of the bridge from t to t - 1/T."""
        bridge = kernel.coefficients(self._before(t), t)
        return -bridge.b / bridge.a, 1 / bridge.a

    def _before(self, t: Tensor) -> Tensor:
        s = (t - 1 / self.steps).clamp(min=0)
        return torch.where(s < 1e-9, 0.0, s)


class Perturbed(Mean):
    """The network perturbs the forward step: E[x_s] = sqrt(1 - beta) x_t + sqrt(beta) output, s = t - 1/T.

    Sohl-Dickstein et al. 2015, eq. 65, as their reference implementation has it: in print the square root of
    1 - beta is missing, and an output of zero would not be the forward kernel. `steps` is T.
    """

    def coefficients(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor]:
        """(sqrt(1 - beta) - b)/a and sqrt(beta)/a of the bridge from t to t - 1/T."""
        bridge = kernel.coefficients(self._before(t), t)
        return ((1 - bridge.beta).sqrt() - bridge.b) / bridge.a, bridge.beta.sqrt() / bridge.a


class Clipped(Numbers):
    """Another parameterization, its prediction clipped to [low, high] (Ho et al. 2020, their code).

    What the data cannot be is not predicted: in samples, in the bound and its terms. Errors of the network's
    own output are what they were, and gradients pass as if nothing were clipped. Raises ValueError for ends
    that are none, and for predictions of symbols.
    """

    def __init__(self, of: Parameterization, low: float = -1.0, high: float = 1.0) -> None:
        if not low < high:
            raise ValueError(f"low={low}, high={high}: predictions are clipped to an interval")
        if not isinstance(of, Numbers):
            raise ValueError(f"of={type(of).__name__.lower()}: only predictions of real numbers are clipped")
        self.of, self.low, self.high, self.base = of, low, high, of.base

    def check(self, kernel: Kernel) -> None:
        """What the other one refuses."""
        self.of.check(kernel)

    def features(self, x_t: Tensor, t: Tensor, kernel: Kernel) -> Tensor:
        """The other one's."""
        return self.of.features(x_t, t, kernel)

    def target(self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """The other one's."""
        return self.of.target(x_0, x_t, t, kernel)

    def gain(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """The other one's."""
        return self.of.gain(x_t, t, kernel)

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """x_0-hat, clipped."""
        x_0 = self.of.predict(output, x_t, t, kernel)
        return x_0 + (x_0.clamp(self.low, self.high) - x_0).detach()


def _name(kernel: Kernel) -> str:
    return type(kernel).__name__.lower()
