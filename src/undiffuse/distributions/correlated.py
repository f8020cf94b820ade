"""The normal distribution of a whole example at once, N(x; mean, L L'), its elements correlated.

With z = L^-1 (x - mean), in the order in which the elements lie in memory, element i given those before it is
N(mean_i + sum_{j<i} L_ij z_j, L_ii^2). Results per element are those of the chain rule

    log p(x_i | x_<i)  = -z_i^2 / 2 - log L_ii - log(2 pi) / 2
    entropy            = log(2 pi e) / 2 + log L_ii
    KL(1 || 2)         = (sum_j M_ij^2 + d_i^2 - 1) / 2 - log M_ii,
                         M = L_2^-1 L_1,  d = L_2^-1 (mean_1 - mean_2)
    tilt by g          = N(mean + L L' g, L L')

and their sum is the joint's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.devices import onto, sent, wide
from undiffuse.distributions.base import Distribution, picked
from undiffuse.random import Generator, normal


@dataclass(frozen=True, eq=False)
class Correlated(Distribution):
    """N(loc, L L') with `loc` (B, *shape) and `root` L (B, n, n) or (1, n, n), lower triangular."""

    loc: Tensor
    root: Tensor

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
        """loc + L z, z standard normal."""
        z = normal(tuple(self.shape), generator, self.loc.dtype, self.loc.device)
        return self.loc + _apply(self.root, z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of every element given those before it, in nats."""
        z = _solve(self.root, x - self.loc)
        found: Tensor = -0.5 * (z.square() + math.log(2 * math.pi)) - self._log_widths()
        return found

    def entropy(self) -> Tensor:
        """Differential entropy of every element given those before it, in nats."""
        return 0.5 * math.log(2 * math.pi * math.e) + self._log_widths()

    def kl(self, other: Distribution) -> Tensor:
        """KL(self || other), element by element."""
        second = joined(other)
        ratio = torch.linalg.solve_triangular(second.root, self.root, upper=False)
        away = _solve(second.root, self.loc - second.loc)
        spread = ratio.square().sum(-1) - 1 - 2 * ratio.diagonal(dim1=-2, dim2=-1).log()
        found: Tensor = 0.5 * (spread.view(-1, *self.shape[1:]) + away.square())
        return found

    def kl_from(self, first: Distribution) -> Tensor:
        """KL(first || self) for independent elements."""
        return joined(first).kl(self)

    def tilt(self, g: Tensor) -> "Correlated":
        """N(loc + L L' g, L L')."""
        return Correlated(self.loc + _apply(self.root, _apply(self.root.mT, g)), self.root)

    def blend(self, other: Distribution, weight: float) -> "Correlated":
        """Precision matrices and their products with the means, mixed."""
        second = joined(other)
        own, its = (
            (weight * torch.cholesky_inverse(self.root)),
            (1 - weight) * torch.cholesky_inverse(second.root),
        )
        precision, failed = torch.linalg.cholesky_ex(own + its)
        if bool(failed.any()):
            raise ValueError(
                f"weight={weight}: no distribution where the first of two normals is much wider than the "
                "second; use a weight nearer to 1"
            )
        pull = _apply(own, self.loc) + _apply(its, second.loc)
        var = torch.cholesky_inverse(precision)
        return Correlated(_apply(var, pull), torch.linalg.cholesky(var))

    def pin(self, mask: Tensor, value: Tensor) -> "Correlated":
        """Mean `value` and no width where the mask is True; the others keep their law, not their draws."""
        if not bool(mask.any()):
            return self
        mask = sent(mask, self.loc.device).expand(self.shape)
        loc = torch.where(mask, onto(value, self.loc), self.loc)
        certain = mask.flatten(1) | (self.root.diagonal(dim1=-2, dim2=-1) == 0)
        root = wide(self.root).masked_fill(certain.unsqueeze(-1), 0)
        root = torch.linalg.cholesky(root @ root.mT + torch.diag_embed(wide(certain)))
        return Correlated(loc, root.masked_fill(certain.unsqueeze(-1), 0).to(loc))

    def rows(self, index: Tensor) -> "Correlated":
        """Means and roots of the rows."""
        return Correlated(picked(self.loc, index, self.loc), picked(self.root, index, self.root))

    def patch(self, mask: Tensor, other: Distribution) -> "Correlated":
        """The elements where the mask is True are the other's, and independent of the rest."""
        second = joined(other)
        mask = sent(mask, self.loc.device).expand(self.shape)
        loc, line = torch.where(mask, second.loc, self.loc), mask.flatten(1)
        across = line.unsqueeze(-1) == line.unsqueeze(-2)
        var = torch.where(line.unsqueeze(-1), second.root @ second.root.mT, self.root @ self.root.mT)
        return Correlated(loc, torch.linalg.cholesky(var * across))

    def _log_widths(self) -> Tensor:
        widths = _regular(self.root).diagonal(dim1=-2, dim2=-1).log()
        return widths.view(-1, *self.shape[1:]).expand(self.shape)

    def joint(self) -> "Correlated":
        """Itself."""
        return self


def joined(p: Distribution) -> Correlated:
    """The law of whole examples that p is. Raises TypeError for what is no normal."""
    found = p.joint()
    assert isinstance(found, Correlated)
    return found


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix x, of x's shape."""
    return (matrix @ x.flatten(1).unsqueeze(-1)).view(x.shape)


def _solve(root: Tensor, x: Tensor) -> Tensor:
    """L^-1 x, of x's shape."""
    found: Tensor = torch.linalg.solve_triangular(_regular(root), x.flatten(1).unsqueeze(-1), upper=False)
    return found.view(x.shape)


def _regular(root: Tensor) -> Tensor:
    """The root, with width 1 where there is none: what is certain deviates by 0 whatever its width."""
    certain = root.diagonal(dim1=-2, dim2=-1) == 0
    return root + torch.diag_embed(certain.to(root))
