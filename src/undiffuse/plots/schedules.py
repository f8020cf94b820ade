"""Noise schedules side by side."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from undiffuse.plots.arrays import Floats, Values, line
from undiffuse.plots.style import INK, LABEL, Target, color, figure, panel, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 20.0  # nats; further out, less than one part in 10^8 is noise or signal


def save_schedules(t: Values, schedules: Mapping[str, Mapping[str, Values]], path: Target) -> None:
    """Draw the log signal-to-noise ratio and the kept share of the signal over time.

    Args:
        t: ``(T,)`` times in [0, 1].
        schedules: for each name, ``"logsnr"`` and ``"keep"`` of shape ``(T,)``. Where all or
            nothing is kept the log-SNR is infinite, and leaves a gap;
            the view ends at 20 nats either way.
        path: where the .png goes.
    """
    if not schedules:
        raise ValueError("schedules is empty; give at least one, {'cosine': {'logsnr', 'keep'}}")
    at = line(t, "t")
    board = figure(9, 4.1)
    left, right = board.subplots(1, 2)
    panel(left, "Log signal-to-noise ratio", "t", "nats")
    panel(right, "Share of the signal kept", "t")
    for index, (name, arrays) in enumerate(schedules.items()):
        _draw(left, at, _read(arrays, name, "logsnr", len(at)), name, index)
        _draw(right, at, _read(arrays, name, "keep", len(at)), name, index)
    low, high = left.get_ylim()
    left.set_ylim(max(low, -FAR), min(high, FAR))
    right.set_ylim(-0.03, 1.03)
    board.legend(
        *right.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=math.ceil(len(schedules) / math.ceil(len(schedules) / 6)),
        frameon=False,
        fontsize=LABEL,
        labelcolor=INK,
    )
    save(board, path)


def _read(arrays: Mapping[str, Values], name: str, key: str, length: int) -> Floats:
    if key not in arrays:
        raise ValueError(f"schedules[{name!r}] has keys {sorted(arrays)}; add {key!r}")
    return line(arrays[key], f"schedules[{name!r}][{key!r}]", length)


def _draw(axes: "Axes", t: Floats, values: Floats, name: str, index: int) -> None:
    shade, dash = color(index)
    axes.plot(t, values, color=shade, linestyle=dash, linewidth=1.9, label=name)
