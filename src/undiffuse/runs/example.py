"""One raw example for a run, from a file or from its test data, checked against the run's space."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from undiffuse.data import read_image, read_npy
from undiffuse.data.pictures import read_header
from undiffuse.recipes.recipe import load_data
from undiffuse.runs.run import Run

PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Kind:
    """What a file must hold: the shape, levels and shades of an example, and whose they are, in words.

    Pictures are cropped and resized to `sides`, (height, width), and made grey or coloured by `channels`,
    where the run's own were.
    """

    shape: tuple[int, ...]
    levels: int | None
    shades: tuple[float, float]
    owner: str = "this run has"
    sides: tuple[int, int] | None = None
    channels: int | None = None


def read_example(run: Run, path: str | Path) -> Tensor:
    """Raw (1, *shape) from a PNG or JPEG of the run's own size and channels, or an .npy of its shape.

    A picture is cropped, resized and made grey or coloured as the run's own were, if they were.
    A picture's bytes become the run's raw values, from its black to its white: the nearest of its levels if
    it has levels. Raises FileNotFoundError if there is no file, ValueError if that is no example of the run.
    """
    return read_kind(Kind(run.shape, run.levels, run.shades, **_prepared(run)), path)


def _prepared(run: Run) -> dict[str, Any]:
    """How the run's own pictures were cropped, resized and coloured."""
    source = run.recipe["data"]
    if source is None or "size" not in source.arguments:
        return {}
    size = source.arguments["size"]
    sides = (size, size) if isinstance(size, int) else size
    return {"sides": sides, "channels": source.arguments["channels"]}


def read_kind(kind: Kind, path: str | Path) -> Tensor:
    """Raw (1, *shape) from a picture or an .npy. Raises FileNotFoundError or ValueError, naming the file."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a .png, .jpg or .npy with one example")
    if path.suffix.lower() not in (*PICTURES, ".npy"):
        raise ValueError(f"{path}: one example is read from a .png, .jpg or .npy file")
    raw = (_array if path.suffix.lower() == ".npy" else _picture)(kind, path)
    return raw[None]


def read_seen(run: Run, path: str | Path, shape: tuple[int, ...] | None = None, by: str = "") -> Tensor:
    """Raw (1, *shape) of an observation: as `read_example`, but of any finite numbers.

    `shape` is what the operator named `by` makes of an example; by default that of an example itself.
    """
    kind = Kind(shape or run.shape, None, run.shades, f"{by} gives" if by else "this run has")
    return read_kind(kind, path)


def pick_example(run: Run, index: int) -> Tensor:
    """Raw (1, *shape): this example of the test data. Raises ValueError if it has not so many."""
    test = load_data(run.recipe).test
    if not 0 <= index < len(test):
        raise ValueError(f"index={index}: the test data have examples 0 to {len(test) - 1}")
    return test[index : index + 1]


def _picture(kind: Kind, path: Path) -> Tensor:
    owner = kind.owner
    if len(kind.shape) != 3:
        raise ValueError(f"{path}: a picture, but {owner} examples of shape {kind.shape}; give an .npy file")
    header, sides = read_header(path), kind.sides
    height, width = (header.height, header.width) if sides is None else sides
    found, wanted = (kind.channels or header.channels, height, width), kind.shape
    if found[1:] != wanted[1:]:
        raise ValueError(
            f"{path}: {found[2]} x {found[1]} pixels, {owner} {wanted[2]} x {wanted[1]}; resize it first"
        )
    if found[0] != wanted[0]:
        raise ValueError(f"{path}: {_colours(found[0])}, {owner} {_colours(wanted[0])}; convert it first")
    grey = torch.from_numpy(read_image(path, sides, kind.channels))
    black, white = kind.shades
    raw = black + grey.double() * ((white - black) / 255)
    return raw if kind.levels is None else _levels(raw.round(), kind.levels)


def _array(kind: Kind, path: Path) -> Tensor:
    owner = kind.owner
    array = read_npy(path)
    if array.shape == (1, *kind.shape):
        array = array[0]
    if array.shape != kind.shape:
        raise ValueError(f"{path}: shape {array.shape}, {owner} examples of shape {kind.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: holds values that are not finite")
    values = torch.from_numpy(np.array(array, np.float64))
    if kind.levels is None:
        return values
    if bool((values != values.round()).any() or (values < 0).any() or (values >= kind.levels).any()):
        low, high = (float(end) for end in values.aminmax())
        raise ValueError(f"{path}: values {low:g} to {high:g}, {owner} whole numbers 0 to {kind.levels - 1}")
    return _levels(values, kind.levels)


def _levels(values: Tensor, levels: int) -> Tensor:
    """Level numbers in the type of raw data."""
    return values.to(torch.uint8 if levels <= 256 else torch.int32)


def _colours(channels: int) -> str:
    return {1: "grey (1 channel)", 3: "colour (3 channels)"}.get(channels, f"{channels} channels")
