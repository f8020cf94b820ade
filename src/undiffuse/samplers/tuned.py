"""Which times a solver without noise should stop at: those that bring it nearest to where the flow leads.

A few x_1 are walked down finely once. A grid of n times is then sought among those whose density in lambda =
log(alpha / sigma) is exp(b_1 u + b_2 u^2 + b_3 u^3), u going from -1 at t = 1 to 1 at the first latent time:
b = 0 is even in lambda, and grids of other names are near one of them. Each is judged by what the solver
itself makes of it, the mean over rows of the root mean square distance from the fine x_0; a pattern search
(Hooke & Jeeves 1961) finds the best. It costs some sixty walks of n calls for each n.
"""

import math
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.devices import wide
from undiffuse.model import ReverseProcess
from undiffuse.samplers.base import Sampler, gaussian_of
from undiffuse.samplers.loop import last, reverse
from undiffuse.samplers.solvers import UniPC
from undiffuse.schedules.grids import Grid, check_grid, invert
from undiffuse.track import SILENT, Track

BENDS = 3
FINE = 100  # times of the fine walk
FAR = -7.5  # lambda below which nothing is told apart
FIRST, LEAST, MOST = 1.0, 0.05, 150  # step of the search at the beginning and the end; walks at most
ROWS = 32  # samples that are walked
USUAL = 60  # walks, by which the progress is told


def warped(begin: float, end: float, bends: Sequence[float], steps: int) -> Tensor:
    """lambda (steps,) from `begin` to `end`, rising, of the density that the bends say."""
    u = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    log_density = sum((b * u ** (k + 1) for k, b in enumerate(bends)), start=torch.zeros_like(u))
    share = torch.cumulative_trapezoid((log_density - log_density.max()).exp(), u)
    share = torch.cat([share.new_zeros(1), share / share[-1]])
    at = np.interp(np.linspace(0, 1, steps), share.numpy(), u.numpy())
    return begin + (end - begin) * torch.from_numpy((at + 1) / 2)


def check_tuned(model: ReverseProcess, solver: Sampler, steps: int) -> None:
    """Raise ValueError for a solver whose paths cannot be judged, and steps that leave nothing to choose."""
    if not solver.deterministic:
        raise ValueError(f"{type(solver).__name__} adds noise: no path of it can be judged; use tau=0")
    solver.check(model)
    if steps < 2:
        raise ValueError(f"steps={steps}: a grid of less than two times leaves nothing to choose")


class Tuner:
    """Judges solvers and their grids by where they bring some x_1 (B, *shape) of a model.

    `chain` gives the first latent time, and all times of a chain of a table, beside which there are none.
    Raises ValueError for a model without a flow.
    """

    @unaided
    @torch.no_grad()
    def __init__(self, model: ReverseProcess, x_1: Tensor, chain: Tensor, track: Track = SILENT) -> None:
        solver = UniPC(3)
        solver.check(model)
        self.model, self.x_1, self.chain = model, x_1, check_grid(chain)
        if len(chain) < 2:
            raise ValueError("a chain of one time leaves none to choose")
        schedule = gaussian_of(model).schedule
        self.begin, self.end = (gaussian_of(model).level(t).place for t in (chain[-1], chain[0]))
        self.begin, self.table = max(self.begin, FAR), schedule.steps is not None
        self.x_0 = self._walk(solver, self.grid([0.0] * BENDS, FINE), track)

    def grid(self, bends: Sequence[float], steps: int) -> Grid:
        """The times of so many steps; of a table's chain the nearest of its own, which may be fewer."""
        places = warped(self.begin, self.end, bends, steps).flip(0)
        found = invert(gaussian_of(self.model).schedule, 2 * places)
        if self.table:
            near = torch.searchsorted(self.chain, found).clamp(1, len(self.chain) - 1)
            below = found - self.chain[near - 1] < self.chain[near] - found
            found = torch.unique(self.chain[near - below.long()])
        found[0], found[-1] = self.chain[0], 1.0
        return check_grid(found)

    def distance(self, solver: Sampler, grid: Tensor) -> float:
        """How far x_0 is from the fine walk's: root mean square over values, mean over rows."""
        away = wide(self._walk(solver, grid) - self.x_0).flatten(1)
        return float(away.square().mean(1).sqrt().mean())

    def tuned(self, solver: Sampler, steps: int, track: Track = SILENT) -> tuple[Grid, float]:
        """The best grid that was found for so many steps of this solver, and its distance.

        Raises ValueError for a solver with noise, and fewer than two steps.
        """
        check_tuned(self.model, solver, steps)
        walks = count(1)

        def loss(bends: Sequence[float]) -> float:
            found = self.distance(solver, self.grid(bends, steps))
            track.at(min(next(walks), USUAL), USUAL)
            return found if math.isfinite(found) else math.inf

        bends, least = pattern_search(loss, BENDS, MOST)
        track.at(1)
        return self.grid(bends, steps), least

    @unaided
    @torch.no_grad()
    def _walk(self, solver: Sampler, grid: Tensor, track: Track = SILENT) -> Tensor:
        none = torch.Generator(self.x_1.device)
        return last(reverse(self.model, self.x_1, sampler=solver, grid=grid, generator=none, track=track))[0]


def pattern_search(
    loss: Callable[[Sequence[float]], float], size: int, most: int
) -> tuple[list[float], float]:
    """Where the loss is least, as `most` looks find it from zeros on, and the loss there.

    A step that was good grows, one that was not shrinks.
    """
    at, step = [0.0] * size, [FIRST] * size
    least, calls = loss(at), 1
    while max(step) > LEAST:
        for i in range(size):
            for way in (step[i], -step[i]):
                if calls == most:
                    return at, least
                tried = [*at[:i], at[i] + way, *at[i + 1 :]]
                found, calls = loss(tried), calls + 1
                if found < least:
                    at, least, step[i] = tried, found, 1.5 * step[i]
                    break
            else:
                step[i] /= 2
    return at, least
