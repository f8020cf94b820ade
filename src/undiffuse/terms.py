"""The three kinds of terms of the bound, one example at a time, in nats and differentiable.

    -log p(x_0) <= KL(q(x_1 | x_0) || pi)                                        prior
                   + sum_i E KL(q(x_s | x_t, x_0) || p(x_s | x_t))               steps, t = t_i, s = t_{i-1}
                   + E[-log p(x_0 | x_{t_1})]                                    decode

(Sohl-Dickstein et al. 2015, eqs. 10-14; Ho et al. 2020, eq. 5). Each is written once, for every kernel; and
beside them what the 2015 paper puts in the place of the decoder, of the prior, and around the steps' entropy.
With `each` the terms are not summed over an example but (B, *shape), what every element costs.
"""

import torch
from torch import Tensor

from undiffuse.devices import wide
from undiffuse.distributions import Distribution
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.tensors import ONE, total


def prior(model: ReverseProcess, x_0: Tensor, *, each: bool = False) -> Tensor:
    """KL(q(x_1 | x_0) || pi), (B,)."""
    return _kl(model.kernel.marginal(x_0, ONE), model.prior(x_0), x_0, each)


def noisy(model: ReverseProcess, x_0: Tensor, t: Tensor, generator: Generator) -> Tensor:
    """A draw of q(x_t | x_0)."""
    return model.kernel.marginal(x_0, t).sample(generator)


def step(model: ReverseProcess, x_0: Tensor, s: Tensor, t: Tensor, generator: Generator) -> Tensor:
    """KL(q(x_s | x_t, x_0) || p(x_s | x_t)) at one draw of x_t, (B,); s and t are 0-d or (B,)."""
    return step_from(model, x_0, noisy(model, x_0, t, generator), s, t)


def step_from(
    model: ReverseProcess, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor, *, each: bool = False
) -> Tensor:
    """KL(q(x_s | x_t, x_0) || p(x_s | x_t)), (B,); s and t are 0-d or (B,)."""
    return _kl(model.kernel.bridge(x_0, x_t, s, t), model.step(x_t, t, s), x_0, each)


def decode(model: ReverseProcess, x_0: Tensor, x_t: Tensor, t: Tensor, *, each: bool = False) -> Tensor:
    """-log p(x_0 | x_t), (B,); of a density less `control_variate`."""
    return _last(model.decode(x_t, t), model, x_0, x_t, t, each=each)


@torch.no_grad()
def control_variate(
    model: ReverseProcess, x_0: Tensor, x_t: Tensor, t: Tensor, *, each: bool = False
) -> Tensor:
    """-log q(x_t | x_0) - H(x_t | x_0), (B,), of a draw of x_t: of mean zero whatever the model.

    A density -log p(x_0 | x_t) where little noise is left rises and falls with it: the difference, by Bayes'
    rule -log p(x_0) + log p(x_t) + H(x_t | x_0), hardly depends on the draw.
    """
    law = model.kernel.marginal(x_0, t)
    return -_summed(law.log_prob(x_t), x_0, each) - _summed(_spread(law, x_0), x_0, each)


def edge(model: ReverseProcess, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """-log T_pi(x_0 | x_t), (B,): the decoder that is the forward kernel run backwards (2015, eq. 44).

    Of a density less `control_variate`. Infinite for a kernel that cannot be run backwards.
    """
    if not model.kernel.reversible:
        return torch.full((len(x_0),), torch.inf, dtype=torch.float64)
    return _last(model.kernel.marginal(x_t, t), model, x_0, x_t, t)


def _last(
    law: Distribution, model: ReverseProcess, x_0: Tensor, x_t: Tensor, t: Tensor, *, each: bool = False
) -> Tensor:
    """-log p(x_0) of this law of x_0 given x_t."""
    found = -_summed((law.elementwise() if each else law).log_prob(x_0), x_0, each)
    return found - control_variate(model, x_0, x_t, t, each=each) if law.continuous else found


def _kl(q: Distribution, p: Distribution, x: Tensor, each: bool) -> Tensor:
    """KL(q || p) of every example, or of each element."""
    return _summed(q.elementwise().kl(p.elementwise()) if each else q.kl(p), x, each)


def _summed(found: Tensor, x: Tensor, each: bool) -> Tensor:
    """Summed over an example, in float64 (see `wide`), or of each element as it is."""
    return wide(found).expand_as(x) if each else total(found)


def null(model: ReverseProcess, x_0: Tensor) -> Tensor:
    """-log pi(x_0), (B,): -L_null, what the data cost without a model."""
    return -total(model.kernel.prior(wide(x_0)).log_prob(wide(x_0)))


def prior_entropy(model: ReverseProcess, x_0: Tensor) -> Tensor:
    """H(pi), (B,)."""
    return total(model.kernel.prior(x_0).entropy())


def entropies(model: ReverseProcess, x_0: Tensor, t: Tensor) -> Tensor:
    """H(pi) + H_q(x_t | x_0) - H_q(x_1 | x_0), (B,): what eq. 14 of 2015 has for prior and last step."""
    first, last = (total(model.kernel.marginal(x_0, when).entropy()) for when in (t, ONE))
    return prior_entropy(model, x_0) + first - last


def step_entropies(
    model: ReverseProcess, x_0: Tensor, s: Tensor, t: Tensor, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper bound on H_q(x_s | x_t), and the model's H_p(x_s | x_t); (B,) each (2015, eq. 24).

    H(x_t | x_s) + H(x_s | x_0) - H(x_t | x_0) <= H_q(x_s | x_t) <= H(x_t | x_s), on average over the data.
    """
    kernel = model.kernel
    x_s = noisy(model, x_0, s, generator)
    hop = kernel.transition(x_s, s, t)
    upper = total(_spread(hop, x_0))
    narrowed = total(_spread(kernel.marginal(x_0, s), x_0) - _spread(kernel.marginal(x_0, t), x_0))
    own = total(_spread(model.step(hop.sample(generator), t, s), x_0))
    return upper + narrowed, upper, own


def _spread(law: Distribution, x: Tensor) -> Tensor:
    """Its entropy, in x's shape."""
    return law.entropy().expand_as(x)
