"""The normal distribution N(x; mean, var), one for every element.

log p(x)   = -(x - mean)^2 / (2 var) - log(2 pi var) / 2
entropy    = log(2 pi e var) / 2
KL(1 || 2) = (v_1/v_2 - 1 - log(v_1/v_2) + (mean_1 - mean_2)^2 / v_2) / 2
tilt by g  = N(mean + var g, var)
blend by w = N(v (w mean_1 / v_1 + (1 - w) mean_2 / v_2), v),   1 / v = w / v_1 + (1 - w) / v_2
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.devices import onto, sent
from undiffuse.distributions.base import Distribution, picked
from undiffuse.distributions.correlated import Correlated
from undiffuse.random import Generator, normal


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    """N(loc, var): `loc` of the data's shape, `var` >= 0 broadcastable to it (often 0-d).

    >>> Normal(torch.zeros(2), torch.tensor(1.0)).entropy() / math.log(2)  # bits
    tensor([2.0471, 2.0471])
    """

    loc: Tensor
    var: Tensor

    continuous = True

    @property
    def shape(self) -> torch.Size:
        """That of loc."""
        return self.loc.shape

    @property
    def mean(self) -> Tensor:
        """E[x] = loc."""
        return self.loc

    def sample(self, generator: Generator) -> Tensor:
        """loc + sqrt(var) z, z standard normal."""
        z = normal(tuple(self.shape), generator, self.loc.dtype, self.loc.device)
        return self.loc + self.var.sqrt().to(self.loc.dtype) * z

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at x, in nats."""
        return -0.5 * ((x - self.loc).square() / self.var + (2 * math.pi * self.var).log())

    def entropy(self) -> Tensor:
        """Differential entropy in nats, of the shape of the mean."""
        log_volume = sent((2 * math.pi * math.e * self.var).log(), self.loc.device)
        return 0.5 * log_volume.expand_as(self.loc)

    def kl(self, other: Distribution) -> Tensor:
        """KL(self || other) for another normal, its elements correlated or not."""
        if not isinstance(other, Normal):
            return other.kl_from(self)
        ratio = self.var / other.var
        excess = ratio - 1 - ratio.log()
        return 0.5 * (excess + (self.loc - other.loc).square() / other.var)

    def joint(self) -> Correlated:
        """Independent elements, as one law."""
        std = onto(self.var, self.loc).sqrt().expand(self.shape)
        return Correlated(self.loc, torch.diag_embed(std.flatten(1)))

    def tilt(self, g: Tensor) -> "Normal":
        """N(loc + var g, var)."""
        return Normal(self.loc + self.var * g, self.var)

    def blend(self, other: Distribution, weight: float) -> "Normal":
        """Precisions and their products with the means, mixed."""
        if not isinstance(other, Normal):
            raise TypeError(f"a Normal blends with another Normal, not with {other!r}")
        share = weight + (1 - weight) * self.var / other.var  # of v_1 / v
        if not bool((share > 0).all()):
            raise ValueError(
                f"weight={weight}: no distribution where the first of two normals is much wider than the "
                "second; use a weight nearer to 1"
            )
        own = onto(weight / share, self.loc)
        return Normal(own * self.loc + (1 - own) * other.loc, self.var / share)

    def pin(self, mask: Tensor, value: Tensor) -> "Normal":
        """Mean `value` and variance 0 where the mask is True."""
        mask = sent(mask, self.loc.device)
        loc = torch.where(mask, onto(value, self.loc), self.loc)
        return Normal(loc, sent(self.var, loc.device).masked_fill(mask, 0))

    def rows(self, index: Tensor) -> "Normal":
        """Means and variances of the rows."""
        return Normal(picked(self.loc, index, self.loc), picked(self.var, index, self.loc))

    def patch(self, mask: Tensor, other: Distribution) -> "Normal":
        """Means and variances, patched."""
        if not isinstance(other, Normal):
            raise TypeError(f"a Normal is patched with another Normal, not with {other!r}")
        mask = sent(mask, self.loc.device)
        loc = torch.where(mask, onto(other.loc, self.loc), self.loc)
        theirs, own = (onto(var, loc) for var in (other.var, self.var))
        return Normal(loc, torch.where(mask, theirs, own))
