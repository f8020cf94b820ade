"""What every data set is: a `Source` whose constructor is its schema, and the `Splits` it loads."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from undiffuse.conditions import MAX_CLASSES, Given
from undiffuse.data.cell import Cell
from undiffuse.data.conditioned import Values
from undiffuse.data.files import files_below
from undiffuse.data.rows import Examples
from undiffuse.random import keyed


@dataclass(frozen=True, eq=False)
class Splits:
    """Raw examples, divided once and for all into training and test data.

    Args:
        train: ``(N, *shape)``: level numbers 0..K-1 (uint8, or int32 when K > 256), or float32 or
            float64 when the data is continuous. Images are ``(C, H, W)``. A tensor, or `Rows` that are
            read when they are asked for.
        test: the same for the examples that are never trained on.
        levels: K, the number of levels of a value; None for continuous data.
        train_labels: int64 ``(N,)``, where the data set has classes, or numbers ``(N, D)``, NaN where there
            are none.
        test_labels: the same for the test examples.
        skipped: pictures that could not be read and were skipped, and why; it grows as they are met.
        advice: what would make a better model of these data, a sentence each.
        watched: training examples that were set aside to be watched while training (`set_aside`).
        names: those of the columns of a table.
        class_names: those of the classes, where they have any.
        rows: numbers of the training and of the test examples in the order of the data's file or folder.
        files: what the pictures of a folder are called, relative to it, by number.
        conditions: what the examples are given, by name (`data.conditions`).
        cells: the columns of a table whose columns are of several kinds.

    Raises:
        ValueError: if the two splits do not hold the same kind of example, or one is empty.
    """

    train: Examples
    test: Examples
    levels: int | None
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    watched: Tensor | None = None
    names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    rows: tuple[Tensor, Tensor] | None = None
    files: tuple[str, ...] = ()
    conditions: Mapping[str, Values] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()

    def __post_init__(self) -> None:
        if not (len(self.train) and len(self.test)):
            raise ValueError(
                f"{len(self.train)} training and {len(self.test)} test examples: each split needs one"
            )
        if self.train.shape[1:] != self.test.shape[1:] or self.train.dtype != self.test.dtype:
            raise ValueError(
                f"training examples are {self.train.dtype} {tuple(self.train.shape[1:])} but test "
                f"examples are {self.test.dtype} {tuple(self.test.shape[1:])}; they must agree"
            )
        _check_labels(self.train_labels, self.train, "training")
        _check_labels(self.test_labels, self.test, "test")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes, whose labels are 0 .. classes - 1; 0 if there are none."""
        if self.train_labels is None or self.test_labels is None or self.train_labels.is_floating_point():
            return 0
        return 1 + int(max(self.train_labels.max(), self.test_labels.max()))

    def examples(self, part: str, rows: slice) -> tuple[Tensor, Given | None]:
        """These rows of a part, "train", "test" or "watched", and what they are given."""
        raw: Tensor = getattr(self, part)[rows]
        return raw, self.given(part, rows, raw)

    def given(self, part: str, rows: slice | Tensor, raw: Tensor) -> Given | None:
        """What these rows of a part are given, whose examples are `raw`; None of data without conditions."""
        if not self.conditions:
            return None
        return Given({name: each.of(part, rows, raw) for name, each in self.conditions.items()})


class Source(ABC):
    """A data set. Recipes build it by name: ``{kind: images, path: photos, size: 64}``.

    The constructor has plain type-hinted parameters and only checks them; `load` reads files.
    """

    source: ClassVar[str]
    """Where the data comes from, in one line."""
    licence: ClassVar[str]
    """Under which terms, in one line."""
    about: ClassVar[str]
    """What it holds, in one line: shape, levels, counts."""
    overlapping: ClassVar[bool] = False
    """Whether examples may share values of one picture, so that they are not independent."""

    @abstractmethod
    def load(self) -> Splits:
        """Read or generate the data."""

    @property
    def root(self) -> Path | None:
        """Where the data are, if they are files: the argument `path`."""
        return getattr(self, "path", None)

    def files(self) -> Sequence[Path]:
        """The files that the data come from, in order; none if they are generated or shipped."""
        return () if self.root is None else files_below(self.root)


def check_fraction(test: float) -> float:
    """`test` itself, the share of examples kept for testing.

    Raises:
        ValueError: if it is not strictly between 0 and 1.
    """
    if not 0 < test < 1:
        raise ValueError(f"test={test} must be a fraction between 0 and 1; try data.test=0.1")
    return test


def split(n: int, test_fraction: float) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the test examples among n, at least one each.

    They depend on n and on the fraction alone, never on a training seed, so that every run on the
    same data is tested on the same examples.

    Raises:
        ValueError: if there are fewer than two examples.
    """
    if n < 2:
        raise ValueError(f"{n} example(s) cannot be split into training and test data; give 2 or more")
    order = torch.randperm(n, generator=keyed("split", n))
    tests = min(max(round(n * check_fraction(test_fraction)), 1), n - 1)
    return order[tests:], order[:tests]


def _check_labels(labels: Tensor | None, examples: Examples, name: str) -> None:
    if labels is None:
        return
    if labels.is_floating_point() and labels.ndim == 2 and len(labels) == len(examples):
        return
    if labels.shape != (len(examples),):
        raise ValueError(
            f"{len(examples)} {name} examples have labels of shape {tuple(labels.shape)}; give one "
            f"label an example"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < MAX_CLASSES:
        raise ValueError(
            f"{name} labels go from {int(labels.min())} to {int(labels.max())}; number the classes from 0 "
            f"to at most {MAX_CLASSES - 1}"
        )
