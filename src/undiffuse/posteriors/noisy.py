"""A noisy observation of the data, y = x_0 + std z (Sohl-Dickstein et al. 2015, section 2.5 and figure 3).

    r(x) = N(y; x, std^2)

to the power c, times a normal N(mean, var), is conjugate, with gain g = c var / (c var + std^2):

    N(mean + g (y - mean), (1 - g) var),    1 / ((1 - g) var) = 1 / var + c / std^2
"""

from torch import Tensor

from undiffuse.devices import onto
from undiffuse.distributions import Discretized, Distribution, Normal
from undiffuse.posteriors.measured import Measured
from undiffuse.posteriors.observation import check_finite, check_std
from undiffuse.posteriors.operators import Identity
from undiffuse.tensors import ONE, like


class Noisy(Measured):
    """x_0 was seen as `value` with normal noise of width `std`; for Gaussian kernels.

    `value` is y in x_0's coordinates, (B, *shape) or what broadcasts to it; `std` has the same unit. Raises
    ValueError for a value that is not finite or a std that is not positive.
    """

    products = 1  # every value is seen: more steps are worth more than a finer look

    def __init__(self, value: Tensor, std: float | Tensor) -> None:
        check_std(std)
        check_finite(value, "value")
        super().__init__(Identity(), value, std)

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """The conjugate product; of a rounded normal, before it is rounded."""
        if isinstance(p, Discretized):
            inner = self._times(Normal(p.loc, p.std.square()), power)
            return Discretized(inner.loc, inner.var.sqrt(), p.levels)
        return self._times(p, power) if isinstance(p, Normal) else super().times(p, power)

    def _times(self, p: Normal, power: Tensor) -> Normal:
        noise, var, power = self._var(p.loc), onto(p.var, p.loc), onto(like(power, p.loc), p.loc)
        seen = power * var + noise
        return Normal(p.loc + power * var / seen * (self._value(p.loc) - p.loc), var * noise / seen)
