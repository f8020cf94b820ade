"""Columns of a table beside samples of them: a histogram each."""

from collections.abc import Sequence

import numpy as np

from undiffuse.plots.arrays import Values, numpy
from undiffuse.plots.style import BLUE, RED, Target, figure, panel, save

MOST, ACROSS, BINS = 12, 4, 24
LONGEST = 20  # letters of a name
TICKS, SHORT = 4, 9  # words below a column, and their letters


def save_columns(
    names: Sequence[str],
    data: Values,
    drawn: Values,
    path: Target,
    words: Sequence[Sequence[object]] | None = None,
) -> None:
    """Draw a histogram of each of the first 12 columns: of the data, filled, and of samples, as a line.

    Args:
        names: one a column.
        data: ``(N, D)``, NaN where nothing is known.
        drawn: ``(M, D)``.
        path: where the .png goes.
        words: what a column's numbers 0, 1, .. stand for, one a column, empty where that is themselves.
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
        x, y = (values[np.isfinite(values)] for values in (real[:, number], ours[:, number]))
        low, high = (float(end) for end in np.quantile(np.concatenate([x, y]), (0.005, 0.995)))
        panel(each, str(names[number])[:LONGEST], grid=False).set_yticks([])
        said = words[number] if words else ()
        edges = np.linspace(-0.5, len(said) - 0.5, len(said) + 1) if said else np.linspace(low, high, BINS)
        if said:
            shown = range(0, len(said), -(-len(said) // TICKS))
            each.set_xticks(list(shown), [str(said[i])[:SHORT] for i in shown])
        each.hist(x, edges, density=True, color=BLUE, alpha=0.35, label="data")
        each.hist(y, edges, density=True, histtype="step", color=RED, label="samples")
    axes[0].legend(frameon=False, fontsize=7)
    save(board, path)
