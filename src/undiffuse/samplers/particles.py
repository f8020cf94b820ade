"""Sequential Monte Carlo: draws of model * factor that are right, with what the observation was worth.

A group of K particles walks by the product's steps. By x_s a particle's weight has become

    w(x_1) = pi(x_1) r_1(x_1) / p~(x_1)
    w(x_s) = w(x_t) p(x_s | x_t) r_s(x_s) / (p~(x_s | x_t) r_t(x_t))

and at the end, with r(x_0) for r_s, it is that of a draw of p(x_0) r(x_0). Whatever r_t and the steps were,
the weighted particles tend to the posterior as K grows, and the mean weight is an unbiased estimate of the
evidence Z = E_p[r(x_0)] (Del Moral 2004; Trippe et al. 2023; Wu et al. 2023).

Where the weights have become uneven, by the effective sample size (sum w)^2 / sum w^2 < threshold K, a group
is drawn anew from itself (systematic resampling), and at the end always: what is returned is a plain sample.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from undiffuse.devices import fetched, sent
from undiffuse.model import ReverseProcess
from undiffuse.product import Weighable
from undiffuse.random import Generator, uniform
from undiffuse.samplers.base import Sampler
from undiffuse.tensors import total


@dataclass(frozen=True)
class Cloud:
    """G groups of K: log-weights (G, K) but for r_t(x_t), log Z so far and least effective sizes (G,)."""

    log_w: Tensor
    log_z: Tensor
    size: Tensor


class Particles(Sampler):
    """Groups of `particles` rows, one after the other; for `model * factor`, and for guided models.

    `threshold` is the effective share of a group below which it is drawn anew. Raises ValueError for fewer
    than two particles, or another threshold.
    """

    def __init__(self, particles: int = 64, threshold: float = 0.5) -> None:
        if particles < 2:
            raise ValueError(f"particles={particles}: a group has at least two; for one use ancestral")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold={threshold}: a share of the particles, from 0 to 1")
        self.particles, self.threshold = particles, threshold

    def check(self, model: ReverseProcess) -> None:
        """Refuse models whose paths have no weights."""
        if not isinstance(model, Weighable):
            raise ValueError("particles weigh model * factor: a model alone is drawn by ancestral sampling")
        model.check_weights()

    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Cloud | None,
        generator: Generator,
    ) -> tuple[Tensor, Cloud]:
        """Weigh, draw anew where needed, and make the product's step."""
        assert isinstance(model, Weighable)
        cloud = self._begin(model, x_t) if state is None else state
        look = model.look(x_t, t, s)
        log_r = look.log_r()
        cloud, chosen = self._draw(cloud, log_r, self.threshold, generator)
        base, step, log_r = look.base.rows(chosen), look.step.rows(chosen), log_r[sent(chosen, log_r.device)]
        x_s = step.sample(generator)
        gained = total(base.log_prob(x_s)) - total(step.log_prob(x_s)) - log_r
        return x_s, replace(cloud, log_w=cloud.log_w + fetched(gained).view(cloud.log_w.shape))

    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Cloud | None, generator: Generator
    ) -> tuple[Tensor, Cloud]:
        """x_0 of equal weights."""
        assert isinstance(model, Weighable)
        cloud = self._begin(model, x_t) if state is None else state
        look = model.look(x_t, t, None)
        x_0 = look.step.sample(generator)
        gained = model.log_weight(look, x_0)
        cloud, chosen = self._draw(cloud, gained, 2.0, generator)
        return x_0[sent(chosen, x_0.device)].to(x_t.dtype), cloud

    def _begin(self, model: Weighable, x_1: Tensor) -> Cloud:
        if len(x_1) % self.particles:
            raise ValueError(f"{len(x_1)} rows are no whole number of groups of {self.particles} particles")
        gained = total(model.model.prior(x_1).log_prob(x_1)) - total(model.prior(x_1).log_prob(x_1))
        groups = len(x_1) // self.particles
        zeros = torch.zeros(groups, dtype=torch.float64)
        return Cloud(fetched(gained).view(groups, -1), zeros, zeros + self.particles)

    def _draw(
        self, cloud: Cloud, gained: Tensor, threshold: float, generator: Generator
    ) -> tuple[Cloud, Tensor]:
        """The cloud with these weights added; groups less even than the threshold are drawn anew."""
        log_w = cloud.log_w + fetched(gained).view(cloud.log_w.shape)
        mean = log_w.logsumexp(1) - math.log(self.particles)
        if not bool(mean.isfinite().all()):
            raise FloatingPointError("every particle of a group has weight 0: the observation is impossible")
        size = (2 * log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp()
        anew = size < threshold * self.particles
        u = uniform((log_w.numel(), 1), generator).cpu().view(log_w.shape)[:, :1]
        own = torch.arange(self.particles).expand_as(log_w)
        chosen = torch.where(anew[:, None], systematic(log_w.softmax(1), u), own)
        chosen = (chosen + self.particles * torch.arange(len(log_w))[:, None]).flatten()
        log_z = cloud.log_z + torch.where(anew, mean, 0.0)
        return Cloud(log_w.masked_fill(anew[:, None], 0), log_z, cloud.size.minimum(size)), chosen


def systematic(weights: Tensor, u: Tensor) -> Tensor:
    """Which of K particles follow, (G, K), by normalised weights (G, K) and a uniform number (G, 1)."""
    k = weights.shape[1]
    places = (torch.arange(k) + u) / k
    return torch.searchsorted(weights.cumsum(1), places, right=True).clamp(max=k - 1)
