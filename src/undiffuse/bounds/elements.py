"""What every element of an example costs: the bound, laid out over pixels, positions or columns.

Each term is a sum over the elements of an example,

    KL(q(x_s | x_t, x_0) || p(x_s | x_t)) = sum_d KL_d,        -log p(x_0 | x_t) = -sum_d log p_d

and so is the bound: b_d is the sum of the terms of element d, and the sum of b_d is `nelbo`'s total of the
same draws. Where the model's steps are correlated normals, an element's term is that given those before it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from undiffuse import terms as bound
from undiffuse.ambient import unaided
from undiffuse.bounds.drawing import Drawing
from undiffuse.bounds.nelbo import calls
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched, sent
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import like
from undiffuse.track import SILENT, Track


def elements(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    terms: int | None = None,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
) -> Tensor:
    """The bound on -log p of the data (N, *shape), element by element: nats, float64, of the same shape.

    Draws are those of `blocks` with the same seed and terms. Raises ValueError as `nelbo` does.
    """
    found = []
    for part, inner in track.over(Streamed(model, data, seed, "nelbo", encode, block, grid)):
        costs = _of(part.model, part.x_0, grid=grid, generator=part.streams, terms=terms, track=inner)
        found.append(costs[: part.kept])
    return torch.cat(found)


@unaided
@torch.no_grad()
def _of(
    model: ReverseProcess,
    x_0: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    terms: int | None,
    track: Track,
) -> Tensor:
    """Of one block, on the host."""
    grid = check_grid(grid)
    found = bound.prior(model, x_0, each=True)
    chosen = Drawing.even(len(grid) - 1).chosen(terms, len(x_0), generator)
    for step, weight in track.each(chosen, calls(grid, terms)):
        s, t = grid[step], grid[step + 1]
        x_t = bound.noisy(model, x_0, t, generator)
        cost = bound.step_from(model, x_0, x_t, s, t, each=True)
        found = found + like(sent(weight, cost.device), cost) * cost
    x_t = bound.noisy(model, x_0, grid[0], generator)
    found = found + bound.decode(model, x_0, x_t, grid[0], each=True)
    track.at(1)
    return fetched(found)
