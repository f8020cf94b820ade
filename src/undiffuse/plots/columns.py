"""Columns of a table beside samples of them: a histogram each."""

from collections.abc import Sequence

import numpy as np

from undiffuse.plots.arrays import Values, numpy
from undiffuse.plots.style import BLUE, RED, Target, figure, panel, save

MOST, ACROSS, BINS = 12, 4, 24
LONGEST = 20  # letters of a name


def save_columns(names: Sequence[str], data: Values, drawn: Values, path: Target) -> None:
    """Draw a histogram of each of the first 12 columns: of the data, filled, and of samples, as a line.

    Args:
        names: one a column.
        data: ``(N, D)``.
        drawn: ``(M, D)``.
        path: where the .png goes.
    """
    real, ours = numpy(data), numpy(drawn)
    count = min(MOST, real.shape[1])
    across = min(ACROSS, count)
    down = -(-count // across)
    board = figure(2.6 * across, 2.0 * down + 0.3)
    axes = board.subplots(down, across, squeeze=False).flatten()
    for number, each in enumerate(axes):
        if number >= count:
            each.set_visible(False)
            continue
        both = np.concatenate([real[:, number], ours[:, number]])
        low, high = (float(end) for end in np.quantile(both, (0.005, 0.995)))
        edges = np.linspace(low, high, BINS)
        panel(each, str(names[number])[:LONGEST], grid=False).set_yticks([])
        each.hist(real[:, number], edges, density=True, color=BLUE, alpha=0.35, label="data")
        each.hist(ours[:, number], edges, density=True, histtype="step", color=RED, label="samples")
    axes[0].legend(frameon=False, fontsize=7)
    save(board, path)
