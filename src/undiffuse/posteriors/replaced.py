"""Known elements as noisy as the rest: x_s has them from q(x_s | value) (Lugmayr et al. 2022, RePaint).

    p~(x_s | x_t) = q(x_s | value) where known, p(x_s | x_t) elsewhere

The rest sees them at the next step only, and never answers; `samplers.Resampled` goes back and forth, so that
both come to fit. For any kernel; paths cannot be weighed.
"""

from torch import Tensor

from undiffuse.devices import onto
from undiffuse.distributions import Distribution
from undiffuse.kernels import Discrete
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.known import Known
from undiffuse.product import Factor, Look, Product


class Replaced(Product):
    """For factors of the kind `Known`. Raises ValueError for others."""

    weighable = False

    def __init__(self, model: ReverseProcess, factor: Factor) -> None:
        super().__init__(model, factor)
        if not isinstance(factor, Known):
            raise ValueError(f"{type(factor).__name__}: what replaces elements of x_s is Known")
        self.known: Known = factor

    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        """The model's step, what is known replaced."""
        if s is None:
            base = self.model.decode(x_t, t)
            return Look(base, self.known.times(base), self._none)
        base = self.model.step(x_t, t, s)
        return Look(base, base.patch(self.known.mask, self._seen(x_t, s)), self._none)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The model's prediction, what is known replaced."""
        x_0 = self.model.predict(x_t, t)
        if isinstance(self.kernel, Discrete):
            return self.kernel.soft(self.known.times(self.kernel.law(x_0)))
        return self.known.fill(x_0)

    def prior(self, like: Tensor) -> Distribution:
        """pi."""
        return self.model.prior(like)

    def _seen(self, like: Tensor, s: Tensor) -> Distribution:
        """q(x_s | value)."""
        return self.kernel.marginal(onto(self.known.value, like).expand_as(like), s)

    def _none(self) -> Tensor:
        raise ValueError("Replaced has no r_t to weigh paths with: use Matched, or Tilted for symbols")
