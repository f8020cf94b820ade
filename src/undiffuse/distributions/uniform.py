"""The uniform distribution on an interval, and what a normal one becomes when uniform noise is added.

    Uniform     p(x) = 1 / w                                                  for |x - mean| <= w / 2
    Smoothed    p(x) = [Phi((x - mean + w/2) / std) - Phi((x - mean - w/2) / std)] / w

The second is the density of a dithered normal number: rounding it to a grid of spacing w that is shifted by
uniform noise gives a point at x with probability w p(x) (Ziv 1985; Yang et al. 2024). Its logarithm bends
within a few std of either end and is smooth elsewhere, so that integrals are Gauss-Legendre sums over the
pieces.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from undiffuse.devices import onto, wide, widest
from undiffuse.distributions.base import Distribution, picked
from undiffuse.distributions.normal import Normal
from undiffuse.marginals import log_between
from undiffuse.random import Generator, uniform

NODES, WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(12))
TAILS = 8.0  # standard deviations about an end of a smoothed interval in which its log-density bends


class _Alone(Distribution):
    """No family to be tilted, blended or pinned in."""

    loc: Tensor
    continuous = True

    @property
    def shape(self) -> torch.Size:
        """That of loc."""
        return self.loc.shape

    @property
    def mean(self) -> Tensor:
        """E[x] = loc."""
        return self.loc

    def tilt(self, g: Tensor) -> NoReturn:
        """Refused: what results is not of this family."""
        _refuse("tilted")

    def blend(self, other: Distribution, weight: float) -> NoReturn:
        """Refused: what results is not of this family."""
        _refuse("blended")

    def pin(self, mask: Tensor, value: Tensor) -> NoReturn:
        """Refused: a point has no place in this family."""
        _refuse("pinned")

    def patch(self, mask: Tensor, other: Distribution) -> NoReturn:
        """Refused."""
        _refuse("patched")


@dataclass(frozen=True, eq=False)
class Uniform(_Alone):
    """Uniform on loc +- width / 2; `width` > 0 is 0-d or broadcasts to loc."""

    loc: Tensor
    width: Tensor

    def sample(self, generator: Generator) -> Tensor:
        """loc + width (u - 1/2)."""
        u = uniform(tuple(self.shape), generator, self.loc.dtype, self.loc.device)
        return self.loc + onto(self.width, self.loc) * (u - 0.5)

    def log_prob(self, x: Tensor) -> Tensor:
        """-log width inside, -inf outside."""
        outside = (x - self.loc).abs() > self.width / 2
        return self.entropy().neg().masked_fill(outside, -torch.inf)

    def entropy(self) -> Tensor:
        """Log width, in nats."""
        return onto(self.width, self.loc).log().expand_as(self.loc)

    def kl(self, other: Distribution) -> Tensor:
        """KL to a density of real numbers: its mean log-density over the interval."""
        if not isinstance(other, Smoothed | Normal):
            raise TypeError(f"KL from a Uniform is known to a Smoothed or a Normal, not to {other!r}")
        mean = torch.zeros((), dtype=torch.float64)
        for begin, end in pairwise(self._cuts(other)):
            if not bool((end > begin).any()):
                continue
            for node, w in zip(NODES.tolist(), WEIGHTS.tolist(), strict=True):
                part = (begin + end + (end - begin) * node) / 2
                mean = mean + w / 2 * (end - begin) * other.log_prob(self.loc + self.width * part)
        return -self.entropy() - mean

    @torch.no_grad()
    def _cuts(self, other: "Smoothed | Normal") -> list[Tensor]:
        """Where the other's log-density bends, as parts -1/2 to 1/2 of the interval, both included."""
        device = self.loc.device
        ends = [torch.tensor(end, dtype=widest(device), device=device) for end in (-0.5, 0.5)]
        if isinstance(other, Normal):
            return ends
        half, reach = wide(other.width) / 2, TAILS * wide(other.var).sqrt()
        inner = (half - reach).clamp(min=0)
        middle = (wide(other.loc) - self.loc) / self.width
        places = (-half - reach, -half, -inner, inner, half, half + reach)
        return [ends[0], *((middle + x / self.width).clamp(*ends) for x in places), ends[1]]

    def rows(self, index: Tensor) -> "Uniform":
        """Intervals of the rows."""
        return Uniform(*(picked(x, index, self.loc) for x in (self.loc, self.width)))


@dataclass(frozen=True, eq=False)
class Smoothed(_Alone):
    """N(loc, var) plus uniform noise of this width; `var` and `width` > 0 are 0-d or broadcast to loc."""

    loc: Tensor
    var: Tensor
    width: Tensor

    def sample(self, generator: Generator) -> Tensor:
        """A normal draw, then a uniform one about it."""
        return Uniform(Normal(self.loc, self.var).sample(generator), self.width).sample(generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at x, in nats, float64; from the nearer tail, so that it keeps its digits."""
        away, std = wide(x - self.loc), wide(self.var).sqrt()
        half = wide(self.width) / 2
        found: Tensor = log_between((away - half) / std, (away + half) / std) - wide(self.width).log()
        return found

    def entropy(self) -> Tensor:
        """Differential entropy in nats."""
        std, half = wide(self.var).sqrt(), wide(self.width) / 2
        total = torch.zeros_like(self.loc, dtype=widest(self.loc.device))
        for low, high in ((half - TAILS * std, half), (half, half + TAILS * std)):  # where it bends
            low = low.clamp(min=0)
            for node, w in zip(NODES.tolist(), WEIGHTS.tolist(), strict=True):
                log_p = self.log_prob(self.loc + (low + high) / 2 + (high - low) * (node / 2))
                total = total - w * (high - low) * log_p.exp() * log_p
        flat = (half - TAILS * std).clamp(min=0) / half  # the share where it is 1 / width
        return total + flat * wide(self.width).log()

    def kl(self, other: Distribution) -> Tensor:
        """Refused: no closed form."""
        raise TypeError(f"KL from a Smoothed to {other!r} is not known")

    def rows(self, index: Tensor) -> "Smoothed":
        """Parameters of the rows."""
        return Smoothed(*(picked(x, index, self.loc) for x in (self.loc, self.var, self.width)))


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"a step of kernel=universal cannot be {what}: use kernel=gaussian for products")
