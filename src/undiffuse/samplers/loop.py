"""The one loop: from the prior down the grid to x_0, and the same in blocks for any number of samples.

Sample i draws from its own stream and is computed in a block of fixed size, so it is the same tensor bit
for bit whether it is asked for alone or among thousands.
"""

import math
from collections.abc import Callable, Iterator
from collections.abc import Generator as Coroutine
from functools import partial
from typing import Any

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.blocks import block_of
from undiffuse.model import ReverseProcess
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Generator, Streams, root
from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.schedules.grids import check_grid, uniform
from undiffuse.track import SILENT, Track

LARGEST = 2**62  # number of a row of a batch that a model may be conditioned on
Walk = Coroutine[tuple[float, Tensor], None, Any]


@unaided
@torch.no_grad()
def reverse(
    model: ReverseProcess,
    x_t: Tensor,
    *,
    sampler: Sampler,
    grid: Tensor,
    generator: Generator,
    t: float = 1.0,
    track: Track = SILENT,
) -> Walk:
    """Yields (t, x_t) from t down the grid, and (0, x_0) last; a network step each, but for the first.

    Returns the sampler's last state.

    Raises ValueError if t is not a time of the grid; `nearest` finds the nearest.
    """
    grid = check_grid(grid)
    sampler.check(model)
    begin = nearest(grid, t)
    if not math.isclose(grid[begin], t):
        raise ValueError(f"t={t:g}: not a time of the grid, the nearest is {grid[begin]:g}")
    x, state = x_t, sampler.init()
    yield float(grid[begin]), x
    for i in track.each(range(begin, 0, -1), begin + 1):
        x, state = sampler.step(model, x, grid[i], grid[i - 1], state, generator)
        yield float(grid[i - 1]), x
    x, state = sampler.finish(model, x, grid[0], state, generator)
    track.at(1)
    yield 0.0, x
    return state


def last(walk: Iterator[tuple[float, Tensor]]) -> tuple[Tensor, Any]:
    """A walk's x_0, and the sampler's last state."""
    x = torch.empty(0)
    while True:
        try:
            _, x = next(walk)
        except StopIteration as end:
            return x, end.value


def nearest(grid: Tensor, t: float) -> int:
    """Which time of the grid is nearest to t. Raises ValueError unless 0 < t <= 1."""
    if not 0 < t <= 1:
        raise ValueError(f"t={t:g}: a latent time lies above 0, and at most at 1")
    return int((grid - t).abs().argmin())


def like_of(model: ReverseProcess, shape: tuple[int, ...]) -> Tensor:
    """Zeros where the model's weights are, and of their dtype."""
    weights = next(model.parameters(), torch.zeros(()))
    return torch.zeros(shape, dtype=weights.dtype, device=weights.device)


@unaided
def start(model: ReverseProcess, like: Tensor, generator: Generator) -> Tensor:
    """A draw x_1 of the prior, of the shape, dtype and device of `like`."""
    return model.prior(like).sample(generator)


def sample(
    model: ReverseProcess,
    shape: tuple[int, ...],
    *,
    generator: torch.Generator,
    sampler: Sampler | None = None,
    grid: Tensor | None = None,
    first: int = 0,
    block: int | None = None,
    track: Track = SILENT,
    processes: Processes = ALONE,
) -> Tensor:
    """x_0 of the given shape (B, *shape), on the model's device; ancestral over 1000 steps by default.

    Row i depends on the generator's state, `first + i` and the block size alone, and on condition number
    `first + i` of a model that is given one for each. `block` defaults to `blocks.block_of`, whose choice
    changes nothing. The blocks are divided among the `processes`, all of which return all rows.
    """
    walks = _blocks(model, shape, generator, sampler, grid, first, block, processes)
    parts = track.split(*[1] * len(walks))
    done = list(processes.spread(lambda number: last(walks[number](track=parts[number]))[0], len(walks)))
    return _rows(done, shape, first) if done else like_of(model, (0, *shape[1:]))


def trajectory(
    model: ReverseProcess,
    shape: tuple[int, ...],
    *,
    generator: torch.Generator,
    sampler: Sampler | None = None,
    grid: Tensor | None = None,
    first: int = 0,
    block: int | None = None,
) -> Iterator[tuple[float, Tensor]]:
    """The same samples on their way: (t, x_t) from t = 1 to (0, x_0), all rows at once."""
    if shape[0] < 1:
        raise ValueError("a trajectory needs at least one sample")
    walks = _blocks(model, shape, generator, sampler, grid, first, block)
    for states in zip(*(walk() for walk in walks), strict=True):
        yield states[0][0], _rows([x for _, x in states], shape, first)


def _blocks(
    model: ReverseProcess,
    shape: tuple[int, ...],
    generator: torch.Generator,
    sampler: Sampler | None,
    grid: Tensor | None,
    first: int,
    block: int | None,
    processes: Processes = ALONE,
) -> list[Callable[..., Iterator[tuple[float, Tensor]]]]:
    """What begins the walk of each block that holds a wanted row."""
    seed, sampler, grid = root(generator), sampler or Ancestral(), uniform(1000) if grid is None else grid
    each = -(-shape[0] // processes.size)  # of them
    size = block or processes.share(block_of(model, shape[1:], grid, each))
    like = like_of(model, (size, *shape[1:]))

    def walk(begin: int, track: Track = SILENT) -> Iterator[tuple[float, Tensor]]:
        streams = Streams(seed, "sample", rows=range(begin, begin + size))
        numbers = [min(i, first + shape[0] - 1, LARGEST) for i in range(begin, begin + size)]
        own = model.rows(torch.tensor(numbers))
        x_1 = start(own, like, streams)
        return reverse(own, x_1, sampler=sampler, grid=grid, generator=streams, track=track)

    begins = range(first // size * size, first + shape[0], size)
    return [partial(walk, begin) for begin in begins]


def _rows(blocks: list[Tensor], shape: tuple[int, ...], first: int) -> Tensor:
    """The wanted rows of the blocks' union."""
    skip = first % len(blocks[0])
    return torch.cat(blocks)[skip : skip + shape[0]]
