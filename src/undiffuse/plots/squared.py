"""How far predictions are from the data along a chain, and the times that were chosen by it."""

from collections.abc import Mapping

from undiffuse.plots.arrays import Values, line
from undiffuse.plots.style import Target, color, figure, panel, save


def save_squared(
    logsnr: Values, mse: Values, se: Values, path: Target, chains: Mapping[str, Values] | None = None
) -> None:
    """Draw the mean squared error of predictions over the log signal-to-noise ratio.

    Args:
        logsnr: ``(K,)`` in nats, falling.
        mse: ``(K,)`` mean squared errors of a value, and ``se`` ``(K,)`` their standard errors.
        path: where the .png goes.
        chains: name -> log-SNR of the times of a chain, drawn as ticks below the curve.
    """
    at, mean, error = line(logsnr, "logsnr"), line(mse, "mse"), line(se, "se")
    board = figure(7.5, 4.2)
    axes = panel(
        board.subplots(),
        "How far predictions are from the data",
        "log-SNR, nats",
        "mean squared error, a value",
    )
    shade, _ = color(0)
    axes.plot(at, mean, color=shade, linewidth=1.6)
    axes.fill_between(at, mean - 2 * error, mean + 2 * error, color=shade, alpha=0.2, linewidth=0)
    axes.set_yscale("log")
    for index, (name, places) in enumerate((chains or {}).items(), 1):
        shade, _ = color(index)
        height = 0.04 * index
        ticks = line(places, name)
        axes.plot(
            ticks,
            [height] * len(ticks),
            "|",
            color=shade,
            markersize=9,
            label=name,
            transform=axes.get_xaxis_transform(),
        )
    axes.invert_xaxis()
    if chains:
        axes.legend(frameon=False)
    save(board, path)
