"""Your own table of numbers: a .csv or .parquet file whose columns have names."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.arrays import words_of
from undiffuse.data.continuous import check_continuous
from undiffuse.data.dequantize import check_width, dithered
from undiffuse.data.files import existing, plain_path
from undiffuse.data.source import Source, Splits, check_fraction, split
from undiffuse.extras import install

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SUFFIXES = (".csv", ".parquet")
SEPARATORS = ";\t|"  # of columns, in files that other programs call .csv
NAMED = 5  # columns that a message names


@final
class Table(Source):
    """Your own table of numbers, with a row for each example and a name for each column.

    Rows with a missing value are left out. Columns of words are not numbers: leave them out by naming the
    others.

    Args:
        path: the file, .csv or .parquet.
        columns: names of the columns to learn; None means all of them.
        spacing: how far apart neighbouring values are, one number or one a column, 0 where they are
            continuous: uniform noise of this width is added, so that they have a density.
        labels: name of a column that is not learned but given: words, or whole numbers 0, 1, .., are the
            classes of the rows, other numbers are what they are.
        test: share of rows kept for testing.

    Raises:
        ValueError: if `spacing` or `test` are out of range, or the path has another ending.
    """

    source: ClassVar[str] = "your .csv or .parquet file: data.path=FILE"
    licence: ClassVar[str] = "that of your file"
    about: ClassVar[str] = "a table of numbers, a row for each example; columns keep their names"

    def __init__(
        self,
        path: str | Path,
        columns: list[str] | None = None,
        spacing: float | list[float] | None = None,
        labels: str | None = None,
        test: float = 0.1,
    ) -> None:
        self.path, self.columns, self.labels = plain_path(path), columns, labels
        self.width = None if spacing is None else check_width(spacing)
        self.test = check_fraction(test)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"path={path} must end in .csv or .parquet; for .npy and .npz use data.kind=array"
            )

    def load(self) -> Splits:
        """Read the columns, leave out rows with holes, check that every column has a density."""
        frame = read_table(self.path)
        chosen = numbers_of(frame, self.columns, self.labels, str(self.path))
        whole = chosen.notna().all(axis=1) & (True if self.labels is None else frame[self.labels].notna())
        values = torch.from_numpy(chosen[whole].to_numpy(np.float64, copy=True))
        if not bool(values.isfinite().all()):
            raise ValueError(f"{self.path}: holds infinite values; correct or remove them")
        train, test = split(len(values), self.test)
        left = int((~whole).sum())
        advice: tuple[str, ...] = ()
        if left:
            advice = (f"{left:,} of {len(whole):,} rows have a missing value and are left out",)
        splits = Splits(
            values[train], values[test], None, advice=advice, names=tuple(map(str, chosen.columns))
        )
        kept = torch.from_numpy(whole.to_numpy().nonzero()[0].copy())
        splits = replace(splits, rows=(kept[train], kept[test]))
        if self.labels is not None:
            labels, names = labels_of(frame.loc[whole, self.labels], f"{self.path}: {self.labels}")
            splits = replace(splits, train_labels=labels[train], test_labels=labels[test], class_names=names)
        noisy = splits if self.width is None else dithered(splits, self.width)
        check_continuous(splits.train, str(self.path), self.width)
        return noisy


def read_table(path: Path) -> "DataFrame":
    """The file as a pandas DataFrame.

    Raises:
        ImportError: without pandas, or for .parquet without pyarrow.
        ValueError: if it is no table.
    """
    existing(path, "a .csv or .parquet file")
    try:
        import pandas

        frame: Any = pandas.read_csv(path) if path.suffix.lower() == ".csv" else pandas.read_parquet(path)
    except ImportError as error:
        need = "parquet" if "pandas" in sys.modules else "tables"
        raise ImportError(f"{path}: such a table is read with {install(need)}") from error
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: no table: {' '.join(str(error).split())}") from error
    if not len(frame.columns) or not len(frame):
        raise ValueError(f"{path}: no table: {len(frame)} rows of {len(frame.columns)} columns")
    only = str(frame.columns[0])
    apart = [mark for mark in SEPARATORS if mark in only]
    if len(frame.columns) == 1 and apart:
        raise ValueError(
            f"{path}: one column, {only!r}; write it with commas between columns, not {apart[0]!r}"
        )
    found: DataFrame = frame
    return found


def labels_of(column: "Series[Any]", where: str) -> tuple[Tensor, tuple[str, ...]]:
    """Classes (N,) of whole numbers, or of words with their names; other numbers as (N, 1).

    Raises ValueError for whole numbers below 0.
    """
    if column.dtype.kind == "f" and bool((column == column.round()).all()):
        column = column.astype(np.int64)
    if column.dtype.kind in "biu":
        labels = torch.from_numpy(column.to_numpy(np.int64, copy=True))
        if int(labels.min()) < 0:
            raise ValueError(f"{where}: whole numbers from {int(labels.min())} on; classes are from 0 on")
        return labels, ()
    if column.dtype.kind == "f":
        return torch.from_numpy(column.to_numpy(np.float32, copy=True)).unsqueeze(1), ()
    return words_of(column.astype(str).to_numpy(dtype=object))


def numbers_of(frame: "DataFrame", columns: list[str] | None, labels: str | None, where: str) -> "DataFrame":
    """The columns to learn, all of numbers. Raises ValueError naming those that are missing or are words."""
    known = [str(name) for name in frame.columns]
    lost = [name for name in [*(columns or []), *([labels] if labels else [])] if name not in known]
    if lost:
        raise ValueError(f"{where}: no column {lost[0]!r}; there are: {', '.join(known)}")
    wanted = [name for name in frame.columns if name != labels] if columns is None else columns
    words = [str(name) for name in wanted if frame[name].dtype.kind not in "biuf"]
    if words:
        numbers = [str(name) for name in wanted if frame[name].dtype.kind in "biuf"]
        named = ", ".join(words[:NAMED]) + (f" and {len(words) - NAMED} more" if len(words) > NAMED else "")
        rest = f"[{', '.join(numbers)}]" if numbers else "NAMES"
        raise ValueError(
            f"{where}: column {named} {'is' if len(words) == 1 else 'are'} not of numbers; leave "
            f"{'it' if len(words) == 1 else 'them'} out: data.columns={rest}"
        )
    return frame[wanted]
