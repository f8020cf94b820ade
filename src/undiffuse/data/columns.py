"""Your own table, whatever its columns are: .csv, .parquet, or what `undiffuse.fit` wrote of a DataFrame."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.cell import Cell
from undiffuse.data.files import existing, plain_path
from undiffuse.data.frame import Read, read_frame
from undiffuse.data.npy import npz_names, read_npz
from undiffuse.data.source import Source, Splits, check_fraction, split
from undiffuse.data.table import SUFFIXES, read_table

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 5  # names in a sentence
COLUMNS = "undiffuse_columns"  # array of an .npz that says what the others are


@final
class Columns(Source):
    """Your own table with columns of numbers, words, dates, true and false, and holes.

    Columns that never vary, are empty, or hardly ever have a value twice, are left out, and it is said. What
    a column is is taken from all its rows.

    Args:
        path: the file, .csv or .parquet.
        columns: names of the columns to learn; None means all of them.
        test: share of rows kept for testing.

    Raises:
        ValueError: if `test` is out of range, or the path has another ending.
    """

    source: ClassVar[str] = "your .csv or .parquet file: data.path=FILE"
    licence: ClassVar[str] = "that of your file"
    about: ClassVar[str] = (
        "a table of numbers, words, dates, true and false, with holes; columns keep their names"
    )

    def __init__(self, path: str | Path, columns: list[str] | None = None, test: float = 0.1) -> None:
        self.path, self.columns, self.test = plain_path(path), columns, check_fraction(test)
        if self.path.suffix.lower() not in (*SUFFIXES, ".npz"):
            raise ValueError(f"path={path} must end in .csv or .parquet; for .npy use data.kind=array")

    def load(self) -> Splits:
        """Read the file and divide its rows."""
        if self.path.suffix.lower() == ".npz":
            return self._kept()
        found = read_frame(chosen(read_table(self.path), self.columns, str(self.path)))
        parts = split(len(found.raw), self.test)
        return _divided(found, parts)

    def _kept(self) -> Splits:
        """What `stored` gave."""
        existing(self.path, "what undiffuse.fit wrote of a DataFrame")
        if not is_stored(self.path):
            raise ValueError(f"{self.path}: no table; for arrays use data.kind=array")
        found = read_stored(self.path)
        if "test" in npz_names(self.path):
            return _splits(found.columns, (found.raw, torch.from_numpy(read_npz(self.path, "test"))))
        return _divided(found, split(len(found.raw), self.test))


def chosen(frame: "DataFrame", columns: list[str] | None, where: str) -> "DataFrame":
    """These columns. Raises ValueError for one that there is not."""
    if columns is None:
        return frame
    known = {str(name): name for name in frame.columns}
    lost = [name for name in columns if name not in known]
    if lost:
        raise ValueError(f"{where}: no column {lost[0]!r}; there are: {', '.join(known)}")
    return frame[[known[name] for name in columns]]


def advice_of(found: Read) -> tuple[str, ...]:
    """What is said of columns that are left out."""
    if not found.left:
        return ()
    named = [f"{name} ({why})" for name, why in list(found.left.items())[:SHOWN]]
    more = f" and {len(found.left) - SHOWN} more" if len(found.left) > SHOWN else ""
    return (f"columns left out: {', '.join(named)}{more}",)


def stored(found: Read, test: Tensor | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an .npz that `Columns` reads."""
    text = json.dumps([column.state() for column in found.columns]).encode()
    arrays = {"train": found.raw.numpy(), COLUMNS: np.frombuffer(text, np.uint8)}
    return arrays if test is None else arrays | {"test": test.numpy()}


def is_stored(path: Path) -> bool:
    """Whether an .npz has what `stored` gives."""
    return {"train", COLUMNS} <= set(npz_names(path))


def read_stored(path: Path) -> Read:
    """The columns and the training rows of such a file. Raises ValueError for a damaged one."""
    columns = cells_from(bytes(read_npz(path, COLUMNS)), str(path))
    raw = torch.from_numpy(read_npz(path, "train"))
    if raw.ndim != 2 or raw.shape[1] != len(columns):
        raise ValueError(f"{path}: damaged, rows of shape {tuple(raw.shape)} for {len(columns)} columns")
    return Read(columns, raw, {})


def cells_from(text: bytes, where: str) -> tuple[Cell, ...]:
    """The columns of such a text. Raises ValueError for what is none."""
    try:
        return tuple(Cell(**{**each, "categories": tuple(each["categories"])}) for each in json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{where}: damaged, no description of columns ({error})") from error


def _divided(found: Read, rows: tuple[Tensor, Tensor]) -> Splits:
    """These rows for training and test."""
    train, test = (found.raw[part] for part in rows)
    return _splits(found.columns, (train, test), rows)


def _splits(
    columns: tuple[Cell, ...],
    parts: tuple[Tensor, Tensor],
    rows: tuple[Tensor, Tensor] | None = None,
) -> Splits:
    """Rows without any value are left out."""
    train, test = (part[~part.isnan().all(1)] for part in parts)
    empty = sum(map(len, parts)) - len(train) - len(test)
    advice: tuple[str, ...] = ()
    if empty:
        advice, rows = (f"{empty:,} rows of nothing but holes are left out",), None
    for i, column in enumerate(columns):
        if bool(train[:, i].isnan().all()):
            raise ValueError(
                f"column {column.name!r}: no training row has a value; leave it out (data.columns)"
            )
    names = tuple(column.name for column in columns)
    return Splits(train, test, None, advice=advice, names=names, rows=rows, cells=columns)
