"""How wide laws around a prediction are best, by its context (`parameterizations.context`).

A normal law of variance f about x_0-hat costs 1/2 sum [log f + d^2 / f] and a constant, d = x_0 - x_0-hat.
In the knots c_k of log2 f that is convex. The hats sum to one, so that by Jensen's inequality

    c_k <- c_k + log2 (sum h_k d^2 / f) / (sum h_k)

never raises it (generalised iterative scaling, Darroch & Ratcliff 1972). It begins with f = E d^2, so that
what is found is never worse than the best variance for all, which it is for one knot. The mean, counted once
more at every knot, is what empty ones keep.
"""

import torch
from torch import Tensor

from undiffuse.kernels import Gaussian
from undiffuse.parameterizations import ContextualDecoder, DiscretizedDecoder, Hats

ROUNDS = 12
FINEST = 1 / 8  # levels: the narrowest decoder
SHIFTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0)  # of log2 of the decoder's variances


def squared_error(hats: Hats, away: Tensor) -> Tensor:
    """Knots (K,) of log2 of the mean square of `away`, float64 of the hats' shape."""
    square = away.square()
    mean = square.mean().clamp(min=1e-200)
    knots, weights = mean.log2().expand(hats.knots), hats.sums(torch.ones_like(square)) + 1
    for _ in range(ROUNDS):
        found = hats.sums(square * (-hats(knots)).exp2()) + mean * (-knots).exp2()
        knots = knots + (found / weights).log2()
    return knots


def decoder_scale(
    decoder: DiscretizedDecoder, error: Tensor, x_0: Tensor, x: Tensor, t: Tensor, kernel: Gaussian
) -> tuple[Tensor, Tensor]:
    """Knots (K,) of log2 of what the decoder's variance is best multiplied by; and -log p(x | x_t).

    `error` are the knots of `squared_error` at the prediction x_0 of x. A rounded normal of variance v has
    the mean square v + 1/12, in levels; beside that some factors are tried at every knot, and the decoder's
    own width, than which it is never worse.
    """
    level = 2 / (decoder.levels - 1)
    hats, own = Hats(x_0, len(error)), 2 * decoder.width(x_0, t, kernel).log2()
    best = (error.exp2() - level**2 / 12).clamp(min=(FINEST * level) ** 2).log2() - own.to(error)

    def loss(knots: Tensor) -> Tensor:
        return -ContextualDecoder(decoder, knots)(x_0, x_t=x_0, t=t, kernel=kernel).log_prob(x)

    tried = torch.stack([*(best + shift for shift in SHIFTS), torch.zeros_like(best)])
    sums = torch.stack([hats.sums(loss(knots)) for knots in tried])
    mixed = tried.gather(0, sums.argmin(0, keepdim=True))[0]
    found = min((mixed, tried[sums.sum(1).argmin()]), key=lambda knots: float(loss(knots).sum()))
    return found, loss(found)
