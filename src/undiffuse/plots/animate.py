"""Films of a process: images that become data, points that become a shape."""

from collections.abc import Iterable, Iterator
from itertools import count

from undiffuse.files import atomic
from undiffuse.plots import gif
from undiffuse.plots.arrays import Bytes, Floats, Values, pictures, points
from undiffuse.plots.grid import fit, sheet
from undiffuse.plots.scatter import Extent, bounds, cloud
from undiffuse.plots.style import BLUE, INK, LABEL, Target, cell, figure, pixels, suffix


def save_gif(
    frames: Iterable[Values],
    path: Target,
    columns: int | None = None,
    duration: int = 60,
    hold: int = 1500,
    scale: int | None = None,
) -> None:
    """Write batches of images as a looping film, one sheet a frame.

    A generator is asked for one batch at a time, and each is let go before the next is made.

    Args:
        frames: uint8 ``(N, C, H, W)`` or ``(N, H, W)`` each, all of one shape.
        path: where the .gif goes.
        columns: images a row, as in `save_grid`.
        duration: ms a frame, to the nearest 10.
        hold: ms the last frame stays.
        scale: whole factor of enlargement, as in `save_grid`.
    """
    suffix(path, ".gif")
    with atomic(path) as file:
        gif.write(file, _sheets(frames, columns, scale), duration, hold)


def save_scatter_gif(
    frames: Iterable[tuple[float, Values]],
    path: Target,
    extent: Extent | None = None,
    duration: int = 60,
    hold: int = 1500,
) -> None:
    """Write moving points as a looping film, titled with the time.

    Args:
        frames: pairs of a time t in [0, 1] and points ``(N, 2)``; points that are not finite are
            not drawn.
        path: where the .gif goes.
        extent: left, right, bottom and top of the view, in the points' units. By default all
            frames are collected first to find one view that holds them.
        duration: ms a frame, to the nearest 10.
        hold: ms the last frame stays.
    """
    suffix(path, ".gif")
    moments = ((float(t), points(x, f"frames[{i}][1]")) for i, (t, x) in enumerate(frames))
    if extent is None:
        kept = list(moments)
        extent, moments = bounds([x for _, x in kept]), (moment for moment in kept)
    with atomic(path) as file:
        gif.write(file, _views(moments, extent), duration, hold)


def _sheets(frames: Iterable[Values], columns: int | None, scale: int | None) -> Iterator[Bytes]:
    """One sheet a frame; the batch is dropped before the next is made.

    (`enumerate` would keep its last pair, and with it the batch, alive; `map` does not.)
    """
    for batch in map(_frame, frames, count()):
        scale = fit(batch, columns) if scale is None else scale
        picture = sheet(batch, columns, scale)
        del batch
        yield picture


def _frame(frame: Values, number: int) -> Bytes:
    return pictures(frame, f"frames[{number}]")


def _views(moments: Iterable[tuple[float, Floats]], extent: Extent) -> Iterator[Bytes]:
    """One picture uint8 ``(H, W, 3)`` a moment; every frame reuses the same axes."""
    board = figure(4, 4.3)
    axes = cell(board.add_subplot(), extent)
    title = axes.set_title("", fontsize=LABEL, color=INK, family="monospace")
    for t, x in moments:
        title.set_text(f"t = {t:.2f}")
        dots = cloud(axes, x, BLUE)
        yield pixels(board)
        dots.remove()
