"""Any named numbers over the training steps: weight norms, gradient norms, layer by layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from undiffuse.plots.arrays import Floats, Values, line
from undiffuse.plots.curves import SPAN
from undiffuse.plots.small import small
from undiffuse.plots.style import BLUE, RED, TICK, Target, note, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def save_monitors(series: Mapping[str, tuple[Values, Values]], path: Target, title: str = "") -> None:
    """Draw each series over the steps in a small panel of its own, all with the same steps across.

    Positive values that span more than a factor of 10 are on a log scale. Values that are not finite are left
    out, and the panel says how many.

    Args:
        series: for each name ``(K,)`` steps, in any order, and ``(K,)`` values.
        path: where the .png goes.
        title: what stands above all panels.
    """
    if not series:
        raise ValueError("series is empty; give at least one, {'grad_norm': (steps, values)}")
    from matplotlib.ticker import EngFormatter, MaxNLocator

    read = {name: _read(name, *pair) for name, pair in series.items()}
    first, last = _range([step for step, _ in read.values()])
    board, cells = small(list(read), title)
    for axes, (step, value) in zip(cells, read.values(), strict=True):
        _draw(axes, step, value)
        axes.set_xlim(first, last)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    save(board, path)


def _read(name: str, steps: Values, values: Values) -> tuple[Floats, Floats]:
    """Steps and values in order of the steps; rows without a finite step are dropped."""
    step = line(steps, f"series[{name!r}][0]")
    value = line(values, f"series[{name!r}][1]")
    if len(step) != len(value):
        raise ValueError(
            f"series[{name!r}] has {len(step)} steps and {len(value)} values; give one value a step"
        )
    order = np.argsort(step, kind="stable")
    order = order[np.isfinite(step[order])]
    return step[order], value[order]


def _range(steps: list[Floats]) -> tuple[float, float]:
    """First and last step of all, a little apart."""
    together = np.concatenate([[], *steps])
    first, last = (together.min(), together.max()) if len(together) else (0.0, 1.0)
    margin = 0.03 * (last - first) or 0.5
    return float(first - margin), float(last + margin)


def _draw(axes: "Axes", step: Floats, value: Floats) -> None:
    good = np.isfinite(value)
    if not good.all():
        axes.set_xlabel(f"{(~good).sum()} of {len(value)} not finite", fontsize=TICK, color=RED)
    if not good.any():
        axes.set_yticks([])
        note(axes, "no finite value")
        return
    step, value = step[good], value[good]
    marker = "o" if len(step) < 40 else None
    axes.plot(step, value, color=BLUE, linewidth=1.5, marker=marker, markersize=3)
    if value.min() > 0 and value.max() > SPAN * value.min():
        axes.set_yscale("log")
    else:
        from matplotlib.ticker import MaxNLocator

        axes.yaxis.set_major_locator(MaxNLocator(4))
