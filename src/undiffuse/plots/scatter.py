"""Two-dimensional data on its way to noise and back: figure 1 of Sohl-Dickstein et al. (2015)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from undiffuse.plots.arrays import Floats, Values, line, points
from undiffuse.plots.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    RED,
    TICK,
    TITLE,
    Target,
    cell,
    figure,
    note,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

Extent = tuple[float, float, float, float]  # left, right, bottom, top
Drift = tuple[Values, Sequence[Values]]


def save_trajectories(
    times: Values,
    forward: Sequence[Values],
    reverse: Sequence[Values],
    path: Target,
    drift: Drift | None = None,
) -> None:
    """Draw slices of the forward process above slices of the reverse process, one column a time.

    All panels share one view. Columns go from data to prior whatever the order of `times`.

    Args:
        times: ``(K,)`` in [0, 1], for example 0, 1/2 and 1.
        forward: K arrays of points ``(N, 2)`` from q(x_t).
        reverse: K arrays of points ``(N, 2)`` from p(x_t).
        path: where the .png goes.
        drift: points ``(M, 2)`` and K arrays ``(M, 2)`` of the model's mean(x, t) - x there, in the
            units of x; drawn as a third row. Arrows are scaled in each column by themselves, and
            the length of its longest is written below.
    """
    at = line(times, "times")
    order = [int(column) for column in np.argsort(at, kind="stable")]
    rows = [_row(forward, "forward", len(at)), _row(reverse, "reverse", len(at))]
    extent = bounds(rows[0] + rows[1])
    height = 2 + (drift is not None)
    board = figure(2.5 * max(len(at), 2) + 0.4, 2.55 * height + 0.3)
    grid = board.subplots(height, len(at), squeeze=False)
    names = [("forward  q(xₜ)", BLUE), ("reverse  p(xₜ)", RED), ("drift  E[xₛ|xₜ] − xₜ", GREEN)]
    for (name, shade), axes in zip(names, grid[:, 0], strict=False):
        axes.set_ylabel(name, fontsize=TITLE, color=shade, labelpad=8)
    for place, column in enumerate(order):
        grid[0, place].set_title(f"t = {at[column]:.3g}", fontsize=TITLE, color=INK)
        for axes, slices, (_, shade) in zip(grid[:, place], rows, names, strict=False):
            cloud(cell(axes, extent), slices[column], shade)
    if drift is not None:
        for axes, column in zip(grid[2], order, strict=True):
            _arrows(cell(axes, extent), *_field(drift, column, len(at)))
    save(board, path)


def save_points(x: Values, path: Target) -> None:
    """One cloud of points ``(N, 2)`` as a square figure."""
    together = points(x, "x")
    board = figure(5, 5)
    cloud(cell(board.subplots(), bounds([together])), together, BLUE)
    save(board, path)


def bounds(clouds: Sequence[Floats]) -> Extent:
    """A square view that holds nearly all the points: strays beyond the last 0.2% are cut off."""
    together = np.concatenate([np.empty((0, 2)), *clouds])
    if len(together) == 0:
        return -1.0, 1.0, -1.0, 1.0
    low, high = np.percentile(together, [0.2, 99.8], axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2 * 1.12, 1e-3)
    left, bottom = (float(value) for value in middle - half)
    return left, left + 2 * half, bottom, bottom + 2 * half


def cloud(axes: "Axes", x: Floats, shade: str) -> "PathCollection":
    """Points ``(N, 2)``, smaller and fainter the more there are."""
    size = float(np.clip(4000 / max(len(x), 1), 1.5, 12))
    faint = float(np.clip(25 / np.sqrt(max(len(x), 1)), 0.5, 0.85))
    return axes.scatter(x[:, 0], x[:, 1], s=size, c=shade, alpha=faint, linewidths=0)


def _row(slices: Sequence[Values], name: str, length: int) -> list[Floats]:
    if len(slices) != length:
        raise ValueError(f"{name} has {len(slices)} slices, times has {length}; give one a time")
    return [points(x, f"{name}[{i}]") for i, x in enumerate(slices)]


def _field(drift: Drift, column: int, length: int) -> tuple[Floats, Floats]:
    """Feet and arrows of one column, ``(M, 2)`` each, without those that are not finite."""
    feet, arrows = drift
    if len(arrows) != length:
        raise ValueError(f"drift has {len(arrows)} fields, times has {length}; give one a time")
    name = f"drift[1][{column}]"
    foot, arrow = points(feet, "drift[0]", keep=True), points(arrows[column], name, keep=True)
    if foot.shape != arrow.shape:
        raise ValueError(f"{name} has shape {arrow.shape}, its points {foot.shape}; make them equal")
    both = np.isfinite(foot).all(1) & np.isfinite(arrow).all(1)
    return foot[both], arrow[both]


def _arrows(axes: "Axes", feet: Floats, arrows: Floats) -> None:
    """Arrows whose longest spans the typical distance between feet."""
    if len(feet) == 0:
        note(axes, "no finite arrow")
        return
    left, right = axes.get_xlim()
    longest = float(np.hypot(*arrows.T).max())
    spacing = 1.3 * (right - left) / max(np.sqrt(len(feet)), 1)
    axes.quiver(
        *feet.T,
        *arrows.T,
        color=GREEN,
        angles="xy",
        scale_units="xy",
        scale=max(longest, 1e-12) / spacing,
        width=0.006,
        headwidth=4,
        minlength=0.5,
    )
    axes.set_xlabel(f"longest {longest:.2g}", fontsize=TICK, color=MUTED)
