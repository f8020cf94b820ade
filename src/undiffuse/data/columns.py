"""Your own table, whatever its columns are: .csv, .parquet, or what `undiffuse.fit` wrote of a DataFrame."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.cell import Cell
from undiffuse.data.files import existing, plain_path
from undiffuse.data.frame import Read, chosen, read_frame
from undiffuse.data.npy import npz_names, read_npz
from undiffuse.data.parquet import is_large, read_large
from undiffuse.data.rows import Examples, check_memory, chosen_rows, spans
from undiffuse.data.source import Source, Splits, check_fraction, split
from undiffuse.data.table import SUFFIXES, read_table

SHOWN = 5  # names in a sentence
MEMORY = 0.25  # GB of numbers that are kept in memory: a DataFrame takes some four times as many
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
        memory: a .parquet of up to so many GB, as numbers, is kept in memory; the rows of a larger one stay
            on disk, in the system's temporary folder.

    Raises:
        ValueError: if `test` or `memory` are out of range, or the path has another ending.
    """

    source: ClassVar[str] = "your .csv or .parquet file: data.path=FILE"
    licence: ClassVar[str] = "that of your file"
    about: ClassVar[str] = (
        "a table of numbers, words, dates, true and false, with holes; columns keep their names"
    )

    def __init__(
        self,
        path: str | Path,
        columns: list[str] | None = None,
        test: float = 0.1,
        memory: float = MEMORY,
    ) -> None:
        self.path, self.columns = plain_path(path), columns
        self.test, self.memory = check_fraction(test), check_memory(memory)
        if self.path.suffix.lower() not in (*SUFFIXES, ".npz"):
            raise ValueError(f"path={path} must end in .csv or .parquet; for .npy use data.kind=array")

    def load(self) -> Splits:
        """Read the file and divide its rows."""
        if self.path.suffix.lower() == ".npz":
            return self._kept()
        if is_large(self.path, self.memory):
            found = read_large(self.path, self.columns)
        else:
            found = read_frame(chosen(read_table(self.path), self.columns, str(self.path)))
        return _divided(found, split(len(found.raw), self.test))

    def _kept(self) -> Splits:
        """What `stored` gave."""
        existing(self.path, "what undiffuse.fit wrote of a DataFrame")
        if not is_stored(self.path):
            raise ValueError(f"{self.path}: no table; for arrays use data.kind=array")
        found = read_stored(self.path)
        if "test" not in npz_names(self.path):
            return _divided(found, split(len(found.raw), self.test))
        test = torch.from_numpy(read_npz(self.path, "test"))
        parts = torch.arange(len(found.raw)), len(found.raw) + torch.arange(len(test))
        both = found._replace(raw=torch.cat([found.raw[:], test]))
        return replace(_divided(both, parts), rows=None)


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
    arrays = {"train": found.raw[:].numpy(), COLUMNS: np.frombuffer(text, np.uint8)}
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
    """These rows for training and test, but those without any value.

    Raises ValueError for a column without any among the training rows.
    """
    some, seen = _there(found.raw, rows[0])
    kept = [part[some[part]] for part in rows]
    empty = len(some) - int(some.sum())
    advice: tuple[str, ...] = ()
    if empty:
        advice = (f"{empty:,} rows of nothing but holes are left out",)
    for column, known in zip(found.columns, seen.tolist(), strict=True):
        if not known:
            raise ValueError(
                f"column {column.name!r}: no training row has a value; leave it out (data.columns)"
            )
    names = tuple(column.name for column in found.columns)
    train, test = (chosen_rows(found.raw, part) for part in kept)
    divided = None if empty else rows
    return Splits(train, test, None, advice=advice, names=names, rows=divided, cells=found.columns)


def _there(raw: Examples, train: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a row (N,) has any value, and a column (D,) in any of the training rows."""
    learned, some = torch.zeros(2, len(raw), dtype=torch.bool)
    seen = torch.zeros(raw.shape[1], dtype=torch.bool)
    learned[train] = True
    for span in spans(raw):
        there = ~raw[span].isnan()
        some[span] = there.any(1)
        seen |= there[learned[span]].any(0)
    return some, seen
