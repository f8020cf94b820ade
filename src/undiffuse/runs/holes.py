"""What is known of examples: masks, as words or files, and tables where NaN marks what is missing."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from undiffuse.data import read_npy
from undiffuse.runs.run import Run

WORDS = ("left", "right", "top", "bottom", "centre")
MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")


def read_mask(run: Run, mask: str) -> Tensor:
    """Bool of the run's shape, True where known, from a word for what is missing, or a file.

    A picture's white is known and its black missing; if some of it is transparent, that is missing and the
    rest known. An .npy is bool, of the run's shape or (height, width), True where known. Raises
    FileNotFoundError for no file, ValueError for a mask of another size.
    """
    if mask in WORDS:
        return _named(run, mask)
    path = Path(mask).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"mask {mask}: no such file; give one, or a word: {', '.join(WORDS)}")
    return _array(run, path) if path.suffix.lower() == ".npy" else _picture(run, path)


def read_table(run: Run, path: str | Path) -> Tensor:
    """Raw (*shape) or (N, *shape), float64, NaN where missing. ValueError for other shapes, infinity."""
    path = Path(path).expanduser()
    if path.suffix.lower() != ".npy":
        raise ValueError(f"{path}: a table with holes is read from an .npy file")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give an .npy of examples, NaN where a value is missing"
        )
    array = read_npy(path)
    if array.shape[-len(run.shape) :] != run.shape or array.ndim > len(run.shape) + 1:
        raise ValueError(f"{path}: shape {array.shape}, this run has examples of shape {run.shape}")
    raw = torch.from_numpy(np.array(array, np.float64))
    if bool(raw.isinf().any()):
        raise ValueError(f"{path}: holds infinite values; NaN marks what is missing")
    return raw


def _named(run: Run, word: str) -> Tensor:
    """Half of the last axis, of the one before it, or the middle half of both, missing."""
    if word in ("top", "bottom") and len(run.shape) != 3:
        raise ValueError(f"mask {word}: examples of shape {run.shape} have left, right and centre")
    known = torch.ones(run.shape, dtype=torch.bool)
    sides = known.moveaxis(-2, -1) if word in ("top", "bottom") else known  # a view
    half = sides.shape[-1] // 2
    if word in ("left", "top"):
        sides[..., :half] = False
    elif word in ("right", "bottom"):
        sides[..., sides.shape[-1] - half :] = False
    else:
        rows, columns = (slice(size // 4, size - size // 4) for size in (1, *run.shape)[-2:])
        if len(run.shape) == 3:
            known[:, rows, columns] = False
        else:
            known[..., columns] = False
    return known


def _array(run: Run, path: Path) -> Tensor:
    array = read_npy(path)
    if array.dtype != np.bool_:
        raise ValueError(f"{path}: holds {array.dtype}; a mask is bool, True where known")
    if array.shape not in (run.shape, (1, *run.shape)) and not (
        len(run.shape) == 3 and array.shape == run.shape[1:]
    ):
        raise ValueError(f"{path}: a mask of shape {array.shape}, this run has examples of shape {run.shape}")
    mask = torch.from_numpy(np.array(array))
    return mask.reshape(run.shape) if array.size == np.prod(run.shape) else mask.expand(run.shape).clone()


def _picture(run: Run, path: Path) -> Tensor:
    if len(run.shape) != 3:
        raise ValueError(
            f"{path}: a picture, but this run has examples of shape {run.shape}; give an .npy mask"
        )
    _, height, width = run.shape
    try:
        with Image.open(path, formats=["PNG", "JPEG"]) as image:
            if image.size == (width, height):  # before pixels are decoded
                known = _bright(image, path)
            size = image.size
    except OSError as error:
        raise ValueError(f"{path} cannot be read as PNG or JPEG; give a picture, or a bool .npy") from error
    if size != (width, height):
        raise ValueError(
            f"{path}: a mask of {size[0]} x {size[1]} pixels, this run has {width} x {height}; resize it"
        )
    return known.expand(run.shape).clone()


def _bright(image: Image.Image, path: Path) -> Tensor:
    """Where a picture is opaque, or white if it is opaque everywhere: (height, width)."""
    if image.mode not in MODES:
        raise ValueError(
            f"{path}: mode {image.mode}; a mask is an 8-bit picture, grey or colour, or has alpha"
        )
    clear = "A" in image.mode or "transparency" in image.info
    alpha = np.asarray(image.convert("RGBA").getchannel("A")) if clear else np.full(image.size[::-1], 255)
    seen = alpha if (alpha < 255).any() else np.asarray(image.convert("RGB").convert("L"))
    return torch.from_numpy(seen >= 128)
