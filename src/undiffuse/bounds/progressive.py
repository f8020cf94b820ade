"""Progressive lossy compression: what x_0-hat is worth after so many bits (Ho et al. 2020, section 4.3).

The bound is the cost of sending x_1, then every x_s given x_t, then x_0 (algorithms 3 and 4). A receiver who
stops at x_t has been sent, and guesses x_0 with an error, of

    rate(t)       = KL(q(x_1 | x_0) || pi) + sum of E KL(q(x_s | x_u, x_0) || p(x_s | x_u)), steps u -> s >= t
    distortion(t) = sqrt(E |x_0 - x_0-hat(x_t)|^2 / D),  for symbols E[1 - p(x_0 | x_t)], the share of errors

At the first latent time all but the decoder's bits are spent: rate + decode is the bound.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from undiffuse import terms as bound
from undiffuse.ambient import unaided
from undiffuse.bounds.nelbo import Nelbo, calls, nelbo
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.kernels import Discrete
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import dims, total
from undiffuse.track import SILENT, Track


@dataclass(frozen=True, eq=False)
class Progressive:
    """Means over `examples` examples; entry i is what holds once x_t is known at t = t[i], noise first.

    `received` counts the latents sent so far, T - t + 1 in the paper's numbering of a chain of `steps` = T.
    Rates are bits per dimension; `distortion` is the root of the mean squared error in the coordinates of the
    view, or for `symbols` the expected share of wrong ones. `decode` is what sending x_0 costs in the end.
    """

    examples: int
    steps: int
    symbols: bool
    received: Tensor  # (P,), increasing to T
    t: Tensor  # (P,), decreasing to the first latent time
    rate: Tensor  # (P,)
    rate_se: Tensor  # (P,)
    distortion: Tensor  # (P,)
    distortion_se: Tensor  # (P,)
    decode: Estimate


@unaided
@torch.no_grad()
def progressive(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    points: int | None = None,
    seed: int = 0,
    terms: int | None = None,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    view: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
) -> Progressive:
    """Rate and distortion over the data (N, *shape), N >= 2, at `points` of the latent times (default: all).

    The rates are those of `evaluate` with the same seed, grid and `terms`, to the last digit. `encode` makes
    x_0 of raw rows; `view` takes x_0 and x_0-hat of a Gaussian chain to the unit of the distortion.
    Raises ValueError for fewer examples, points < 1, or what is no grid.
    """
    check_examples(data)
    grid = check_grid(grid)
    received = _received(len(grid), points)
    t = grid[len(grid) - received]
    scale = 1 / (dims(tuple(data.shape[1:])) * math.log(2))
    bits, errors = Moments(), Moments()
    parts = Streamed(model, data, seed, "nelbo", encode, block, grid)
    for (given, x_0, count, streams), inner in track.over(parts):
        rates, hats = inner.split(calls(grid, terms), len(t))
        part = nelbo(given, x_0, grid=grid, generator=streams, terms=terms, track=rates)
        sent = torch.cat([_sent(part)[:, received - 1], part.decode[:, None]], 1)
        bits.add(sent[:count] * scale)
        columns = []
        for x_0_hat in hats.each(receive(given, x_0, t, streams), len(t)):
            columns.append(fetched(_error(model, x_0, x_0_hat, view)))
        errors.add(torch.stack(columns, 1)[:count])
    symbols = isinstance(model.kernel, Discrete)
    distortion, distortion_se = (errors.mean, errors.se) if symbols else _root(errors)
    *_, decode = bits.estimates()
    return Progressive(
        examples=len(data),
        steps=len(grid),
        symbols=symbols,
        received=received,
        t=t,
        rate=bits.mean[:-1],
        rate_se=bits.se[:-1],
        distortion=distortion,
        distortion_se=distortion_se,
        decode=decode,
    )


def receive(model: ReverseProcess, x_0: Tensor, t: Tensor, generator: Generator) -> Iterator[Tensor]:
    """x_0-hat of x_0 (B, *shape) at each of the decreasing times t (P,), along one path of q (algorithm 4).

    A path is drawn from noise to data, x_s ~ q(x_s | x_t, x_0), so each x_t has the law q(x_t | x_0).
    """
    x_t = bound.noisy(model, x_0, t[0], generator)
    yield model.predict(x_t, t[0])
    for before, now in pairwise(t):
        x_t = model.kernel.bridge(x_0, x_t, now, before).sample(generator)
        yield model.predict(x_t, now)


def _received(steps: int, points: int | None) -> Tensor:
    """How many latents have arrived at each of about `points` places, evenly spread, the last being all."""
    if points is None or points >= steps:
        return torch.arange(1, steps + 1)
    if points < 1:
        raise ValueError(f"points={points}: rate and distortion are known at one latent time at least")
    return (torch.arange(1, points + 1, dtype=torch.float64) * steps / points).round().long()


def _sent(part: Nelbo) -> Tensor:
    """Nats spent when 1, 2, .. T latents have arrived, (B, T)."""
    return torch.cat([part.prior[:, None], part.steps.flip(1)], 1).cumsum(1)


def _error(model: ReverseProcess, x_0: Tensor, x_0_hat: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean squared error, or expected share of wrong symbols, of every example, (B,)."""
    if isinstance(model.kernel, Discrete):
        each = -torch.expm1(model.kernel.law(x_0_hat).log_prob(x_0))
    else:
        each = (view(x_0) - view(x_0_hat)).square()
    return total(each) / dims(tuple(x_0.shape[1:]))


def _root(squares: Moments) -> tuple[Tensor, Tensor]:
    """Root of the mean, and its standard error to first order; 0 where the mean is."""
    root = squares.mean.sqrt()
    return root, torch.where(root > 0, squares.se / (2 * root), 0.0)
