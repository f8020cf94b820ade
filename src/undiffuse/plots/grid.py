"""Many small images on one sheet."""

import math

import numpy as np
from PIL import Image

from undiffuse.files import atomic
from undiffuse.plots.arrays import Array, Bytes, Values, pictures
from undiffuse.plots.style import Target, suffix

GAP = 2  # pixels between images
PAGE = 255  # the gaps and the empty cells are white
WIDE, HIGH = 560, 2400  # pixels a saved sheet should reach, and should not pass


def tile(images: Values, columns: int | None = None, gap: int = GAP) -> Bytes:
    """Lay images out in reading order, `gap` white pixels apart, with no border around.

    One channel gives a grey sheet, three give colour. With any other number each image becomes a
    strip of its channels, side by side, in grey.

    Args:
        images: uint8 ``(N, C, H, W)`` or ``(N, H, W)``.
        columns: images a row; by default what makes the sheet nearest to square.
        gap: pixels between neighbours.

    Returns:
        uint8 ``(H', W')``, or ``(H', W', 3)`` for colour.

    >>> tile(np.zeros((5, 8, 8), np.uint8)).shape
    (18, 28)
    """
    cells = _cells(pictures(images))
    if gap < 0:
        raise ValueError(f"gap is {gap}; give 0 pixels or more")
    count, height, width = cells.shape[:3]
    down, right = height + gap, width + gap
    columns = _columns(count, down, right, columns)
    rows = math.ceil(count / columns)
    out = np.full((rows * down - gap, columns * right - gap, *cells.shape[3:]), PAGE, np.uint8)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        out[row * down :, column * right :][:height, :width] = cell
    return out


def save_grid(images: Values, path: Target, columns: int | None = None, scale: int | None = None) -> None:
    """Write images as one PNG sheet.

    Args:
        images: uint8 ``(N, C, H, W)`` or ``(N, H, W)``.
        path: where the .png goes.
        columns: images a row; by default what makes the sheet nearest to square.
        scale: each pixel becomes scale x scale equal pixels; by default the least that makes the
            sheet 560 pixels wide, unless that makes it very tall.
    """
    suffix(path, ".png")
    batch = pictures(images)
    picture = sheet(batch, columns, fit(batch, columns) if scale is None else scale)
    with atomic(path) as file:
        Image.fromarray(picture).save(file, format="PNG")


def sheet(images: Bytes, columns: int | None, scale: int) -> Bytes:
    """Enlarged images ``(N, C, H, W)`` on a sheet; the gaps grow with them, half as fast."""
    return tile(enlarge(images, scale), columns, max(GAP, scale // 2))


def enlarge(images: Array, scale: int) -> Array:
    """Nearest neighbour by a whole factor: ``(..., H, W)`` to ``(..., scale H, scale W)``."""
    if scale < 1:
        raise ValueError(f"scale is {scale}; give a whole factor of 1 or more, or None to choose it")
    return images.repeat(scale, -2).repeat(scale, -1)


def fit(images: Bytes, columns: int | None = None) -> int:
    """The scale at which the sheet of these images ``(N, C, H, W)`` is comfortable to look at."""
    height, width = (int(side) for side in tile(images, columns, gap=0).shape[:2])
    return max(1, min(-(-WIDE // width), HIGH // height))


def _cells(batch: Bytes) -> Bytes:
    """``(N, H, W, 3)`` for colour, else ``(N, H, C W)``."""
    if batch.shape[1] == 3:
        return np.moveaxis(batch, 1, 3)
    return np.concatenate(list(np.moveaxis(batch, 1, 0)), axis=2)


def _columns(count: int, height: int, width: int, columns: int | None) -> int:
    if columns is None:
        columns = math.ceil(math.sqrt(count * height / width))
    elif columns < 1:
        raise ValueError(f"columns is {columns}; give 1 or more, or None to choose it")
    return min(columns, count)
