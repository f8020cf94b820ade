"""The binomial kernel for bits (Sohl-Dickstein et al. 2015, table App. 1), ending in ones at a rate p0.

A bit survives a step with probability 1 - beta, or is drawn anew from B(p0). B(p) is 1 with probability p:

    transition  q(x_t | x_s) = B((1 - beta) x_s + beta p0)
    marginal    q(x_t | x_0) = B(keep_t x_0 + (1 - keep_t) p0)
    bridge      q(x_s | x_t, x_0) prop. to q(x_t | x_s) q(x_s | x_0)
    prior       pi           = B(p0)

The paper's table prints p0 = 0.5, but its heartbeat numbers are those of p0 = 0.2, the data's mean. A soft
x_0 in [0, 1] stands for a bit that is one with that probability, and the bridge to it is the mixture of the
bridges to both values: exact if the probability is p(x_0 = 1 | x_t).

Where keep_t = 0 (beta_T = 1 of the constant-fraction schedule) x_t says nothing: the bridge is q(x_s | x_0).
"""

import torch
from torch import Tensor

from undiffuse.devices import onto
from undiffuse.distributions import Bernoulli
from undiffuse.kernels.discrete import Discrete
from undiffuse.schedules import Schedule, log_kept
from undiffuse.tensors import column, fit

LARGEST = 30.0  # logit of a prediction: beyond it 1 - p would lose its digits


class Binomial(Discrete):
    """Bits x in {0, 1} that end as B(p0); `p0` is a number, or a tensor of the data's shape.

    Raises ValueError unless p0 lies strictly between 0 and 1.
    """

    symbols = 2
    rate: Tensor

    def __init__(self, schedule: Schedule, p0: float | list[float] | Tensor = 0.5) -> None:
        super().__init__()
        self.schedule = schedule
        self.rate = torch.as_tensor(p0, dtype=torch.float64).detach().cpu()  # of the recipe, no weight
        if not bool(((self.rate > 0) & (self.rate < 1)).all()):
            raise ValueError(f"p0={p0}: the share of ones lies strictly between 0 and 1, such as 0.5")

    def bridge(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Bernoulli:
        """Bayes for both values of x_0, mixed by how likely they are."""
        share = self._bridges(x_t, s, t).flatten(0, 2).unbind()  # number 4 i + 2 k + j
        unseen, other = 1 - x_t, 1 - x_0

        def mixed(j: int) -> Tensor:  # nothing is subtracted, so small probabilities keep their digits
            zero, one = (torch.addcmul(unseen * share[2 * k + j], x_t, share[4 + 2 * k + j]) for k in (0, 1))
            return torch.addcmul(zero * other, one, x_0)

        return Bernoulli(mixed(1), mixed(0))

    def prior(self, like: Tensor) -> Bernoulli:
        """B(p0)."""
        rate = onto(self.rate, like).expand_as(like)
        return Bernoulli(rate, 1 - rate)

    def blurred(self, x_0: Tensor, t: Tensor) -> Bernoulli:
        """As of a bit, between both."""
        logsnr = self.schedule.logsnr(t)
        return self.faded(x_0, logsnr.sigmoid(), (-logsnr).sigmoid())

    def soften(self, output: Tensor, known: Tensor | None = None) -> Tensor:
        """The probability of a one, from its logit, cut at +-30."""
        logits = output if known is None else output + known.to(output)
        return logits.clamp(-LARGEST, LARGEST).sigmoid()

    def logits(self, log_probs: Tensor) -> Tensor:
        """log p(1) - log p(0)."""
        return log_probs[..., 1] - log_probs[..., 0]

    def evidence(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log q(x_t | 1) - log q(x_t | 0), of x_t's shape."""
        odds = column(self.schedule.logsnr(t), x_t).exp()  # of a bit to have survived
        one, zero = (torch.log1p(odds / rate) for rate in (self.rate, 1 - self.rate))
        return torch.addcmul(fit(-zero, x_t), fit(one + zero, x_t), x_t)

    def sharpness(self, t: Tensor) -> Tensor:
        """log(1 + odds / p0) + log(1 + odds / (1 - p0)), with the odds of a bit to have survived."""
        odds, rate = self.schedule.logsnr(t).exp(), self.rate.mean()
        return torch.log1p(odds / rate) + torch.log1p(odds / (1 - rate))

    def from_probs(self, probs: Tensor) -> Tensor:
        """That of a one."""
        return probs[..., 1]

    def channelled(self, soft: Tensor) -> Tensor:
        """As it is."""
        return soft

    def law(self, x_0: Tensor) -> Bernoulli:
        """B(x_0)."""
        return Bernoulli(x_0, 1 - x_0)

    def soft(self, law: Bernoulli) -> Tensor:
        """The probability of a one."""
        return law.one

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse data that p0 is not of."""
        if self.rate.ndim and tuple(self.rate.shape) != shape:
            raise ValueError(
                f"p0 has shape {tuple(self.rate.shape)}, the data {shape}: give one number, or one a bit"
            )

    def faded(self, x: Tensor, kept: Tensor, lost: Tensor) -> Bernoulli:
        """B(kept x + lost p0)."""
        kept = column(kept, x)
        one, zero = (fit(column(lost, x) * rate, x) for rate in (self.rate, 1 - self.rate))
        kept = fit(kept, x)
        return Bernoulli(kept * x + one, kept * (1 - x) + zero)

    def _bridges(self, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """q(x_s = j | x_t = i, x_0 = k) as (2, 2, 2, ...) over i, k and j, to broadcast to x."""
        logsnr_s, logsnr_t = self.schedule.logsnr(s), self.schedule.logsnr(t)
        log_share = log_kept(logsnr_s, logsnr_t)
        kept, lost = column(log_share.exp(), x), column(-torch.expm1(log_share), x)
        keep_s, lost_s = column(logsnr_s.sigmoid(), x), column((-logsnr_s).sigmoid(), x)
        wide = kept.ndim or self.rate.ndim  # dimensions beyond the bits
        rates = torch.stack([1 - self.rate, self.rate])  # of drawing the value i anew
        rates = rates.reshape(2, *[1] * (wide - self.rate.ndim), *self.rate.shape)
        ends = torch.eye(2, dtype=torch.float64).reshape(2, 2, *[1] * wide)
        reach = kept * ends + lost * rates[:, None]  # [i, j]: q(x_t = i | x_s = j)
        known = keep_s * ends + lost_s * rates  # [k, j]: q(x_s = j | x_0 = k)
        joint = reach[:, None] * known
        return onto(joint / joint.sum(2, keepdim=True), x)
