"""The three kinds of terms of the bound, one example at a time, in nats and differentiable.

    -log p(x_0) <= KL(q(x_1 | x_0) || pi)                                        prior
                   + sum_i E KL(q(x_s | x_t, x_0) || p(x_s | x_t))               steps, t = t_i, s = t_{i-1}
                   + E[-log p(x_0 | x_{t_1})]                                    decode

(Sohl-Dickstein et al. 2015, eqs. 10-14; Ho et al. 2020, eq. 5). Each is written once, for every kernel.
"""

import torch
from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.tensors import total


def prior(model: ReverseProcess, x_0: Tensor) -> Tensor:
    """KL(q(x_1 | x_0) || pi), (B,)."""
    one = torch.ones((), dtype=torch.float64)
    return total(model.kernel.marginal(x_0, one).kl(model.kernel.prior(x_0)))


def step(model: ReverseProcess, x_0: Tensor, s: Tensor, t: Tensor, generator: Generator) -> Tensor:
    """KL(q(x_s | x_t, x_0) || p(x_s | x_t)) at one draw of x_t, (B,); s and t are 0-d or (B,)."""
    x_t = model.kernel.marginal(x_0, t).sample(generator)
    return total(model.kernel.bridge(x_0, x_t, s, t).kl(model.step(x_t, t, s)))


def decode(model: ReverseProcess, x_0: Tensor, t: Tensor, generator: Generator) -> Tensor:
    """-log p(x_0 | x_t) at one draw of x_t, (B,)."""
    x_t = model.kernel.marginal(x_0, t).sample(generator)
    return -total(model.decode(x_t, t).log_prob(x_0))
