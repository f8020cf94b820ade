"""Coarse to fine: samples that were one until time t, then met noises of their own (Ho et al. 2020, fig. 7).

    x_1 ~ pi,  x_t ~ p(x_t | x_1) once;   x_0^j ~ p(x_0 | x_t) for j = 1 .. n

What they have in common is what x_t had decided: with t near 1 little but the coarsest, near 0 all but
detail.
"""

import torch
from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import root
from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.loop import nearest, trajectory
from undiffuse.samplers.resuming import sample_from
from undiffuse.schedules import grids
from undiffuse.track import SILENT, Track

FAR = 2**32  # between the numbers of the noises of one shared state and of the next


def sample_shared(
    model: ReverseProcess,
    shape: tuple[int, ...],
    n: int,
    t: float,
    *,
    generator: torch.Generator,
    sampler: Sampler | None = None,
    grid: Tensor | None = None,
    first: int = 0,
    block: int | None = None,
    track: Track = SILENT,
) -> Tensor:
    """n samples of each of B states at the time of the grid nearest to t, shape (B, *shape): (B, n, *shape).

    State i is where sample `first + i` of `sample` is at t. Sample j of it depends on the generator's state,
    t, `first + i`, j and the block size alone. The grid has 1000 steps unless told. Raises ValueError for t
    outside (0, 1], n below 1, or a sampler that adds no noise, whose samples would be equal.
    """
    sampler, grid = sampler or Ancestral(), grids.uniform(1000) if grid is None else grid
    check_shared(shape[0], n, sampler)
    where = nearest(grid, t)
    t = float(grid[where])
    same = generator.clone_state()
    walk = trajectory(model, shape, generator=same, sampler=sampler, grid=grid, first=first, block=block)
    before = len(grid) - where  # steps
    shared, own = track.split(before, n * (where + 1))
    for when, x_t in shared.each(walk, before):  # noqa: B007 - the last state is shared
        if when == t:
            break
    x_t = x_t.repeat_interleave(n, 0)
    rows = [FAR * (first + i) + j for i in range(shape[0]) for j in range(n)]
    key = (root(generator), "share", where)
    x_0 = sample_from(model, x_t, t, key=key, rows=rows, sampler=sampler, grid=grid, block=block, track=own)
    return x_0.view(shape[0], n, *shape[1:])


def check_shared(states: int, n: int, sampler: Sampler) -> None:
    """Raise ValueError unless there is something to draw, and noise to tell the samples of a state apart."""
    if states < 1:
        raise ValueError(f"states={states}: at least one state to share")
    if n < 1:
        raise ValueError(f"n={n}: draw at least one sample of every shared state")
    if sampler.deterministic:
        raise ValueError(
            f"{type(sampler).__name__} adds no noise, so that samples of a shared state would be equal: "
            "raise eta or tau, or take ancestral"
        )
