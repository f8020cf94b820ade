"""Values of a table's columns by a normal law of their scores (`undiffuse.marginals`).

    p(v) = Phi((b - mean) / std) - Phi((a - mean) / std)        of a level, whose cell has scores from a to b
    p(v) = N(g(v); mean, std^2) g'(v)                           of a continuous value, a density in its own
    units

An element is a score z = g(v), of levels that of the cell's middle.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from undiffuse.devices import sent, wide
from undiffuse.distributions.base import Distribution
from undiffuse.distributions.normal import Normal
from undiffuse.marginals import Marginals, log_between
from undiffuse.random import Generator


@dataclass(frozen=True, eq=False)
class Scored(Distribution):
    """The law of scores (B, n) of these columns whose normal one is `law`; results in float64 nats.

    What tilts, blends and pins it does so before values are taken for levels.
    """

    law: Normal
    of: Marginals

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Whether any column is."""
        return bool((self.of.steps == 0).any())

    @property
    def shape(self) -> torch.Size:
        """(B, n)."""
        return self.law.shape

    @property
    def mean(self) -> Tensor:
        """The normal law's."""
        return self.law.mean

    def sample(self, generator: Generator) -> Tensor:
        """A normal draw; the middle of the cell that it is in."""
        z = self.law.sample(generator)
        return torch.where(self.of.steps > 0, self.of.encode(self.of.decode(z)).to(z), z)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p of the values with these scores."""
        loc, std = wide(self.law.loc), wide(self.law.var).sqrt()
        lower, upper = ((end - loc) / std for end in self.of.cells(x))
        density = Normal(loc, std.square()).log_prob(wide(x)) + self.of.log_slope(x)
        return torch.where(self.of.steps > 0, log_between(lower, upper), density)

    def entropy(self) -> Tensor:
        """Not known in closed form: TypeError."""
        raise TypeError("the entropy of values of columns is not known in closed form")

    def kl(self, other: Distribution) -> Tensor:
        """Not known in closed form: TypeError."""
        raise TypeError("a divergence of laws of values of columns is not known in closed form")

    def tilt(self, g: Tensor) -> "Scored":
        """The normal law's."""
        return replace(self, law=self.law.tilt(g))

    def blend(self, other: Distribution, weight: float) -> "Scored":
        """The normal laws'."""
        return replace(self, law=self.law.blend(_law(other), weight))

    def pin(self, mask: Tensor, value: Tensor) -> "Scored":
        """The normal law's, a little wide, so that logarithms stay finite."""
        law = self.law.pin(mask, value)
        return replace(self, law=Normal(law.loc, law.var.clamp(min=1e-18)))

    def rows(self, index: Tensor) -> "Scored":
        """Of these rows."""
        return replace(self, law=self.law.rows(index))

    def patch(self, mask: Tensor, other: Distribution) -> "Scored":
        """The normal laws', patched."""
        return replace(self, law=self.law.patch(sent(mask, self.law.loc.device), _law(other)))


def _law(other: Distribution) -> Normal:
    if not isinstance(other, Scored):
        raise TypeError(f"known of laws of the same columns, not of {other!r}")
    return other.law
