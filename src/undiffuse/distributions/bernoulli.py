"""The Bernoulli distribution: a bit that is one with probability p, for every element.

log p(x)   = log p if x = 1, log(1 - p) if x = 0
entropy    = -p log p - (1 - p) log(1 - p)
KL(1 || 2) = p_1 log(p_1 / p_2) + (1 - p_1) log((1 - p_1) / (1 - p_2))
tilt by g  : p e^g / (p e^g + 1 - p)
blend by w : odds_1^w odds_2^(1 - w)

Both probabilities are kept, so that neither tail loses its digits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import entr

from undiffuse.devices import sent
from undiffuse.distributions.base import Distribution, blended, picked
from undiffuse.random import Generator, uniform


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """1 with probability `one`, 0 with probability `zero`; the two sum to one.

    >>> Bernoulli.of_logits(torch.tensor([0.0, 800.0]).double()).entropy()  # nats
    tensor([0.6931, 0.0000], dtype=torch.float64)
    """

    one: Tensor
    zero: Tensor

    @classmethod
    def of_logits(cls, logits: Tensor) -> "Bernoulli":
        """The distribution with log(one / zero) = logits."""
        return cls(logits.sigmoid(), (-logits).sigmoid())

    @property
    def shape(self) -> torch.Size:
        """That of both probabilities."""
        return self.one.shape

    @property
    def mean(self) -> Tensor:
        """E[x] = p."""
        return self.one

    def sample(self, generator: Generator) -> Tensor:
        """0 or 1, in the probabilities' dtype: 1 where a uniform number falls below p."""
        u = uniform(tuple(self.shape), generator, self.one.dtype, self.one.device)
        return u.lt_(self.one.detach())

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of the bits x in {0, 1}."""
        return torch.where(x > 0.5, self.one, self.zero).log()

    def entropy(self) -> Tensor:
        """Entropy in nats, at most log 2."""
        out: Tensor = entr(self.one) + entr(self.zero)
        return out

    def kl(self, other: Distribution) -> Tensor:
        """KL(self || other) for another Bernoulli."""
        if not isinstance(other, Bernoulli):
            raise TypeError(f"KL from a Bernoulli is known to another Bernoulli, not to {other!r}")
        return _surprise(self.one, other.one) + _surprise(self.zero, other.zero)

    def tilt(self, g: Tensor) -> "Bernoulli":
        """Odds times e^g."""
        return Bernoulli.of_logits(self.one.log() - self.zero.log() + g)

    def blend(self, other: Distribution, weight: float) -> "Bernoulli":
        """Log-probabilities, mixed."""
        if not isinstance(other, Bernoulli):
            raise TypeError(f"a Bernoulli blends with another Bernoulli, not with {other!r}")
        one = blended(self.one.log(), other.one.log(), weight)
        return Bernoulli.of_logits(one - blended(self.zero.log(), other.zero.log(), weight))

    def pin(self, mask: Tensor, value: Tensor) -> "Bernoulli":
        """Probability 1 of the bit nearest to `value` where the mask is True."""
        mask, sure = sent(mask, self.one.device), (value > 0.5).to(self.one)
        return Bernoulli(torch.where(mask, sure, self.one), torch.where(mask, 1 - sure, self.zero))

    def rows(self, index: Tensor) -> "Bernoulli":
        """Probabilities of the rows."""
        return Bernoulli(picked(self.one, index, self.one), picked(self.zero, index, self.one))

    def patch(self, mask: Tensor, other: Distribution) -> "Bernoulli":
        """Probabilities, patched."""
        if not isinstance(other, Bernoulli):
            raise TypeError(f"a Bernoulli is patched with another Bernoulli, not with {other!r}")
        mask = sent(mask, self.one.device)
        return Bernoulli(torch.where(mask, other.one, self.one), torch.where(mask, other.zero, self.zero))


def _surprise(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), 0 where p is; not `xlogy`, which is several times slower on a CPU."""
    tiny = torch.finfo(p.dtype).tiny
    return p * (p / q.clamp(min=tiny)).clamp(min=tiny).log()
