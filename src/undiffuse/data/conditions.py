"""What the examples of a data set are given: where that is, by kind.

labels     the data's own: classes, or numbers
array      a second array or table, row by row
folder     a second folder of pictures, matched by name
smaller    the example itself, of fewer pixels
grey       the example itself, without its colours

To add one, write a class here and put its name in `CONDITIONS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from undiffuse.conditions import Classes, Condition, Image, Numbers, Series, Vector, check_name
from undiffuse.data.arrays import found_labels
from undiffuse.data.conditioned import Values
from undiffuse.data.images import Files, find_images
from undiffuse.data.loading import Loading
from undiffuse.data.npy import npz_names, read_npy, read_npz
from undiffuse.data.rows import Examples, sample_of
from undiffuse.data.source import Source, Splits
from undiffuse.data.table import SUFFIXES as TABLES
from undiffuse.data.table import labels_of, numbers_of, read_table

LOOKED = 2**22  # values that statistics are of, at most
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey: ITU-R BT.601
Like = Literal["auto", "class", "vector", "image", "sequence"]
NUMBERS: dict[str, type[Numbers]] = {each.kind: each for each in (Vector, Image, Series)}


class ConditionSource(ABC):
    """Where a condition is. Recipes build it by name: `condition: {kind: smaller, factor: 2}`."""

    about: ClassVar[str]
    of_data: ClassVar[bool] = False  # whether its values are the data's own

    def work_out(self, raw: Tensor) -> Tensor | None:
        """The value that raw examples (B, ...) have themselves; None if it is not in them."""
        return None

    @abstractmethod
    def of(self, splits: Splits, source: Source) -> Values:
        """Its values for these data. Raises ValueError if the data have none."""


class Labels(ConditionSource):
    """The data's own labels: a class folder, a column, an array, or what the data set comes with."""

    about: ClassVar[str] = "the data's labels"

    def of(self, splits: Splits, source: Source) -> Values:
        """Classes of whole numbers and words, a vector of numbers."""
        train, test = splits.train_labels, splits.test_labels
        if train is None or test is None:
            raise ValueError("the data have no labels; name them (data.labels), or use another data.kind")
        parts = {"train": train, "test": test}
        if train.is_floating_point():
            return Values(Vector.of(train), parts)
        return Values(Classes(splits.classes, splits.class_names), parts)


class Array(ConditionSource):
    """A second array or table, whose rows are those of the data's file.

    Args:
        path: an .npy, .npz, .csv or .parquet file; None is the data's own.
        key: which array of an .npz, or which column, or columns, of a table. Of an .npz that is split already
            those whose names end with _train and _test.
        like: what it is: auto takes whole numbers (N,) and words for classes, (N, D) for vectors, (N, L, D)
            for sequences, (N, C, H, W) for images, and so (N, H, W) if the data are images.
        names: what the classes 0, 1, .. are called.
    """

    about: ClassVar[str] = "a second array or table, row by row"

    def __init__(
        self,
        path: str | None = None,
        key: str | list[str] | None = None,
        like: Like = "auto",
        names: tuple[str, ...] = (),
    ) -> None:
        if like not in get_args(Like):
            raise ValueError(f"like={like!r}: one of {', '.join(get_args(Like))}")
        self.path, self.key, self.like, self.names = path, key, like, tuple(names)

    def of(self, splits: Splits, source: Source) -> Values:
        """Read it; as many rows as the data have."""
        path = _there(self.path) if self.path is not None else source.root
        if path is None:
            raise ValueError("path: these data are no file; name that of the condition")
        keys = [self.key] if isinstance(self.key, str) else self.key or []
        learned = set(keys) & set(splits.names) if path == source.root else set()
        if learned:
            raise ValueError(f"key={min(learned)}: that column is learned too; leave it out of data.columns")
        names = self.names
        if path.suffix.lower() in TABLES:
            whole, found = self._columns(path)
            names = names or found
            parts = self._chosen(whole, splits, path)
        else:
            divided = self._divided(path)
            parts = divided or self._chosen(torch.from_numpy(self._array(path)), splits, path)
        for name, examples in (("train", splits.train), ("test", splits.test)):
            if len(parts[name]) != len(examples):
                raise ValueError(f"{path}: {len(parts[name]):,} rows for {len(examples):,} {name} examples")
        return _described(parts, self.like, len(splits.shape) == 3, names)

    def _columns(self, path: Path) -> tuple[Tensor, tuple[str, ...]]:
        frame, key = read_table(path), self.key
        if isinstance(key, str) and key in frame and frame[key].dtype.kind != "f":
            return labels_of(frame[key], f"{path}: {key}")
        numbers = numbers_of(frame, [key] if isinstance(key, str) else key, None, str(path))
        return torch.from_numpy(numbers.to_numpy(np.float64, copy=True)), ()

    def _array(self, path: Path) -> np.ndarray[Any, Any]:
        if path.suffix.lower() == ".npy":
            return np.array(read_npy(path))
        names = npz_names(path)
        key = self.key if isinstance(self.key, str) else names[0] if len(names) == 1 else None
        if key is None:
            raise ValueError(f"{path} has arrays {', '.join(names)}; choose one: key=NAME")
        return read_npz(path, key)

    def _divided(self, path: Path) -> dict[str, Tensor] | None:
        """The two arrays of a file that is split already, if it is."""
        if path.suffix.lower() != ".npz" or not isinstance(self.key, str | None):
            return None
        names = {part: f"{self.key}_{part}" if self.key else part for part in ("train", "test")}
        if not set(names.values()) <= set(npz_names(path)):
            return None
        return {part: torch.from_numpy(read_npz(path, name)) for part, name in names.items()}

    @staticmethod
    def _chosen(whole: Tensor, splits: Splits, path: Path) -> dict[str, Tensor]:
        rows = splits.rows
        if rows is None:
            raise ValueError(f"{path}: rows of these data have no numbers to match it by")
        most = 1 + max(int(rows[0].max()), int(rows[1].max()))
        if len(whole) < most:
            raise ValueError(f"{path}: {len(whole):,} rows, the data have {most:,}")
        return {"train": whole[rows[0]], "test": whole[rows[1]]}


