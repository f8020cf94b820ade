"""One raw example for a run, from a file or from its test data, checked against the run's space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from undiffuse.data import read_image, read_npy
from undiffuse.data.pictures import read_header
from undiffuse.recipes.recipe import load_data
from undiffuse.recipes.run import Run

PICTURES = (".png", ".jpg", ".jpeg")


def read_example(run: Run, path: str | Path, owner: str = "this run has") -> Tensor:
    """Raw (1, *shape) from a PNG or JPEG of the run's own size and channels, or an .npy of its shape.

    A picture's bytes become the run's raw values, from its black to its white: the nearest of its levels if
    it has levels. Raises FileNotFoundError if there is no file, ValueError if that is no example of the run.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a .png, .jpg or .npy with one example")
    if path.suffix.lower() not in (*PICTURES, ".npy"):
        raise ValueError(f"{path}: one example is read from a .png, .jpg or .npy file")
    raw = (_array if path.suffix.lower() == ".npy" else _picture)(run, path, owner)
    return raw[None]


def read_seen(run: Run, path: str | Path, shape: tuple[int, ...] | None = None, by: str = "") -> Tensor:
    """Raw (1, *shape) of an observation: as `read_example`, but of any finite numbers.

    `shape` is what the operator named `by` makes of an example; by default that of an example itself.
    """
    like = replace(run, shape=shape or run.shape, levels=None)
    return read_example(like, path, f"{by} gives" if by else "this run has")


def pick_example(run: Run, index: int) -> Tensor:
    """Raw (1, *shape): this example of the test data. Raises ValueError if it has not so many."""
    test = load_data(run.recipe).test
    if not 0 <= index < len(test):
        raise ValueError(f"index={index}: the test data have examples 0 to {len(test) - 1}")
    return test[index : index + 1]


def _picture(run: Run, path: Path, owner: str) -> Tensor:
    if len(run.shape) != 3:
        raise ValueError(f"{path}: a picture, but {owner} examples of shape {run.shape}; give an .npy file")
    header = read_header(path)
    found, wanted = (header.channels, header.height, header.width), run.shape
    if found[1:] != wanted[1:]:
        raise ValueError(
            f"{path}: {found[2]} x {found[1]} pixels, {owner} {wanted[2]} x {wanted[1]}; resize it first"
        )
    if found[0] != wanted[0]:
        raise ValueError(f"{path}: {_colours(found[0])}, {owner} {_colours(wanted[0])}; convert it first")
    grey = torch.from_numpy(read_image(path))
    black, white = run.shades
    raw = black + grey.double() * ((white - black) / 255)
    return raw if run.levels is None else _levels(raw.round(), run.levels)


def _array(run: Run, path: Path, owner: str) -> Tensor:
    array = read_npy(path)
    if array.shape == (1, *run.shape):
        array = array[0]
    if array.shape != run.shape:
        raise ValueError(f"{path}: shape {array.shape}, {owner} examples of shape {run.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: holds values that are not finite")
    values = torch.from_numpy(np.array(array, np.float64))
    if run.levels is None:
        return values
    if bool((values != values.round()).any() or (values < 0).any() or (values >= run.levels).any()):
        low, high = (float(end) for end in values.aminmax())
        raise ValueError(f"{path}: values {low:g} to {high:g}, {owner} whole numbers 0 to {run.levels - 1}")
    return _levels(values, run.levels)


def _levels(values: Tensor, levels: int) -> Tensor:
    """Level numbers in the type of raw data."""
    return values.to(torch.uint8 if levels <= 256 else torch.int32)


def _colours(channels: int) -> str:
    return {1: "grey (1 channel)", 3: "colour (3 channels)"}.get(channels, f"{channels} channels")
