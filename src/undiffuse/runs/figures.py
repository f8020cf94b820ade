"""Figures of a run: its schedule, and for 2-D data its two processes side by side."""

from pathlib import Path

import torch

from undiffuse import plots
from undiffuse.data import Examples
from undiffuse.random import keyed
from undiffuse.runs.run import Run

POINTS = 2000
FEET = 15  # arrows a side of the drift's field


def save_schedule(run: Run, path: Path) -> Path:
    """The run's log-SNR and kept share of the signal over time."""
    t = torch.linspace(0, 1, 501, dtype=torch.float64)
    logsnr = run.model.kernel.schedule.logsnr(t)
    kind = run.recipe["kernel"].arguments["schedule"].kind
    plots.save_schedules(t, {kind: {"logsnr": logsnr, "keep": logsnr.sigmoid()}}, path)
    return path


@torch.no_grad()
def save_slices(run: Run, raw: Examples, path: Path, seed: int = 0) -> Path:
    """Forward slices of raw data (N, 2), reverse slices of samples, and the drift E[x_s | x_t] - x_t.

    The times are the start, the middle and the end of the chain, as in figure 1 of the 2015 paper; all in the
    coordinates of x_0. Raises ValueError unless the data are points in the plane.
    """
    if run.shape != (2,):
        raise ValueError(f"slices are drawn for points in the plane, this run has shape {run.shape}")
    if len(run.grid) < 2:
        raise ValueError("slices are drawn of a chain of at least two steps, this run's has one")
    grid, x_0 = run.grid, run.space.encode(raw[:POINTS])
    half = max(len(grid) // 2 - 1, 1)
    middle = grid[half]
    times = [0.0, float(middle), 1.0]
    generator = keyed(seed, "slices")
    noisy = [run.model.kernel.marginal(x_0, t).sample(generator) for t in (middle, grid[-1])]
    states = dict(run.replace(walks=None).trajectory(len(x_0), seed))
    reverse = [states[t] for t in times]
    feet = torch.cartesian_prod(*[torch.linspace(-2.2, 2.2, FEET)] * 2)
    arrows = [run.model.step(feet, grid[i], grid[i - 1]).mean - feet for i in (1, half, -1)]
    plots.save_trajectories(times, [x_0, *noisy], reverse, path, (feet, arrows))
    return path
