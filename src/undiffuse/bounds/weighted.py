"""A bound that K trajectories tighten: the log of the mean of their weights (Burda et al. 2016).

    x_1 ~ q(x_1 | x_0),  x_s ~ q(x_s | x_t, x_0) down the chain
    log w = log pi(x_1) / q(x_1 | x_0) + sum_i log p(x_s | x_t) / q(x_s | x_t, x_0) + log p(x_0 | x_{t_1})

E w = p(x_0) whatever the model, so that E log(mean of K w) lies below log p(x_0), the nearer the larger K is:
K = 1 is the bound of all steps, and where the chain is the exact reverse of q every w is p(x_0) itself. A
trajectory takes as many calls as the chain has times. The weights of many dimensions are uneven, which the
effective number of trajectories (sum w)^2 / sum w^2 tells: near 1, K has to grow with e^gap to be of use.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched, wide
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import ONE, total
from undiffuse.track import SILENT, Track


@unaided
@torch.no_grad()
def log_weight(
    model: ReverseProcess, x_0: Tensor, *, grid: Tensor, generator: Generator, track: Track = SILENT
) -> Tensor:
    """log w of one trajectory for each of x_0 (B, *shape), (B,), in nats."""
    grid, kernel = check_grid(grid), model.kernel
    law = kernel.marginal(x_0, ONE)
    x_t = law.sample(generator).to(x_0.dtype)
    found = total(wide(model.prior(x_0).log_prob(x_t) - law.log_prob(x_t)))
    for t, s in track.each(list(pairwise(grid.flip(0))), len(grid)):
        q, p = kernel.bridge(x_0, x_t, s, t), model.step(x_t, t, s)
        x_t = q.sample(generator).to(x_0.dtype)
        found = found + total(wide(p.log_prob(x_t) - q.log_prob(x_t)))
    found = found + total(wide(model.decode(x_t, grid[0]).log_prob(x_0)))
    track.at(1)
    return fetched(found)


def weighted(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    trajectories: int,
    seed: int = 0,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
) -> Tensor:
    """(N, 3) of the data (N, *shape): -log of the mean weight, the mean of -log w, the effective number.

    Nats; what is found of row i depends on the seed and i alone. Raises ValueError for trajectories below 1.
    """
    if trajectories < 1:
        raise ValueError(f"trajectories={trajectories}: at least one")
    done = []
    for part, inner in track.over(Streamed(model, data, seed, "weighted", encode, block, grid)):
        looks = inner.split(*[1] * trajectories)
        log_w = torch.stack(
            [log_weight(part.model, part.x_0, grid=grid, generator=part.streams, track=k) for k in looks]
        )
        mean = log_w.logsumexp(0) - math.log(trajectories)
        number = (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()
        done.append(torch.stack([-mean, -log_w.mean(0), number], 1)[: part.kept])
    return torch.cat(done)
