"""How an inpainting, a denoising or a sampling went: one labelled row of images a stage."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from undiffuse.files import atomic
from undiffuse.plots.arrays import Bytes, Values, labelled
from undiffuse.plots.grid import fit, sheet
from undiffuse.plots.style import Target, suffix
from undiffuse.plots.words import pad, stack, words

SMALLEST = 15  # pixels to the em
ACROSS = 12  # images a row, unless told otherwise


def save_stages(rows: Sequence[tuple[str, Values]], path: Target, columns: int | None = None) -> None:
    """Write batches of images one below the other, each with its label at the left.

    One column is one example, so an example is followed by looking down.

    Args:
        rows: pairs of a label, such as "true", "start" or "t = 0.75", and its images, uint8
            ``(N, C, H, W)`` or ``(N, H, W)``, all of one shape.
        path: where the .png goes.
        columns: images a row; by default all N, of more than 12 as many as make nearly equal rows. With
            fewer than N, each stage is a block of several rows.
    """
    suffix(path, ".png")
    batches = labelled(rows, "rows", "stage")
    if columns is None:  # rows that are equally long
        columns = math.ceil(len(batches[0]) / math.ceil(len(batches[0]) / ACROSS))
    scale = fit(np.concatenate(batches), columns)
    blocks = [sheet(batch, columns, scale) for batch in batches]
    size = _size(blocks[0])
    picture = _join([words(label, size) for label, _ in rows], blocks, gap=max(4, size // 2))
    with atomic(path) as file:
        Image.fromarray(picture).save(file, format="PNG")


def _size(block: Bytes) -> int:
    """Pixels to the em: larger on a wide page, which is shown smaller, and not higher than the block."""
    height, width = (int(side) for side in block.shape[:2])
    return max(SMALLEST, min(width // 45, height // 2))


def _join(labels: list[Bytes], blocks: list[Bytes], gap: int) -> Bytes:
    """Labels in a column of their own, each at the middle of its block: ``(H, W, 3)``."""
    left = gap + max(label.shape[1] for label in labels)
    rows = []
    for label, block in zip(labels, blocks, strict=True):
        height = max(label.shape[0], block.shape[0])
        parts = [_middle(label, height, left), _middle(block, height, block.shape[1])]
        rows.append(np.concatenate(parts, 1))
    return stack(rows, gap)


def _middle(picture: Bytes, height: int, width: int) -> Bytes:
    return pad(picture, height, width, top=(height - picture.shape[0]) // 2)
