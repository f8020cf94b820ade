"""A finite distribution over K real values, such as the levels of a pixel.

p(x = v_k) = softmax(logits)_k;    tilt by g: logits_k + g v_k
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from undiffuse.devices import sent
from undiffuse.distributions.base import Distribution, blended, picked
from undiffuse.random import Generator, uniform


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """Probabilities over `values` ``(K,)``, increasing, from unnormalised `logits` ``(..., K)``."""

    logits: Tensor
    values: Tensor

    @property
    def log_probs(self) -> Tensor:
        """Normalised log-probabilities ``(..., K)``."""
        return self.logits.log_softmax(-1)

    @property
    def shape(self) -> torch.Size:
        """That of the logits, without the last dimension."""
        return self.logits.shape[:-1]

    @property
    def mean(self) -> Tensor:
        """E[x] = sum_k p_k v_k."""
        return (self.logits.softmax(-1) * self.values).sum(-1)

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        return self.values[self.logits.argmax(-1)]

    def sample(self, generator: Generator) -> Tensor:
        """Inverse-CDF draw: the first value whose cumulated probability exceeds a uniform number."""
        u = uniform(tuple(self.shape), generator, self.logits.dtype, self.logits.device)
        cdf = self.logits.softmax(-1).cumsum(-1)
        index = (cdf <= u.unsqueeze(-1) * cdf[..., -1:]).sum(-1)
        return self.values[index.clamp(max=len(self.values) - 1)]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of the value nearest to x."""
        index, first = torch.broadcast_tensors(self._nearest(x), self.logits[..., 0])  # type: ignore[no-untyped-call]
        table = self.log_probs.expand(*first.shape, -1)
        return table.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats, at most log K."""
        return -self._expect(self.log_probs)

    def kl(self, other: Distribution) -> Tensor:
        """KL(self || other) for another distribution over the same values."""
        if not isinstance(other, Categorical) or len(other.values) != len(self.values):
            raise TypeError(f"KL needs a Categorical over the same values, not {other!r}")
        return self._expect(self.log_probs - other.log_probs)

    def tilt(self, g: Tensor) -> "Categorical":
        """Add g v_k to the logits."""
        return Categorical(self.logits + g.unsqueeze(-1) * self.values, self.values)

    def blend(self, other: Distribution, weight: float) -> "Categorical":
        """Log-probabilities, mixed."""
        if not isinstance(other, Categorical) or len(other.values) != len(self.values):
            raise TypeError(f"a Categorical blends with one over the same values, not with {other!r}")
        return Categorical(blended(self.log_probs, other.log_probs, weight), self.values)

    def pin(self, mask: Tensor, value: Tensor) -> "Categorical":
        """All weight on the value nearest to `value` where the mask is True."""
        sure = one_hot(self._nearest(value), len(self.values)).to(self.logits).log()
        return Categorical(
            torch.where(sent(mask, self.logits.device).unsqueeze(-1), sure, self.logits), self.values
        )

    def rows(self, index: Tensor) -> "Categorical":
        """Logits of the rows."""
        return Categorical(picked(self.logits, index, self.logits), self.values)

    def patch(self, mask: Tensor, other: Distribution) -> "Categorical":
        """Log-probabilities, patched."""
        if not isinstance(other, Categorical) or len(other.values) != len(self.values):
            raise TypeError(f"a Categorical is patched with one over the same values, not with {other!r}")
        mask = sent(mask, self.logits.device).unsqueeze(-1)
        return Categorical(torch.where(mask, other.log_probs, self.log_probs), self.values)

    def _nearest(self, x: Tensor) -> Tensor:
        """Which of the values is nearest to x."""
        middles = (self.values[1:] + self.values[:-1]) / 2
        return torch.searchsorted(middles, x.to(middles).contiguous())

    def _expect(self, f: Tensor) -> Tensor:
        """E[f]; what cannot happen does not count, even where f is infinite."""
        p = self.logits.softmax(-1)
        return (p * f.masked_fill(p == 0, 0)).sum(-1)