class Folder(ConditionSource):
    """A second folder of PNG and JPEG pictures, each named as the picture that it belongs to.

    Args:
        path: the folder.
        size: as of the data, side of the square, or (height, width), that they are cropped and resized to.
        channels: 1 for grey, 3 for colour; None keeps what they have.
        memory: up to so many GB are kept in memory.
    """

    about: ClassVar[str] = "a second folder of pictures, matched by name"

    def __init__(
        self,
        path: str,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        memory: float = 1.0,
    ) -> None:
        self.path, self.loading = path, Loading(size, channels, memory)

    def of(self, splits: Splits, source: Source) -> Values:
        """Find the picture of every example."""
        if splits.rows is None or not splits.files:
            raise ValueError("a folder is matched by the names of pictures; use it with data.kind=images")
        root = _there(self.path)
        there = {file.relative_to(root).with_suffix("").as_posix(): file for file in find_images(root)}
        lost = [name for name in splits.files if Path(name).with_suffix("").as_posix() not in there]
        if lost:
            more = f", nor for {len(lost) - 1:,} others" if len(lost) > 1 else ""
            raise ValueError(f"{root}: no picture for {lost[0]}{more}")
        files = Files(root, [there[Path(name).with_suffix("").as_posix()] for name in splits.files])
        found = self.loading.splits(files, *splits.rows)
        return _described({"train": found.train, "test": found.test}, "image", True)


class Smaller(ConditionSource):
    """The example itself, of fewer pixels: means over squares of factor x factor, for super-resolution.

    Raises ValueError for a factor below 2.
    """

    about: ClassVar[str] = "the example itself, of fewer pixels"
    of_data: ClassVar[bool] = True

    def __init__(self, factor: int = 2) -> None:
        if factor < 2:
            raise ValueError(f"factor={factor}: from 2 on")
        self.factor = factor

    def of(self, splits: Splits, source: Source) -> Values:
        """Worked out of each example."""
        if len(splits.shape) != 3 or splits.shape[1] % self.factor or splits.shape[2] % self.factor:
            raise ValueError(f"factor={self.factor}: does not divide examples of shape {splits.shape}")
        return _worked_out(splits, self.work_out)

    def work_out(self, raw: Tensor) -> Tensor:
        """Means."""
        return avg_pool2d(raw.float(), self.factor)


class Grey(ConditionSource):
    """The example itself, without its colours, for colourisation."""

    about: ClassVar[str] = "the example itself, without its colours"
    of_data: ClassVar[bool] = True

    def of(self, splits: Splits, source: Source) -> Values:
        """Worked out of each example."""
        if len(splits.shape) != 3 or splits.shape[0] != 3:
            raise ValueError(f"examples of shape {splits.shape} have no colours to leave out")
        return _worked_out(splits, self.work_out)

    def work_out(self, raw: Tensor) -> Tensor:
        """The luma."""
        return torch.einsum("c,bchw->bhw", torch.tensor(LUMA), raw.float()).unsqueeze(1)


CONDITIONS: dict[str, type[ConditionSource]] = {
    "labels": Labels,
    "array": Array,
    "folder": Folder,
    "smaller": Smaller,
    "grey": Grey,
}


def conditioned(splits: Splits, sources: Mapping[str, ConditionSource], source: Source) -> Splits:
    """The data with these conditions, by name. Raises ValueError, with the name, for what they have not."""
    found = {}
    for name, each in sources.items():
        try:
            found[check_name(name)] = each.of(splits, source)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"condition.{name}: {error}") from error
    return replace(splits, conditions=found)


def _there(path: str) -> Path:
    """The path. Raises FileNotFoundError for nothing, saying how a run is told where it is now."""
    found = Path(path).expanduser()
    if not found.exists():
        raise FileNotFoundError(
            f"nothing at {found}; say where it is by path, also if it has moved: undiffuse train "
            "--resume RUN condition.NAME.path=WHERE"
        )
    return found


def _described(
    parts: Mapping[str, Examples], like: Like, pictures: bool, names: tuple[str, ...] = ()
) -> Values:
    """What these arrays are."""
    train = parts["train"]
    kind = _kind_of(train, pictures) if like == "auto" else like
    if kind == "class":
        found = {part: found_labels(examples[:]) for part, examples in parts.items()}
        count = 1 + max(int(labels.max()) for labels in found.values())
        return Values(Classes(max(count, len(names)), names), found)
    if (kind, len(train.shape)) in (("vector", 1), ("image", 3)):
        parts = {part: examples[:].unsqueeze(1) for part, examples in parts.items()}
    return Values(NUMBERS[kind].of(sample_of(parts["train"], LOOKED)), dict(parts))


def _kind_of(values: Examples, pictures: bool) -> str:
    ndim = len(values.shape)
    if ndim == 1:
        return "vector" if values.dtype.is_floating_point else "class"
    return {2: "vector", 3: "image" if pictures else "sequence"}.get(ndim, "image")


def _worked_out(splits: Splits, function: Callable[[Tensor], Tensor]) -> Values:
    kind: Condition = Image.of(function(sample_of(splits.train, LOOKED)))
    return Values(kind, function=function)
