"""A normal distribution rounded to K equally spaced levels of [-1, 1] (DDPM, eq. 13).

Level k stands for x = 2 k / (K - 1) - 1 and owns the interval x +- h, h = 1 / (K - 1); the first and the
last level own the tails as well, so the K probabilities sum to one:

    p(x) = Phi((x + h - mean) / std) - Phi((x - h - mean) / std)

It is worked out in float64 and in log space (`marginals.log_between`), so that neither tail loses its digits
nor its gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import log_ndtr

from undiffuse.devices import onto, sent, wide, widest
from undiffuse.distributions.base import Distribution, picked
from undiffuse.distributions.categorical import Categorical
from undiffuse.distributions.normal import Normal
from undiffuse.marginals import log_between
from undiffuse.random import Generator

FARTHEST = 1e6  # standard deviations; keeps squares and their gradients finite


@dataclass(frozen=True, eq=False)
class Discretized(Distribution):
    """N(loc, std^2) rounded to `levels` values in [-1, 1]; results in float64 nats.

    Raises ValueError unless 2 <= levels <= 65536.

    >>> p = Discretized(torch.zeros(()), torch.tensor(0.1), levels=3)
    >>> p.log_probs.exp()
    tensor([2.8665e-07, 1.0000e+00, 2.8665e-07], dtype=torch.float64)
    """

    loc: Tensor
    std: Tensor
    levels: int

    def __post_init__(self) -> None:
        check_levels(self.levels)

    @property
    def shape(self) -> torch.Size:
        """That of loc."""
        return self.loc.shape

    @property
    def values(self) -> Tensor:
        """The levels ``(K,)`` in [-1, 1], float64."""
        k = torch.arange(self.levels, device=self.loc.device, dtype=widest(self.loc.device))
        return 2 * k / (self.levels - 1) - 1

    @property
    def log_probs(self) -> Tensor:
        """Log-probability of every level, ``(..., K)``."""
        spread = Discretized(self.loc.unsqueeze(-1), self.std.unsqueeze(-1), self.levels)
        return spread.log_prob(self.values)

    @property
    def mean(self) -> Tensor:
        """E[x] over the levels, in loc's dtype."""
        return self._table().mean.to(self.loc.dtype)

    def sample(self, generator: Generator) -> Tensor:
        """A normal draw, rounded to its level."""
        return self._level(Normal(self.loc, self.std.square()).sample(generator))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of the level nearest to x."""
        k = ((wide(x) + 1) * ((self.levels - 1) / 2)).round()
        loc, std = wide(self.loc), wide(self.std)
        upper = ((2 * k + 1) / (self.levels - 1) - 1 - loc) / std
        lower = ((2 * k - 1) / (self.levels - 1) - 1 - loc) / std
        upper, lower = upper.clamp(-FARTHEST, FARTHEST), lower.clamp(-FARTHEST, FARTHEST)
        inside = torch.where(k >= self.levels - 1, log_ndtr(-lower), log_between(lower, upper))
        return torch.where(k <= 0, log_ndtr(upper), inside)

    def entropy(self) -> Tensor:
        """Entropy in nats, at most log K."""
        return self._table().entropy()

    def kl(self, other: Distribution) -> Tensor:
        """KL to another rounded normal over the same levels."""
        if not isinstance(other, Discretized):
            raise TypeError(f"KL needs another Discretized over the same levels, not {other!r}")
        return self._table().kl(other._table())

    def tilt(self, g: Tensor) -> Categorical:
        """The tilted law is no rounded normal, but it is categorical over the same levels."""
        return self._table().tilt(g)

    def blend(self, other: Distribution, weight: float) -> Categorical:
        """Log-probabilities of the levels, mixed."""
        if not isinstance(other, Discretized) or other.levels != self.levels:
            raise TypeError(f"a Discretized blends with one over the same levels, not with {other!r}")
        return self._table().blend(other._table(), weight)

    def pin(self, mask: Tensor, value: Tensor) -> "Discretized":
        """The level nearest to `value`, in a thousandth of a level's width, where the mask is True."""
        mask = sent(mask, self.loc.device)
        loc = torch.where(mask, self._level(onto(value, self.loc)), self.loc)
        std = sent(self.std, loc.device).masked_fill(mask, 1e-3 / self.levels)
        return Discretized(loc, std, self.levels)

    def rows(self, index: Tensor) -> "Discretized":
        """Means and widths of the rows."""
        loc, std = (picked(x, index, self.loc) for x in (self.loc, self.std))
        return Discretized(loc, std, self.levels)

    def patch(self, mask: Tensor, other: Distribution) -> "Discretized":
        """Means and widths, patched."""
        if not isinstance(other, Discretized) or other.levels != self.levels:
            raise TypeError(f"a Discretized is patched with one over the same levels, not with {other!r}")
        mask = sent(mask, self.loc.device)
        loc = torch.where(mask, onto(other.loc, self.loc), self.loc)
        return Discretized(loc, torch.where(mask, onto(other.std, loc), onto(self.std, loc)), self.levels)

    def _level(self, x: Tensor) -> Tensor:
        """The level nearest to x."""
        scale = (self.levels - 1) / 2
        return ((x + 1) * scale).round().clamp(0, self.levels - 1) / scale - 1

    def _table(self) -> Categorical:
        return Categorical(self.log_probs, self.values)


def check_levels(levels: int) -> None:
    """Raise ValueError unless `levels` is a number of values that data can have."""
    if not 2 <= levels <= 65536:
        raise ValueError(f"levels={levels}: data has from 2 to 65536 levels (256 for bytes)")
