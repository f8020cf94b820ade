"""Distortion against rate, one line a codec."""

from collections.abc import Mapping

import numpy as np

from undiffuse.plots.arrays import Values, line
from undiffuse.plots.style import Target, color, figure, panel, save


def save_rate_distortion(
    curves: Mapping[str, tuple[Values, Values]], path: Target, unit: str = "bits/dim", measure: str = "RMSE"
) -> None:
    """Draw every codec's distortion over its rate.

    Args:
        curves: name -> rates and distortions, ``(P,)`` each, in any order.
        path: where the .png goes.
        unit: what rates are measured in.
        measure: what distortions are.
    """
    board = figure(7.5, 4.6)
    axes = panel(board.subplots(), "What so many bits are worth", unit, measure)
    for index, (name, (rate, distortion)) in enumerate(curves.items()):
        rates, distortions = line(rate, "rate"), line(distortion, "distortion")
        order = np.argsort(rates, kind="stable")
        shade, dash = color(index)
        axes.plot(
            rates[order],
            distortions[order],
            dash,
            color=shade,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            label=name,
        )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    save(board, path)
