"""Grids: the latent times 0 < t_1 < .. < t_T = 1 of a chain, float64. A chain is a grid, not a class."""

from typing import NewType

import torch
from torch import Tensor

from undiffuse.devices import fetched
from undiffuse.schedules.base import Schedule

Grid = NewType("Grid", Tensor)


def uniform(steps: int = 1000) -> Grid:
    """1/T, 2/T, .., 1: the grid of a table of T rates.

    >>> uniform(4)
    tensor([0.2500, 0.5000, 0.7500, 1.0000], dtype=torch.float64)
    """
    _check_steps(steps)
    return Grid(torch.arange(1, steps + 1, dtype=torch.float64) / steps)


def strided(steps: int = 1000, keep: int = 100) -> Grid:
    """`keep` of the times of `uniform(steps)`, evenly spread, with its first and its last.

    >>> strided(1000, 4)
    tensor([0.0010, 0.3340, 0.6670, 1.0000], dtype=torch.float64)
    """
    return thin(uniform(steps), keep)


def thin(grid: Tensor, keep: int) -> Grid:
    """`keep` times of a grid, evenly spread over its places, with its first and its last."""
    _check_steps(keep)
    if keep > len(grid):
        raise ValueError(f"keep={keep}: a chain of {len(grid)} steps has no more times than that")
    if keep == 1:
        return Grid(grid[-1:])
    index = torch.linspace(0, len(grid) - 1, keep, dtype=torch.float64).round().long()
    return Grid(grid[index])


def logsnr(schedule: Schedule, steps: int = 1000, first: float = 1e-3) -> Grid:
    """`steps` times from `first` to 1, evenly spread in the schedule's log-SNR (cut at -15 below)."""
    _check_steps(steps)
    if not 0 < first < 1:
        raise ValueError(f"first={first:g}: the first latent time lies in (0, 1)")
    if steps == 1:
        return Grid(torch.ones(1, dtype=torch.float64))
    ends = torch.tensor([first, 1.0], dtype=torch.float64)
    top, bottom = schedule.logsnr(ends).clamp(min=-15.0).tolist()
    grid = invert(schedule, torch.linspace(top, bottom, steps, dtype=torch.float64))
    grid[0], grid[-1] = first, 1.0
    return Grid(grid)


def times(times: list[float]) -> Grid:
    """These times themselves. Raises ValueError unless they rise from above 0 to exactly 1."""
    return check_grid(torch.tensor(times, dtype=torch.float64))


def invert(schedule: Schedule, values: Tensor) -> Tensor:
    """Times at which the log-SNR takes these values, by bisection to float64 precision."""
    low, high = torch.zeros_like(values), torch.ones_like(values)
    for _ in range(60):
        middle = (low + high) / 2
        above = schedule.logsnr(middle) > values
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2


def check_grid(grid: Tensor) -> Grid:
    """The grid as float64 on the CPU; ValueError unless it increases from above 0 to exactly 1."""
    grid = fetched(grid.detach())
    rising = grid.ndim == 1 and len(grid) > 0 and bool((grid.diff() > 0).all())
    if not rising or grid[0] <= 0 or grid[-1] != 1:
        raise ValueError(f"a grid rises from above 0 to exactly 1, got {grid.tolist()[:8]}")
    return Grid(grid)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps={steps}: a chain has at least one step")
