"""Predictions that begin at a base, a density whose denoiser is known in closed form (`undiffuse.bases`).

The network's output is what the base leaves open: of symbols a change of their logits, of numbers the error
of the base's E[x_0 | x_t], in units of the deviation that the base gives x_0 there. A network whose last
layer starts at zero is the base, and from there on it learns what the base does not know.
"""

from typing import Any

from torch import Tensor

from undiffuse.bases import Base, Frequencies, NumberBase
from undiffuse.devices import onto, wide
from undiffuse.distributions import Distribution, Rotated
from undiffuse.kernels import Gaussian, Kernel, Universal
from undiffuse.parameterizations.base import Numbers, Parameterization
from undiffuse.parameterizations.variance import Variance
from undiffuse.tensors import like

LARGEST = 20.0  # of the log of a share


class Begun(Parameterization):
    """What the base makes of the output."""

    base: Base

    def check(self, kernel: Kernel) -> None:
        """What the base refuses."""
        self.base.check(kernel)

    def features(self, x_t: Tensor, t: Tensor, kernel: Kernel) -> Tensor:
        """Those of the base. Raises ValueError for examples of another shape than its own."""
        if tuple(x_t.shape[1:]) != self.base.shape:
            raise ValueError(f"examples of shape {tuple(x_t.shape[1:])}: the base is of {self.base.shape}")
        return self.base.features(x_t, t, kernel)

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Any) -> Tensor:
        """The base's prediction, changed by the output."""
        return self.base.predict(output, x_t, t, kernel)


class Residual(Begun, Numbers):
    """Of a base of real numbers. Raises ValueError for another one."""

    base: NumberBase

    def __init__(self, base: Base) -> None:
        if not isinstance(base, NumberBase):
            raise ValueError("parameterization=residual is of real numbers; use residual-logit for symbols")
        self.base = base

    def target(self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """What the base is off, along its axes and in its deviations."""
        return self.base.target(x_0, x_t, t, kernel)

    def gain(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """The base's deviations; along its axes, whose change of coordinates leaves sums of squares alone."""
        return onto(self.base.spread(x_t, t, kernel).sqrt(), x_t)


class ResidualLogit(Begun):
    """Of a base of symbols. Raises ValueError for another one."""

    def __init__(self, base: Base) -> None:
        if not isinstance(base, Frequencies):
            raise ValueError("parameterization=residual-logit is of symbols; use residual for numbers")
        self.base = base


class ResidualVariance(Variance):
    """As wide as what is left of x_0: a step of the base's own width, and a share of it that is learned.

        p(x_s | x_t) = N(a x_0-hat + b x_t, beta-tilde + a^2 e^raw Cov[x_0 | x_t])

    along the base's axes. raw = 0 is the base's step. For x_0 that is known exactly, raw falls without end
    and the bridge is left. Raises ValueError for a base of symbols.
    """

    last = True

    def __init__(self, base: Base, learned: bool = True) -> None:
        if not isinstance(base, NumberBase):
            raise ValueError("variance=residual is for a base of real numbers; for symbols use posterior")
        self.base, self.learned = base, learned

    def check(self, kernel: Kernel) -> None:
        """What the base refuses."""
        self.base.check(kernel)

    def step(
        self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor
    ) -> Distribution:
        """The bridge to the prediction, as much wider as x_0 is unsure."""
        bridge, left = kernel.coefficients(s, t), self._left(kernel, raw, x_t, t)
        mean = like(bridge.a, x_t) * x_0 + like(bridge.b, x_t) * x_t
        var = like(bridge.var, left) + like(bridge.a.square(), left) * left
        if isinstance(kernel, Universal):
            found: Distribution = kernel.around(mean, self.base.axes.diagonal(var).to(mean), s, t)
            return found
        return Rotated(mean, var, self.base.axes)

    def last_step(self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor) -> Distribution:
        """N(x_0-hat, e^raw Cov[x_0 | x_t])."""
        return Rotated(x_0, self._left(kernel, raw, x_t, t), self.base.axes)

    def _left(self, kernel: Any, raw: Tensor | None, x_t: Tensor, t: Tensor) -> Tensor:
        """e^raw Cov[x_0 | x_t] along the axes, float64."""
        var = wide(self.base.spread(x_t, t, kernel))
        return var if raw is None else var * wide(raw).clamp(-LARGEST, LARGEST).exp()


def beginning_at(base: Base) -> Parameterization:
    """What a network's output means for this base."""
    return Residual(base) if isinstance(base, NumberBase) else ResidualLogit(base)
