"""The density of a data set by the probability flow, block by block; of levels a bound by dequantisation."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from undiffuse.bounds.streamed import Block, Streamed
from undiffuse.devices import fetched
from undiffuse.flow.density import LogProb, log_prob
from undiffuse.flow.dequantize import Dequantize, check_dequantize, dequantized
from undiffuse.model import ReverseProcess
from undiffuse.samplers import Exponential
from undiffuse.samplers.base import gaussian_of
from undiffuse.schedules import Schedule, grids
from undiffuse.track import SILENT, Track


def log_probs(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    half: float | None = None,
    dequantize: Dequantize = "truncated",
    samples: int = 1,
    signs: int | None = None,
    solver: Exponential | None = None,
    block: int | None = None,
    track: Track = SILENT,
) -> LogProb:
    """log p of the data (N, *shape), (N,) in nats of x_0; of levels, `half` of one wide, a bound on log P.

    That is the mean of `samples` draws of the noise. What is found of row i depends on the seed and i alone.
    Raises ValueError as `log_prob` does, and for samples below 1.
    """
    check_dequantize(dequantize)
    if samples < 1:
        raise ValueError(f"samples={samples}: at least one draw of the noise within a level")
    if samples > 1 and half is None:
        raise ValueError(f"samples={samples}: continuous data have no noise to draw so often; leave it at 1")

    def each(part: Block, track: Track) -> LogProb:
        how: dict[str, Any] = {"generator": part.streams, "signs": signs, "solver": solver, "track": track}
        if half is None:
            return log_prob(part.model, part.x_0, grid=grid, **how)
        level = gaussian_of(model).level(grid[0])
        y, log_q = dequantized(part.x_0, dequantize, half, level.sigma / level.alpha, part.streams)
        found = log_prob(part.model, y, grid=grid, **how)
        return found._replace(value=found.value - log_q)

    done = []
    for part, inner in track.over(Streamed(model, data, seed, "flow", encode, block, grid)):
        draws = [each(part, one) for one in inner.split(*[1] * samples)]
        done.append([_host(column)[: part.kept] for column in (draws[0] if samples == 1 else mixed(draws))])
    return LogProb(*(torch.cat(columns) for columns in zip(*done, strict=True)))


def mixed(draws: list[LogProb]) -> LogProb:
    """log of the mean of K densities, with errors to first order."""
    value, se, error = (torch.stack(column) for column in zip(*draws, strict=True))
    shares = value.detach().softmax(0)
    return LogProb(
        value.logsumexp(0) - math.log(len(draws)),
        (shares * se).square().sum(0).sqrt(),
        (shares * error).sum(0),
    )


def grid_of(schedule: Schedule, first: float, calls: int) -> grids.Grid:
    """The times of `log_prob`, even in log-SNR from `first` to 1, that make at most so many calls.

    Raises ValueError for fewer than 8.
    """
    if calls < 8:
        raise ValueError(f"calls={calls}: at least 8, of which a third is for the error")
    times = (2 * calls - 1) // 3
    return grids.logsnr(schedule, times - 1 + times % 2, first)


def _host(x: Tensor) -> Tensor:
    return x if x.requires_grad else fetched(x)
