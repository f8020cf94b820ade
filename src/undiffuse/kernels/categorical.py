"""Kernels for K symbols that survive or are drawn anew (Austin et al. 2021, D3PM), from a law pi.

    transition  q(x_t = j | x_s) = (1 - beta) [j = x_s] + beta pi_j
    marginal    q(x_t = j | x_0) = keep_t [j = x_0] + (1 - keep_t) pi_j
    bridge      q(x_s | x_t, x_0) prop. to q(x_t | x_s) q(x_s | x_0)

Categorical has uniform pi; Absorbing has one state more, the mask, and pi is there. pi may be another one at
every place of x (C, ...), which has fewer symbols where it is zero. x holds the symbols' numbers 0 .. K-1. A
soft x_0 (B, *shape, states) holds probabilities, and the bridge to it is the mixture of the bridges to every
symbol k,

    sum_k x_0[k] q(x_s = j | x_t, k) = q(x_t | x_s = j) (keep_s w_j + (1 - keep_s) pi_j sum_k w_k),
    w_k = x_0[k] / q(x_t | k)

which is exact if x_0[k] = p(x_0 = k | x_t). Where x_t cannot have been drawn anew (it is no mask), it is x_0.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from undiffuse import distributions
from undiffuse.devices import onto
from undiffuse.kernels.discrete import Discrete
from undiffuse.schedules import Schedule, log_kept
from undiffuse.tensors import column, fit


class Redraw(Discrete):
    """Symbols 0 .. K-1 among as many or more states, drawn anew from the law `home` over the states.

    That is (states,), or (*shape, states) for one at every place.
    """

    home: Tensor

    def __init__(self, schedule: Schedule, symbols: int, home: Tensor) -> None:
        super().__init__()
        self.schedule, self.symbols, self.channels, self.home = schedule, symbols, home.shape[-1], home

    def bridge(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> distributions.Categorical:
        """Bayes for every symbol, mixed by how likely it is."""
        logsnr_s, logsnr_t = self.schedule.logsnr(s), self.schedule.logsnr(t)
        log_share = log_kept(logsnr_s, logsnr_t)
        kept, lost = self._coefficient(log_share.exp(), x_t), self._coefficient(-torch.expm1(log_share), x_t)
        keep_s, lost_s = (self._coefficient(sign.sigmoid(), x_t) for sign in (logsnr_s, -logsnr_s))
        keep_t, lost_t = (self._coefficient(sign.sigmoid(), x_t) for sign in (logsnr_t, -logsnr_t))
        home, seen = onto(self.home, x_t), self._hot(x_t)
        redrawn = self._home_at(x_t)
        soft = self.settled(x_0 if x_0.ndim > x_t.ndim else self._hot(x_0), x_t)
        weight = soft / (keep_t * seen + lost_t * redrawn).clamp(min=torch.finfo(x_t.dtype).tiny)
        known = keep_s * weight + lost_s * home * weight.sum(-1, keepdim=True)
        return self._categorical((kept * seen + lost * redrawn) * known)

    def prior(self, like: Tensor) -> distributions.Categorical:
        """pi."""
        home = onto(self.home, like)
        return self._categorical(home.expand(*like.shape, -1))

    def features(self, x_t: Tensor) -> Tensor:
        """One channel a state: (B, states * C, ...)."""
        return self.channelled(self._hot(x_t))

    def blurred(self, x_0: Tensor, t: Tensor) -> distributions.Categorical:
        """The symbols' probabilities, mixed with pi."""
        logsnr = self.schedule.logsnr(t)
        kept, lost = (self._coefficient(sign.sigmoid(), x_0[..., 0]) for sign in (logsnr, -logsnr))
        return self._categorical(kept * x_0 + lost * onto(self.home, x_0))

    def soften(self, output: Tensor, known: Tensor | None = None) -> Tensor:
        """Softmax over the symbols of an output (B, states * C, ...): (B, C, ..., states)."""
        states = output.view(len(output), self.channels, -1, *output.shape[2:]).movedim(1, -1)
        logits = states[..., : self.symbols]
        soft = (logits if known is None else logits + known.to(logits)).softmax(-1)
        return self.from_probs(soft)

    def logits(self, log_probs: Tensor) -> Tensor:
        """Themselves."""
        return log_probs

    def evidence(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log(1 + keep_t / ((1 - keep_t) pi_k)) for k = x_t, else 0; `settled` has what is certain."""
        seen = self._hot(x_t)[..., : self.symbols]
        odds = column(self.schedule.logsnr(t), x_t).exp().unsqueeze(-1)
        home = self.home[..., : self.symbols].clamp(min=1e-30)
        return seen * onto(torch.log1p(odds / home), seen)

    def sharpness(self, t: Tensor) -> Tensor:
        """log(1 + odds K) where symbols are drawn anew, with the odds of one to have survived; of masks 0."""
        odds = self.schedule.logsnr(t).exp()
        return torch.log1p(odds * self.symbols) if self.channels == self.symbols else 0 * odds

    def from_probs(self, probs: Tensor) -> Tensor:
        """With 0 for a mask."""
        return torch.nn.functional.pad(probs, (0, self.channels - self.symbols))

    def channelled(self, soft: Tensor) -> Tensor:
        """(B, states * C, ...)."""
        return soft.movedim(-1, 1).flatten(1, 2)

    def settled(self, x_0: Tensor, x_t: Tensor) -> Tensor:
        """Where x_t cannot have been drawn anew it is x_0: what has survived of an absorbing chain."""
        return torch.where(self._home_at(x_t) > 0, x_0, self._hot(x_t).to(x_0))

    def law(self, x_0: Tensor) -> distributions.Categorical:
        """The symbols with these probabilities."""
        return self._categorical(x_0)

    def soft(self, law: distributions.Categorical) -> Tensor:
        """The probabilities."""
        return law.logits.softmax(-1)

    def faded(self, x: Tensor, kept: Tensor, lost: Tensor) -> distributions.Categorical:
        """x, or with probability `lost` a draw of pi."""
        home = onto(self.home, x)
        return self._categorical(
            self._coefficient(kept, x) * self._hot(x) + self._coefficient(lost, x) * home
        )

    def _home_at(self, x: Tensor) -> Tensor:
        """pi at the symbols x, (B, *shape, 1)."""
        home = onto(self.home, x)
        return home.expand(*x.shape, -1).gather(-1, x.long().unsqueeze(-1))

    def _hot(self, x: Tensor) -> Tensor:
        return one_hot(x.long(), self.channels).to(x.dtype)

    def _coefficient(self, c: Tensor, x: Tensor) -> Tensor:
        c = fit(column(c, x), x)
        return c if c.ndim == 0 else c.unsqueeze(-1)

    def _categorical(self, weights: Tensor) -> distributions.Categorical:
        """What cannot happen keeps the smallest weight there is, so that logs and gradients stay finite."""
        values = torch.arange(self.channels, dtype=weights.dtype, device=weights.device)
        return distributions.Categorical(weights.clamp(min=torch.finfo(weights.dtype).tiny).log(), values)


class Categorical(Redraw):
    """`symbols` symbols that end uniformly distributed. Raises ValueError for fewer than two."""

    def __init__(self, schedule: Schedule, symbols: int) -> None:
        _check_symbols(symbols)
        super().__init__(schedule, symbols, torch.full((symbols,), 1 / symbols, dtype=torch.float64))


class Absorbing(Redraw):
    """`symbols` symbols that end as a mask, state number `symbols`.

    Raises ValueError for fewer than two symbols, or a schedule that does not end with keep = 0: then the
    prior, all mask, would not be where the process ends.
    """

    reversible = False

    def __init__(self, schedule: Schedule, symbols: int) -> None:
        _check_symbols(symbols)
        super().__init__(schedule, symbols, torch.eye(symbols + 1, dtype=torch.float64)[-1])
        left = float(schedule.keep(torch.ones((), dtype=torch.float64)).detach())
        if left > 0:
            raise ValueError(
                f"an absorbing chain must end with every symbol masked, this schedule keeps {left:.1e} of "
                "them at t = 1; use schedule.kind=constant-fraction"
            )


def _check_symbols(symbols: int) -> None:
    if symbols < 2:
        raise ValueError(f"symbols={symbols}: data have at least two different symbols")
