"""r_t(x_t) = E[r(x_0) | x_t], x_0 given x_t being taken as independent, as the network says it.

For symbols, and for the columns of a table.

The prediction times r is a prediction again, and the bridge to it the step:

    p~(x_s | x_t) = sum over x_0 of q(x_s | x_t, x_0) p(x_0 | x_t) r(x_0) / r_t(x_t)

element by element. Exact for independent elements; of others it misses that what is seen of one changes what
is expected of the next, until the next look at x_s. Weights repair that (`samplers.Particles`).
"""

from typing import Any

from torch import Tensor

from undiffuse.distributions import Columns, Distribution
from undiffuse.kernels import Discrete, Mixed
from undiffuse.model import ReverseProcess
from undiffuse.product import Factor, Look, Product


class Tilted(Product):
    """For kernels of symbols, and of columns. Raises ValueError for others."""

    def __init__(self, model: ReverseProcess, factor: Factor) -> None:
        super().__init__(model, factor)
        if not isinstance(model.kernel, Discrete | Mixed):
            raise ValueError("Tilted takes x_0 to be independent symbols given x_t: for numbers use Matched")
        self.chain: Any = model.kernel

    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        """The tilted prediction, and the bridge to it."""
        law, base = self.model.laws(x_t, t, s)
        if s is None:
            return Look(base, self.factor.times(base), lambda: self.factor.normaliser(law))
        step = self.chain.bridge(self.chain.soft(self.factor.times(law)), x_t, s, t)
        return Look(base, step, lambda: self.factor.normaliser(law))

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The tilted prediction, soft; of columns a point."""
        found = self.factor.times(self.model.laws(x_t, t, None)[0])
        return found.point.to(x_t) if isinstance(found, Columns) else self.chain.soft(found)

    def prior(self, like: Tensor) -> Distribution:
        """pi: x_1 says little of x_0."""
        return self.model.prior(like)
