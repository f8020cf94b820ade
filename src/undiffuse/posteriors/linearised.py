"""A factor to first order: log r is linear across a step, about its mean (2015, eq. 61).

    p(x) r(x)  ->  p(x) exp(g x),    g = grad log r(E_p[x])

which shifts a normal by its variance times g and leaves its width: off by the square of that variance.
"""

from torch import Tensor

from undiffuse.kernels import Kernel
from undiffuse.posteriors.observation import Observation
from undiffuse.product import Factor


class Linearised(Observation):
    """Another factor to first order. Raises ValueError for one that has no slope."""

    def __init__(self, of: Factor) -> None:
        if of.pinned is not None:
            raise ValueError(f"{type(of).__name__} makes elements certain: there is no slope to follow")
        if not of.smooth:
            raise ValueError(f"{type(of).__name__} is a table without a slope: multiply by it as it is")
        self.of = of

    def check(self, kernel: Kernel) -> None:
        """What the factor itself refuses."""
        self.of.check(kernel)

    def log(self, x: Tensor) -> Tensor:
        """That of the factor."""
        return self.of.log(x)
