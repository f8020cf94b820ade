"""A .parquet whose rows would not fit into memory, read twice: a column at a time, then part by part.

What a column is takes all its values. Rows then go into an .npy of numbers, in the system's temporary folder
(TMPDIR), which is mapped while it is used and goes with what uses it.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from undiffuse.data.cell import Cell
from undiffuse.data.files import existing
from undiffuse.data.frame import Read, chosen, columns_in, rows_in
from undiffuse.data.mapped import Mapped
from undiffuse.data.rows import GIGABYTE
from undiffuse.extras import install
from undiffuse.files import WriteError, atomic

if TYPE_CHECKING:
    from pandas import Series

PART = 2**18  # rows at a time


def is_large(path: Path, memory: float) -> bool:
    """Whether a file is a .parquet whose cells, as numbers, take more than so many GB."""
    if path.suffix.lower() != ".parquet":
        return False
    with opened(path) as file:
        return bool(8 * file.metadata.num_rows * file.metadata.num_columns > memory * GIGABYTE)


def read_large(path: Path, columns: Sequence[str] | None = None) -> Read:
    """The columns of a file, all unless named, and its rows, which stay on disk.

    Raises ValueError as `read_frame` does, and for columns that there are not; WriteError if there is no room
    for the rows.
    """
    status = path.stat()
    changed = (status.st_mtime_ns, status.st_size)
    return _read(path.resolve(), changed, None if columns is None else tuple(columns))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file, as pyarrow sees it. Raises ImportError without pyarrow, ValueError if it is none."""
    existing(path, "a .parquet file")
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(f"{path}: such a table is read with {install('parquet')}") from error
    try:
        with ParquetFile(path) as file:
            yield file
    except WriteError:  # of what is written while it is open
        raise
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path}: no table: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=1)
def _read(path: Path, changed: tuple[int, int], wanted: tuple[str, ...] | None) -> Read:
    """Once of a file, until it has changed."""
    with ExitStack() as stack, opened(path) as file:
        names = chosen(file.schema_arrow.empty_table().to_pandas(), wanted, str(path)).columns
        columns, left = columns_in(names, _series_of(file))
        numbers = Path(stack.enter_context(TemporaryDirectory(prefix="undiffuse-")), "rows.npy")
        _write(numbers, file, columns)
        rows = Mapped(numbers, torch.arange(file.metadata.num_rows), np.ascontiguousarray)
        weakref.finalize(rows, stack.pop_all().close)
    return Read(columns, rows, left)


def _series_of(file: Any) -> Callable[[str], "Series[Any]"]:
    def series(name: str) -> "Series[Any]":
        found: Series[Any] = file.read(columns=[name]).to_pandas()[name]
        return found

    return series


def _write(path: Path, file: Any, columns: Sequence[Cell]) -> None:
    """All rows as numbers, float64 (N, D), in an .npy. Raises WriteError if the disk is full or fails."""
    shape = (file.metadata.num_rows, len(columns))
    with atomic(path) as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
        for part in file.iter_batches(PART, columns=[column.name for column in columns]):
            out.write(rows_in(part.to_pandas(), columns)[0].numpy().astype("<f8", copy=False).data)
