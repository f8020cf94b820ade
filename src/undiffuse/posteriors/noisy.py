"""A noisy observation of the data, y = x_0 + std z (Sohl-Dickstein et al. 2015, section 2.5 and figure 3).

    r(x) = N(y; x, std^2)    for x_0 and, unchanged, for every x_t (eq. 23)

times a normal N(mean, var) is conjugate, with gain g = var / (var + std^2):

    N(mean + g (y - mean), g std^2),    1 / (g std^2) = 1 / var + 1 / std^2

It is not the exact posterior, however many steps: for N(0, 1) data, y = 1 and std = 1 the constant r leads to
N(2/3, 1/3), the posterior is N(1/2, 1/2).
"""

from torch import Tensor

from undiffuse.distributions import Discretized, Distribution, Normal
from undiffuse.model import Factor
from undiffuse.posteriors.observation import check_finite, check_fits


class Noisy(Factor):
    """x_0 was seen as `value` with normal noise of width `std`; for Gaussian kernels.

    `value` is y in x_0's coordinates, (B, *shape) or what broadcasts to it; `std` has the same unit. Raises
    ValueError for a value that is not finite or a std that is not positive.
    """

    def __init__(self, value: Tensor, std: float) -> None:
        if not 0 < std < float("inf"):
            raise ValueError(f"std={std}: noise has a positive, finite width; for none use Known")
        check_finite(value, "value")
        self.value, self.std = value, std

    def __call__(self, p: Distribution, s: Tensor) -> Distribution:
        """The conjugate product; of a rounded normal, before it is rounded."""
        check_fits(self.value, p)
        if isinstance(p, Normal):
            return self._times(p)
        if isinstance(p, Discretized):
            inner = self._times(Normal(p.loc, p.std.square()))
            return Discretized(inner.loc, inner.var.sqrt(), p.levels)
        raise ValueError(
            f"normal noise on a {type(p).__name__}: Noisy is for Gaussian kernels; for symbols use Known"
        )

    def _times(self, p: Normal) -> Normal:
        var = self.std**2
        gain = p.var / (p.var + var)
        return Normal(p.loc + gain.to(p.loc) * (self.value.to(p.loc) - p.loc), gain * var)
