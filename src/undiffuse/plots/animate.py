"""Films of a process: images that become data, points that become a shape."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from typing import BinaryIO

from undiffuse.files import atomic
from undiffuse.plots import looping, mp4
from undiffuse.plots.arrays import Bytes, Floats, Values, pictures, points
from undiffuse.plots.grid import fit, sheet
from undiffuse.plots.scatter import Extent, bounds, cloud
from undiffuse.plots.style import BLUE, INK, LABEL, Target, cell, figure, pixels, suffix

FORMATS: dict[str, Callable[[BinaryIO, Iterable[Bytes], int, int], None]] = {
    ".gif": partial(looping.write, "GIF"),
    ".png": partial(looping.write, "PNG"),
    ".mp4": mp4.write,
}


def save_film(
    frames: Iterable[Values],
    path: Target,
    columns: int | None = None,
    duration: int = 60,
    hold: int = 1500,
    scale: int | None = None,
) -> None:
    """Write batches of images as a film, one sheet a frame.

    A generator is asked for one batch at a time, and each is let go before the next is made.

    Args:
        frames: uint8 ``(N, C, H, W)`` or ``(N, H, W)`` each, all of one shape.
        path: where it goes: .gif, .png (animated, every colour) or .mp4 (needs the extra `video`).
        columns: images a row, as in `save_grid`.
        duration: ms a frame; in a GIF to the nearest 10.
        hold: ms the last frame stays.
        scale: whole factor of enlargement, as in `save_grid`.
    """
    _write(path, _sheets(frames, columns, scale), duration, hold)


def save_scatter_film(
    frames: Iterable[tuple[float, Values]],
    path: Target,
    extent: Extent | None = None,
    duration: int = 60,
    hold: int = 1500,
) -> None:
    """Write moving points as a film, titled with the time.

    Args:
        frames: pairs of a time t in [0, 1] and points ``(N, 2)``; points that are not finite are
            not drawn.
        path: where it goes: .gif, .png (animated, every colour) or .mp4 (needs the extra `video`).
        extent: left, right, bottom and top of the view, in the points' units. By default all
            frames are collected first to find one view that holds them.
        duration: ms a frame; in a GIF to the nearest 10.
        hold: ms the last frame stays.
    """
    suffix(path, *FORMATS)
    moments = ((float(t), points(x, f"frames[{i}][1]")) for i, (t, x) in enumerate(frames))
    if extent is None:
        kept = list(moments)
        extent, moments = bounds([x for _, x in kept]), (moment for moment in kept)
    _write(path, _views(moments, extent), duration, hold)


def check_film(path: Target) -> None:
    """Raise ValueError for an ending that no film has, ImportError for one that needs the extra `video`."""
    if suffix(path, *FORMATS) == ".mp4":
        mp4.extra()


def _write(path: Target, pictures: Iterable[Bytes], duration: int, hold: int) -> None:
    """The film in the format that the path's ending names; nothing is left there if it fails."""
    write = FORMATS[suffix(path, *FORMATS)]
    with atomic(path) as file:
        write(file, pictures, duration, hold)


def _sheets(frames: Iterable[Values], columns: int | None, scale: int | None) -> Iterator[Bytes]:
    """One sheet a frame; the batch is dropped before the next is made.

    (`enumerate` would keep its last pair, and with it the batch, alive; `map` does not.)
    """
    for batch in map(lambda frame, number: pictures(frame, f"frames[{number}]"), frames, count()):
        scale = fit(batch, columns) if scale is None else scale
        picture = sheet(batch, columns, scale)
        del batch
        yield picture


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
