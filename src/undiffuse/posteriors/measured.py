"""Linear measurements with normal noise, y = A x_0 + std z, and what they say of a normal belief N(m, C):

    r(x)  = N(y; A x, std^2)
    E[r]  = N(y; A m, V),   V = A C A' + std^2
    mean' = m + C A' V^-1 (y - A m),    C' = C - C A' V^-1 A C

V^-1 is found by conjugate gradients, or, where C is a matrix, by Cholesky's factorisation.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from undiffuse.devices import onto, wide
from undiffuse.distributions import Correlated, Discretized, Distribution, Normal, Rotated
from undiffuse.kernels import Kernel
from undiffuse.posteriors.belief import DENSE, Belief
from undiffuse.posteriors.normals import conjugate_gradients, shifted, stable_root, variance
from undiffuse.posteriors.observation import Observation, check_finite, check_fits, check_std
from undiffuse.posteriors.operators import Function, Operator
from undiffuse.tensors import ONE, dims, like, total

NO_LIMIT = torch.tensor(math.inf)
LEAST = 1e-30  # a power of r that is as good as none


class Measured(Observation):
    """y = `value` (B, *out) or (*out), measured of x_0 by the operator with noise of width `std`."""

    def __init__(self, operator: Operator, value: Tensor, std: float | Tensor) -> None:
        self.operator, self.value, self.std = operator, value, std

    def check(self, kernel: Kernel) -> None:
        """Refuse symbols."""
        if kernel.symbols is not None:
            raise ValueError(
                f"{type(self).__name__} is a measurement of numbers with normal noise: for Gaussian kernels; "
                "for symbols use Known or Odds"
            )

    def log(self, x: Tensor) -> Tensor:
        """log N(y; A x, std^2)."""
        seen = self.operator(x)
        return total(Normal(seen, self._var(seen)).log_prob(self._value(seen)))

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """The conjugate product; of a rounded normal, before it is rounded.

        Of many independent elements the mean is right, and the width left as it is.
        """
        if not bool((power > 0).any()):
            return p
        belief = _belief(p)
        by = like(power, self.operator(belief.mean)) if power.ndim else power  # one a row of measurements
        std = self.std / by.clamp(min=LEAST).sqrt()
        found = Measured(self.operator, self.value, std).update(belief)[0]
        if found.matrix is None:
            return shifted(p, found.mean - belief.mean)
        return Correlated(found.mean, stable_root(found.matrix, belief.matrix).to(found.mean))

    def normaliser(self, p: Distribution) -> Tensor:
        """log N(y; A m, A var A' + std^2); of many independent elements as if A were the identity."""
        return self.update(_belief(p))[1]()

    def update(self, belief: Belief) -> tuple[Belief, Callable[[], Tensor]]:
        """The belief once y is known, and log E[r], (B,).

        A belief without a matrix takes A x to be white there, up to a constant.
        """
        seen = self.operator(belief.mean)
        away = self._value(seen) - seen
        if belief.matrix is not None:
            return self._update_dense(belief, belief.matrix, away)
        shape = belief.mean.shape[1:]

        def product(w: Tensor) -> tuple[Tensor, Tensor]:  # V w and C A' w
            carried = belief.spread(self.operator.adjoint(w, shape))
            return self.operator(carried) + self._var(w) * w, carried

        def gain(y: Tensor) -> Tensor:  # C A' V^-1 y
            return conjugate_gradients(product, y, belief.iterations, belief.most)

        def narrowed(v: Tensor) -> Tensor:
            across = belief.spread(v)
            return across - gain(self.operator(across))

        def log_r() -> Tensor:
            return total(Normal(torch.zeros_like(away), self._var(away) + belief.var).log_prob(away))

        return replace(belief, mean=belief.mean + gain(away), along=narrowed), log_r

    def _update_dense(
        self, belief: Belief, matrix: Tensor, away: Tensor
    ) -> tuple[Belief, Callable[[], Tensor]]:
        measured = wide(self.operator.dense(belief.mean))
        across = measured @ matrix
        noise = wide(self._var(away).expand(away.shape).flatten(1))
        root = stable_root(across @ measured.mT + torch.diag_embed(noise))
        z = torch.linalg.solve_triangular(root, wide(away.flatten(1).unsqueeze(-1)), upper=False)
        gain = torch.linalg.solve_triangular(root, across, upper=False)  # L^-1 A C
        by = (gain.mT @ z).view(belief.mean.shape).to(belief.mean.dtype)

        def log_r() -> Tensor:
            widths = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            log_r: Tensor = -0.5 * (z.square().sum((1, 2)) + z.shape[1] * math.log(2 * math.pi)) - widths
            return log_r

        return replace(belief, mean=belief.mean + by, matrix=matrix - gain.mT @ gain), log_r

    def _value(self, seen: Tensor) -> Tensor:
        """y as measurements (B, *out) are. Raises ValueError for a y of another shape."""
        check_fits(self.value, seen.shape)
        return onto(self.value, seen)

    def _var(self, like: Tensor) -> Tensor:
        """std^2, to broadcast against measurements (B, *out)."""
        return onto(torch.as_tensor(self.std, dtype=torch.float64), like).square()


class Linear(Measured):
    """`value` is what the operator made of x_0, with normal noise of width `std`; for Gaussian kernels.

    `operator` is one of `posteriors.operators` or any linear function of (B, *shape); `value` is (*out) or
    (B, *out). Raises ValueError for values that are not finite or a std that is not positive.
    """

    def __init__(
        self, operator: Operator | Callable[[Tensor], Tensor], value: Tensor, std: float | Tensor
    ) -> None:
        check_std(std)
        check_finite(value, "value")
        super().__init__(operator if isinstance(operator, Operator) else Function(operator), value, std)


def _belief(p: Distribution) -> Belief:
    """A normal distribution as a belief: with its matrix where the elements are few or correlated.

    Raises ValueError for other distributions.
    """
    if isinstance(p, Correlated | Rotated):
        return Belief(p.loc, lambda v: v, p.loc, NO_LIMIT, 1, variance(p))
    if not isinstance(p, Normal | Discretized):
        raise ValueError(
            f"normal noise on a {type(p).__name__}: for Gaussian kernels; for symbols use Known or Odds"
        )
    var = onto(p.var if isinstance(p, Normal) else p.std.square(), p.loc)
    few = isinstance(p, Normal) and dims(p.shape[1:]) <= DENSE
    matrix = wide(torch.diag_embed(var.expand(p.shape).flatten(1))) if few else None
    return Belief(p.loc, lambda v: var * v, var.mean(), var.amax(), 30, matrix)
