"""Your own arrays: .npy and .npz files of vectors, sequences and images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.checks import Found, check_shape, check_values
from undiffuse.data.continuous import SAMPLE, check_continuous
from undiffuse.data.dequantize import check_width, dithered
from undiffuse.data.files import existing, plain_path
from undiffuse.data.mapped import Mapped
from undiffuse.data.npy import WHAT, npz_names, read_npy, read_npz
from undiffuse.data.rows import Examples, Rows, check_memory, ends, held, sample_of
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

    Booleans have 2 levels, uint8 256, uint16 65,536; floats are continuous, and refused if they repeat or
    go in steps, which no density does.

    Args:
        path: the file.
        key: which array of an .npz file, if it has several.
        levels: K, if the values are the whole numbers 0..K-1.
        spacing: how far apart neighbouring values are, or one such number a feature, 0 where they are
            continuous: uniform noise of this width is added, so that they have a density.
        channels_last: whether the channels are the last dimension rather than the second.
        test: share of examples kept for testing, if the file is not split already.
        memory: an .npy file of up to so many GB is kept in memory; of a larger one, only what is used is
            read.
        labels: which array of an .npz file has the class 0, 1, .. of every example, or numbers (N, D), or an
            .npy file of them.

    Raises:
        ValueError: if `levels`, `spacing`, `test` or `memory` are out of range, or the path has another
            ending.
    """

    source: ClassVar[str] = "your .npy or .npz file: data.path=FILE"
    licence: ClassVar[str] = "that of your file"
    about: ClassVar[str] = "vectors, sequences or images; integers are levels, floats continuous"

    def __init__(
        self,
        path: str | Path,
        key: str | None = None,
        levels: int | None = None,
        spacing: float | list[float] | None = None,
        channels_last: bool = False,
        test: float = 0.1,
        memory: float = 1.0,
        labels: str | None = None,
    ) -> None:
        self.path, self.key, self.channels_last, self.labels = plain_path(path), key, channels_last, labels
        self.levels = None if levels is None else check_levels(levels)
        self.width = None if spacing is None else check_width(spacing)
        if levels is not None and spacing is not None:
            raise ValueError(f"levels={levels}, spacing={spacing}: steps are levels or get noise; give one")
        self.test, self.memory = check_fraction(test), check_memory(memory)
        if self.path.suffix.lower() not in (".npy", ".npz"):
            raise ValueError(f"path={path} must end in .npy or .npz; for images use data.kind=images")

    def load(self) -> Splits:
        """Check every value of the file, and split it; of a sample, whether it is what its type says."""
        splits, where = self._found(), str(self.path)
        if splits.levels is not None:
            return _kept(replace(splits, advice=_advice(splits.train, splits.levels, where)), self.memory)
        noisy = splits if self.width is None else dithered(splits, self.width)
        check_continuous(splits.train, where, self.width)
        return _kept(noisy, self.memory)

    def _found(self) -> Splits:
        """Training and test data as the file has them."""
        existing(self.path, WHAT)
        if self.path.suffix.lower() == ".npy":
            return self._mapped()
        names = npz_names(self.path)
        for prefix in ("", "x_"):
            if self.key is None and {f"{prefix}train", f"{prefix}test"} <= set(names):
                if self.labels is not None:
                    raise ValueError(f"labels={self.labels}: {self.path} is split; name them y_train, y_test")
                return self._ready_made(prefix, names)
        return self._divided(self._only(names))

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
        if levels is None:
            dtype = torch.promote_types(train.dtype, test.dtype)
            train, test = train.to(dtype), test.to(dtype)
        rows = torch.arange(len(train) + len(test))
        divided = rows[: len(train)], rows[len(train) :]
        return Splits(train, test, levels, labels[0], labels[1], rows=divided)

    def _mapped(self) -> Splits:
        convert, levels = self._checked(lambda: read_npy(self.path), str(self.path))
        parts = split(len(read_npy(self.path)), self.test)
        train, test = (Mapped(self.path, numbers, convert) for numbers in parts)
        return Splits(train, test, levels, *self._classes(parts), rows=parts)

    def _divided(self, name: str) -> Splits:
        array, where = read_npz(self.path, name), f"{self.path}: {name!r}"
        convert, levels = self._checked(lambda: array, where)
        parts = split(len(array), self.test)
        train, test = (torch.from_numpy(convert(array[numbers.numpy()])) for numbers in parts)
        return Splits(train, test, levels, *self._classes(parts), rows=parts)

    def _classes(self, parts: tuple[Tensor, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """The labels of these examples, if there are any."""
        if self.labels is None:
            return None, None
        apart = self.labels.lower().endswith(".npy")
        found = read_npy(plain_path(self.labels)) if apart else read_npz(self.path, self.labels)
        labels = _labels(np.array(found), f"labels={self.labels}")
        if len(labels) != len(parts[0]) + len(parts[1]):
            raise ValueError(
                f"labels={self.labels}: {len(labels):,} labels of {len(parts[0]) + len(parts[1]):,} examples"
            )
        return labels[parts[0]], labels[parts[1]]

    def _examples(self, name: str) -> tuple[Tensor, int | None]:
        array = read_npz(self.path, name)
        convert, levels = self._checked(lambda: array, f"{self.path}: {name!r}")
        return torch.from_numpy(convert(array)), levels

    def _checked(self, found: Callable[[], Found], where: str) -> tuple[Callable[[Found], Found], int | None]:
        """Look at every value; what makes examples of rows, and K for level numbers or None for floats."""
        array = found()
        natural = NATURAL.get(array.dtype.str[1:])
        levels = None if self.width is not None else self.levels or natural
        if levels is None and self.width is None and array.dtype.kind != "f":
            raise ValueError(
                f"{where} holds {array.dtype} values, whose number of levels is not known; set data.levels=K "
                f"if they are 0..K-1, data.spacing=1 to add uniform noise, or save floats if continuous"
            )
        check_shape(array.shape, self.channels_last, where)
        if levels is None or levels != natural:  # else no value can be wrong
            check_values(found, levels, where)
        return _Convert(_type(array.dtype, levels), levels is not None, self.channels_last), levels


class _Convert:
    """Rows of an array as examples ``(N, D)``, ``(N, C, L)`` or ``(N, C, H, W)`` of this dtype."""

    def __init__(self, dtype: type[np.generic], discrete: bool, channels_last: bool) -> None:
        self.dtype, self.discrete, self.channels_last = dtype, discrete, channels_last

    def __call__(self, array: Found) -> Found:
        values = np.ascontiguousarray(array, self.dtype)
        if self.channels_last and values.ndim > 2:
            return np.ascontiguousarray(np.moveaxis(values, -1, 1))
        return values[:, None] if values.ndim == 3 and self.discrete else values


def _type(dtype: np.dtype[Any], levels: int | None) -> type[np.generic]:
    """That of examples: floats keep their digits, and so do whole numbers that become continuous."""
    if levels is not None:
        return np.uint8 if levels <= 256 else np.int32
    return np.float32 if dtype.kind == "f" and dtype.itemsize < 8 else np.float64


def _kept(splits: Splits, memory: float) -> Splits:
    """The same, in memory if they take at most so many GB there."""
    if not (isinstance(splits.train, Rows) and isinstance(splits.test, Rows)):
        return splits
    train, test = held(splits.train, splits.test, memory)
    return replace(splits, train=train, test=test)


def _advice(train: Examples, levels: int, where: str) -> tuple[str, ...]:
    """Which number of levels would do, if a sample uses at most half of those that its type has."""
    low, high = (int(end) for end in ends(sample_of(train, SAMPLE)))
    for less, top in ((0, high), (low, high - low)):
        enough = max(2, top + 1) if top < 256 else 2 ** top.bit_length()
        if 2 * enough <= levels:
            shifted = f"subtract {less:,} and " if less else ""
            used = f"a sample of {where} has values {low:,} to {high:,}, of {levels:,} levels"
            return (f"{used}: {shifted}set data.levels={enough} if that is all of them",)
    return ()


def _labels(array: NDArray[Any], where: str) -> Tensor:
    """Whole numbers (N,) are classes, others (N,) or (N, D) are what they are."""
    if array.dtype.kind == "f" and array.ndim in (1, 2):
        return torch.from_numpy(array.reshape(len(array), -1).astype(np.float32))
    if array.dtype.kind not in "biu" or array.size != len(array):
        raise ValueError(
            f"{where} is {array.dtype} {array.shape}; labels are whole numbers (N,), which are classes, or "
            "numbers (N, D)"
        )
    return found_labels(torch.from_numpy(array.reshape(-1).astype(np.int64)))


def words_of(words: Found) -> tuple[Tensor, tuple[str, ...]]:
    """Words (N,) as classes, and the names of these, in alphabetical order."""
    names, numbers = np.unique(words.astype(str), return_inverse=True)
    return torch.from_numpy(numbers.reshape(-1).astype(np.int64)), tuple(map(str, names))


def found_labels(labels: Tensor) -> Tensor:
    """Classes (N,) of whole numbers. Raises ValueError for other values, or below 0."""
    whole = labels.long()
    if labels.ndim != 1 or bool((whole != labels).any()) or int(whole.min()) < 0:
        raise ValueError(f"{labels.dtype} {tuple(labels.shape)}: classes are whole numbers (N,) from 0 on")
    return whole
