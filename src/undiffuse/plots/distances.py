"""What samples of so many network calls are worth."""

from collections.abc import Mapping, Sequence

import numpy as np

from undiffuse.plots.style import Target, color, figure, panel, save


def save_distances(
    curves: Mapping[str, Sequence[tuple[int, float, float]]],
    path: Target,
    chain: tuple[int, float, float],
    training: float,
    measure: str = "distance",
) -> None:
    """Draw every sampler's distance over its calls, with the whole chain's and that of training examples.

    Args:
        curves: name -> number of calls, distance and its standard error of each walk, in any order.
        path: where the .png goes.
        chain: the whole chain's calls, distance and standard error.
        training: the distance of as many training examples.
        measure: what distances are.
    """
    board = figure(7.5, 4.6)
    axes = panel(board.subplots(), "What so many network calls are worth", "calls a sample", measure)
    for index, (name, points) in enumerate(curves.items()):
        at, mean, error = np.array(sorted(points)).T
        shade, dash = color(index)
        axes.errorbar(
            at * 1.01**index,  # beside one another
            mean,
            error,
            fmt=dash,
            color=shade,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            elinewidth=0.8,
            capsize=2.5,
            label=name,
        )
    steps, whole, around = chain
    shade, _ = color(len(curves))
    axes.axhline(whole, color=shade, linewidth=1.2, label=f"all {steps:,} steps")
    axes.axhspan(whole - around, whole + around, color=shade, alpha=0.12, linewidth=0)
    axes.axhline(training, color="0.4", linestyle=":", linewidth=1.2, label="training examples")
    axes.set_xscale("log")
    ticks = sorted({calls for points in curves.values() for calls, _, _ in points})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    save(board, path)
