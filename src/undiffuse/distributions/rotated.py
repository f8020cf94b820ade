"""The normal distribution of a whole example at once, independent along the axes of others.

With the columns of an orthogonal U as axes, N(x; loc, U diag(var) U'). Results per element are those of the
elements z = U' x, whose sum is the joint's:

    log p(z_i)     = log N(z_i; (U' loc)_i, var_i)
    KL(1 || 2)     = that of two normals along the axes, if both have these axes or one variance for all
    tilt by g      = N(loc + U diag(var) U' g, U diag(var) U')
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from undiffuse.axes import Axes
from undiffuse.devices import onto
from undiffuse.distributions.base import Distribution, picked
from undiffuse.distributions.correlated import Correlated
from undiffuse.distributions.normal import Normal
from undiffuse.random import Generator, normal


@dataclass(frozen=True, eq=False)
class Rotated(Distribution):
    """N(loc, U diag(var) U') with `loc` (B, *shape), and `var` of that shape or (1, *shape) along `axes`."""

    loc: Tensor
    var: Tensor
    axes: Axes

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
        """loc + U sqrt(var) z, z standard normal."""
        z = normal(tuple(self.shape), generator, self.loc.dtype, self.loc.device)
        return self.loc + self.axes.back(self.var.sqrt().to(z) * z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of every coordinate along the axes, in nats."""
        return self._from(x).log_prob(torch.zeros((), dtype=x.dtype))

    def entropy(self) -> Tensor:
        """Differential entropy of every coordinate along the axes, in nats."""
        return Normal(self.loc, self.var).entropy()

    def kl(self, other: Distribution) -> Tensor:
        """KL(self || other) for a normal with these axes, or with one variance an example."""
        second = self._on_axes(other)
        if second is None:
            return self.joint().kl(other.joint())
        return self._from(other.mean).kl(Normal(torch.zeros_like(self.loc), second))

    def kl_from(self, first: Distribution) -> Tensor:
        """KL(first || self) for other normals."""
        var = self._on_axes(first)
        if var is None:
            return self.joint().kl_from(first)
        return Normal(self._from(first.mean).loc, var).kl(Normal(torch.zeros_like(self.loc), self.var))

    def tilt(self, g: Tensor) -> "Rotated":
        """N(loc + U diag(var) U' g, U diag(var) U')."""
        return replace(self, loc=self.loc + self.axes.back(onto(self.var, g) * self.axes.along(g)))

    def blend(self, other: Distribution, weight: float) -> Distribution:
        """Along the axes, if the other has the same; else as matrices."""
        second = self._on_axes(other)
        if second is None:
            return self.joint().blend(other.joint(), weight)
        here, there = (self.axes.along(p.mean) for p in (self, other))
        mixed = Normal(here, self.var).blend(Normal(there, second), weight)
        return Rotated(self.axes.back(mixed.loc), mixed.var, self.axes)

    def pin(self, mask: Tensor, value: Tensor) -> Distribution:
        """As of a matrix of covariances; of none if nothing is pinned."""
        return self.joint().pin(mask, value) if bool(mask.any()) else self

    def rows(self, index: Tensor) -> "Rotated":
        """Means and variances of the rows."""
        return replace(self, loc=picked(self.loc, index, self.loc), var=picked(self.var, index, self.loc))

    def patch(self, mask: Tensor, other: Distribution) -> Distribution:
        """As of matrices of covariances."""
        return self.joint().patch(mask, other.joint())

    def joint(self) -> Correlated:
        """The same law with a matrix of covariances."""
        dense = self.axes.dense(self.shape[1:], self.loc)
        wide = dense * onto(self.var, self.loc).sqrt().flatten(1).unsqueeze(-2)
        # L of U var U' = L L', by the QR decomposition of its other root: nothing is squared
        root = torch.linalg.qr(wide.mT).R.mT
        sign = root.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        return Correlated(self.loc, root * torch.where(sign == 0, 1.0, sign))

    def elementwise(self) -> Correlated:
        """As of a matrix of covariances."""
        return self.joint()

    def alone(self) -> Normal:
        """Normals of the variances that the values have."""
        var = self.axes.diagonal(onto(self.var, self.loc)).expand(self.shape)
        return Normal(self.loc, var)

    def _from(self, x: Tensor) -> Normal:
        """The law of z less that of x, along the axes."""
        return Normal(self.axes.along(self.loc - x), self.var)

    def _on_axes(self, p: Distribution) -> Tensor | None:
        """The variances of another normal along these axes, if it is independent along them."""
        if isinstance(p, Rotated) and p.axes is self.axes:
            return p.var
        if isinstance(p, Normal) and (p.var.ndim == 0 or p.var[0].numel() == 1):
            return p.var
        return None
