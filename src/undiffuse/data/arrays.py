"""Your own arrays: .npy and .npz files of vectors, sequences and images."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.files import existing, plain_path
from undiffuse.data.npy import WHAT, npz_names, read_npy, read_npz
from undiffuse.data.source import Source, Splits, check_fraction, split
from undiffuse.data.space import check_levels

NATURAL = {"b1": 2, "u1": 256, "u2": 65536}  # levels that a type of integer implies


class Array(Source):
    """Your own array, in an .npy or .npz file.

    An .npz file with arrays ``train`` and ``test``, or ``x_train`` and ``x_test`` (and labels
    ``y_train``, ``y_test``), is already split; any other array is split by `test`. The first
    dimension counts examples:

    ===============================  =======================================
    ``(N, D)``                       vectors
    ``(N, H, W)``, levels            grey images, which become ``(1, H, W)``
    ``(N, C, L)``, floats            sequences
    ``(N, C, H, W)``                 images
    ``(N, L, C)``, ``(N, H, W, C)``  the same with ``channels_last``
    ===============================  =======================================

    Booleans have 2 levels, uint8 256, uint16 65,536; floats are continuous.

    Args:
        path: the file.
        key: which array of an .npz file, if it has several.
        levels: K, if the values are the whole numbers 0..K-1.
        channels_last: whether the channels are the last dimension rather than the second.
        test: share of examples kept for testing, if the file is not split already.

    Raises:
        ValueError: if `levels` or `test` are out of range, or the path has another ending.
    """

    source: ClassVar[str] = "your .npy or .npz file: data.path=FILE"
    licence: ClassVar[str] = "that of your file"
    about: ClassVar[str] = "vectors, sequences or images; integers are levels, floats continuous"

    def __init__(
        self,
        path: str | Path,
        key: str | None = None,
        levels: int | None = None,
        channels_last: bool = False,
        test: float = 0.1,
    ) -> None:
        self.path, self.key, self.channels_last = plain_path(path), key, channels_last
        self.levels = None if levels is None else check_levels(levels)
        self.test = check_fraction(test)
        if self.path.suffix.lower() not in (".npy", ".npz"):
            raise ValueError(f"path={path} must end in .npy or .npz; for images use data.kind=images")

    def load(self) -> Splits:
        """Read the file, check every value, and split it."""
        existing(self.path, WHAT)
        if self.path.suffix.lower() == ".npy":
            return self._divided(read_npy(self.path), str(self.path))
        names = npz_names(self.path)
        for prefix in ("", "x_"):
            if self.key is None and {f"{prefix}train", f"{prefix}test"} <= set(names):
                return self._ready_made(prefix, names)
        name = self._only(names)
        return self._divided(read_npz(self.path, name), f"{self.path}: {name!r}")

    def _only(self, names: tuple[str, ...]) -> str:
        if self.key is None and len(names) != 1:
            raise ValueError(f"{self.path} has arrays {names}; choose one with data.key=NAME")
        return names[0] if self.key is None else self.key

    def _ready_made(self, prefix: str, names: tuple[str, ...]) -> Splits:
        parts = [self._examples(f"{prefix}{part}") for part in ("train", "test")]
        labels = [
            _labels(read_npz(self.path, f"y_{part}"), f"{self.path}: 'y_{part}'")
            if f"y_{part}" in names
            else None
            for part in ("train", "test")
        ]
        (train, levels), (test, test_levels) = parts
        if levels != test_levels:
            raise ValueError(f"{self.path}: training data has levels {levels}, test data {test_levels}")
        return Splits(train, test, levels, *labels)

    def _examples(self, name: str) -> tuple[Tensor, int | None]:
        where = f"{self.path}: {name!r}"
        values, levels = self._values(read_npz(self.path, name), where)
        return torch.from_numpy(values), levels

    def _divided(self, array: NDArray[Any], where: str) -> Splits:
        values, levels = self._values(array, where)
        train, test = (torch.from_numpy(values[i.numpy()]) for i in split(len(values), self.test))
        return Splits(train, test, levels)

    def _values(self, array: NDArray[Any], where: str) -> tuple[NDArray[Any], int | None]:
        """The array as (N, *shape) of level numbers and K, or of float32 and None."""
        levels = self.levels or NATURAL.get(array.dtype.str[1:])
        if levels is None and array.dtype.kind != "f":
            raise ValueError(
                f"{where} holds {array.dtype} values, whose number of levels is not known; set "
                f"data.levels=K if they are 0..K-1, or save them as float32 if continuous"
            )
        values = _floats(array, where) if levels is None else _numbers(array, levels, where)
        return _arranged(values, levels is not None, self.channels_last, where), levels


def _arranged(array: NDArray[Any], discrete: bool, channels_last: bool, where: str) -> NDArray[Any]:
    """The array as ``(N, D)``, ``(N, C, L)`` or ``(N, C, H, W)``."""
    if not 2 <= array.ndim <= 4:
        raise ValueError(
            f"{where} has shape {array.shape}; give (N, D) vectors, (N, C, L) sequences or (N, C, "
            f"H, W) images, e.g. array.reshape(len(array), -1)"
        )
    if channels_last and array.ndim > 2:
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))
    if array.ndim == 4 and array.shape[1] == array.shape[2] > 4 and array.shape[3] in (1, 3):
        raise ValueError(
            f"{where} has shape {array.shape}, which looks like (N, H, W, C); set data.channels_last=true"
        )
    return array[:, None] if array.ndim == 3 and discrete else array


def _floats(array: NDArray[Any], where: str) -> NDArray[np.float32]:
    """The values as float32, every one of them finite."""
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as such
        values = np.ascontiguousarray(array, np.float32)
    _refuse(~np.isfinite(values), array, where, "not finite in float32", "remove or fill them in")
    return values


def _numbers(array: NDArray[Any], levels: int, where: str) -> NDArray[Any]:
    """The values as level numbers: uint8 if K <= 256, else int32."""
    if array.dtype == np.float16:
        array = array.astype(np.float32)  # the largest levels are beyond float16
    wrong = ~((array >= 0) & (array <= levels - 1))  # NaN is wrong too
    if array.dtype.kind == "f":
        wrong |= array != np.round(array)
    what = f"not one of the whole numbers 0..{levels - 1}"
    _refuse(wrong, array, where, what, "correct them, or set data.levels to the largest plus one")
    return np.ascontiguousarray(array, np.uint8 if levels <= 256 else np.int32)


def _refuse(wrong: NDArray[np.bool_], array: NDArray[Any], where: str, what: str, remedy: str) -> None:
    """Name the first wrong value, where the file has it."""
    if wrong.any():
        first = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
        raise ValueError(
            f"{where}: {int(wrong.sum()):,} value(s) are {what}, the first {array[first]} at index "
            f"{first}; {remedy}"
        )


def _labels(array: NDArray[Any], where: str) -> Tensor:
    if array.dtype.kind not in "biu" or array.size != len(array):
        raise ValueError(f"{where} is {array.dtype} {array.shape}; labels must be whole numbers (N,)")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))
