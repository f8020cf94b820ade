"""Entropy production: bounds on the entropy of every reverse step (Sohl-Dickstein et al. 2015, eq. 24).

    H_q(X^t | X^{t-1}) + H_q(X^{t-1} | X^0) - H_q(X^t | X^0) <= H_q(X^{t-1} | X^t) <= H_q(X^t | X^{t-1})

The lower bound holds for every chain. The upper one needs the entropy of x_t to grow with t, which it does if
the data cost as much under the prior as the prior's own entropy (`Report.excess` is 0): for the Gaussian
kernel unit second moments, for the binomial one a mean of p0 (or p0 = 1/2). For the Gaussian kernel the two
are those of the variances beta-tilde and beta.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.ambient import unaided
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.model import ReverseProcess
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track


@dataclass(frozen=True, eq=False)
class StepEntropies:
    """Means over `examples` examples, in bits per dimension; entry i leaves grid[i + 1] for grid[i].

    The rows of `means` are the lower and the upper bound on the entropy that the exact reverse step has, and
    the entropy of the model's step; `errors` are their standard errors. `excess` is that of `Report`: the
    upper bound holds where it is zero.
    """

    examples: int
    grid: Tensor  # (T,)
    means: Tensor  # (3, T - 1)
    errors: Tensor  # (3, T - 1)
    excess: Estimate


@unaided
@torch.no_grad()
def step_entropies(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
) -> StepEntropies:
    """The entropies over the data (N, *shape), N >= 2; `encode` makes x_0 of raw rows.

    Raises ValueError for fewer examples or a grid of less than two times.
    """
    check_examples(data)
    grid = check_grid(grid)
    if len(grid) < 2:
        raise ValueError("entropies of steps need a chain of at least two steps")
    scale = 1 / (dims(tuple(data.shape[1:])) * math.log(2))
    each, excess = Moments(), Moments()
    parts = Streamed(model, data, seed, "entropy", encode, block, grid)
    for (given, x_0, count, streams), inner in track.over(parts):
        columns = []
        for s, t in inner.each(list(pairwise(grid))):
            columns.append(fetched(torch.stack(terms.step_entropies(given, x_0, s, t, streams))))
        each.add(torch.stack(columns, 2).transpose(0, 1)[:count] * scale)  # (B, 3, T - 1)
        over = terms.null(model, x_0) - terms.prior_entropy(model, x_0)
        excess.add(over.cpu()[:count, None] * scale)
    return StepEntropies(len(data), grid, each.mean, each.se, excess.estimates()[0])
