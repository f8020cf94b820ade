"""Whether uncertainty is as it should be: what intervals hold, ranks of the truth, shares of draws."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from undiffuse.plots.arrays import Values, line
from undiffuse.plots.style import BLUE, GREEN, MUTED, RED, Target, figure, panel, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = tuple[Values, Values, Values]  # x, y, and the standard error of y


def save_calibration(
    path: Target,
    title: str,
    coverage: Mapping[str, Points] | None = None,
    ranks: tuple[Values, Values] | None = None,
    reliability: Points | None = None,
) -> None:
    """Draw what there is of a calibration, side by side; bars are two standard errors.

    Args:
        path: where the .png goes.
        title: what was done, above the first panel.
        coverage: name -> shares that intervals should hold, and do.
        ranks: shares of the truth's rank in each bin, and their errors.
        reliability: shares of draws of a symbol, and how often it was true.
    """
    panels = [part for part in (coverage, ranks, reliability) if part is not None]
    board = figure(4.6 * len(panels), 4.4)
    places = iter(board.subplots(1, len(panels), squeeze=False)[0])
    if coverage is not None:
        axes = panel(next(places), title, "share an interval should hold", "share it holds")
        _diagonal(axes)
        for (name, points), shade in zip(coverage.items(), (BLUE, GREEN), strict=False):
            _bars(axes, points, shade, name)
        axes.legend(frameon=False, loc="upper left")
    if ranks is not None:
        axes = panel(next(places), "Rank of the truth among draws", "rank, as a share", "share of numbers")
        shares, errors = line(ranks[0], "ranks"), line(ranks[1], "errors")
        width = 1 / len(shares)
        middles = [(i + 0.5) * width for i in range(len(shares))]
        axes.bar(middles, shares, 0.92 * width, color=BLUE, yerr=2 * errors, ecolor=MUTED)
        axes.axhline(width, color=RED, linewidth=1.2)
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
    if reliability is not None:
        axes = panel(next(places), title if coverage is None else "Symbols", "share of draws", "share true")
        _diagonal(axes)
        _bars(axes, reliability, BLUE, "")
    save(board, path)


def _diagonal(axes: "Axes") -> None:
    axes.plot([0, 1], [0, 1], color=RED, linewidth=1.2)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")


def _bars(axes: "Axes", points: Points, shade: str, name: str) -> None:
    x, y, error = (line(each, what) for each, what in zip(points, ("x", "y", "error"), strict=True))
    axes.errorbar(x, y, 2 * error, fmt="o", color=shade, markersize=4, label=name or None)
