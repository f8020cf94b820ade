"""Samples as files: pictures where they have one, arrays always."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from undiffuse import plots
from undiffuse.files import atomic

FRAMES = 60  # in an animation, however long the chain


def save_picture(raw: Tensor, stem: Path, levels: int | None) -> Path | None:
    """A grid of images, a row for each sequence of bits, or a scatter of points, as stem.png; else None."""
    path = stem.with_name(f"{stem.name}.png")
    if not has_picture(raw.shape[1:], levels):
        return None
    if levels is not None and raw.shape[1:] != (2,):
        plots.save_grid(to_images(raw, levels), path)
    else:
        plots.save_points(raw, path)
    return path


def save_npy(raw: Tensor, path: Path) -> Path:
    """Raw samples as .npy, in their own type."""
    with atomic(path) as handle:
        np.save(handle, raw.numpy(), allow_pickle=False)
    return path


def save_animation(
    states: Iterator[tuple[float, Tensor]],
    total: int,
    path: Path,
    levels: int | None,
    tick: Callable[[], object] = lambda: None,
) -> Path:
    """A GIF of raw states on their way from noise, `total` of them thinned to about 60 frames.

    Raises ValueError for data that have no picture.
    """
    kept = _every(states, max(1, total // FRAMES), tick)
    first = next(kept)
    shape = tuple(first[1].shape[1:])
    if not has_picture(shape, levels):
        raise ValueError(f"samples of shape {shape} cannot be animated")
    if levels is not None and shape != (2,):
        plots.save_gif((to_images(x, levels) for _, x in _chain(first, kept)), path)
    else:
        plots.save_scatter_gif(_chain(first, kept), path)
    return path


def has_picture(shape: tuple[int, ...], levels: int | None) -> bool:
    """Whether examples of this shape can be drawn: points, images of levels, sequences of bits."""
    return shape == (2,) or (levels is not None and len(shape) == 3) or (levels == 2 and len(shape) == 1)


def to_images(raw: Tensor, levels: int) -> Tensor:
    """Levels 0..K-1 as bytes 0..255, (N, C, H, W); sequences (N, D) as the rows of one picture."""
    grey = (raw.float() * (255 / (levels - 1))).round().to(torch.uint8)
    return grey if grey.ndim == 4 else grey[None, None]


def _every(
    states: Iterator[tuple[float, Tensor]], stride: int, tick: Callable[[], object]
) -> Iterator[tuple[float, Tensor]]:
    """Every so many states, and the last."""
    for i, state in enumerate(states):
        tick()
        if i % stride == 0 or state[0] == 0:
            yield state


def _chain(
    first: tuple[float, Tensor], rest: Iterator[tuple[float, Tensor]]
) -> Iterator[tuple[float, Tensor]]:
    yield first
    yield from rest
