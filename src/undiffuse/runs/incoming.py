"""New examples from files, prepared as the run's own data were: cropped, resized, its table's columns.

a folder of pictures, or one of them      of the run's size and channels, or made so where its data were
an .npy of (N, *shape) or one example     level numbers, or numbers
a .csv or .parquet                        the columns that the run was trained on, by name
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from undiffuse.data import CellSpace, read_npy
from undiffuse.data.frame import rows_in, unknown_in
from undiffuse.data.images import SUFFIXES as PICTURES
from undiffuse.data.images import find_images
from undiffuse.data.table import SUFFIXES as TABLES
from undiffuse.data.table import numbers_of, read_table
from undiffuse.runs.example import read_example
from undiffuse.runs.run import Run
from undiffuse.runs.scores import Scores

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Incoming:
    """Raw examples (N, *shape), what each is called, and what was left out and why, by name.

    `told` is what their table has of the run's labels, if it has that column.
    """

    raw: Tensor
    names: tuple[str, ...]
    skipped: dict[str, str]
    told: Any = None

    def named(self, scores: Scores) -> Scores:
        """Scores of these examples, with their names."""
        return replace(scores, names=self.names)


def read_examples(run: Run, path: str | Path) -> Incoming:
    """All examples at this path. Raises FileNotFoundError or ValueError, naming the file."""
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in PICTURES:
        return _pictures(run, find_images(path) if path.is_dir() else [path])
    if suffix in TABLES:
        return _table(run, path)
    if suffix != ".npy":
        raise ValueError(f"{path}: examples are read from pictures, .npy, .csv and .parquet")
    return _array(run, path)


def _pictures(run: Run, paths: list[Path]) -> Incoming:
    found, names, skipped = [], [], {}
    for path in paths:
        try:
            found.append(read_example(run, path))
            names.append(str(path))
        except (ValueError, OSError) as error:
            if len(paths) == 1:
                raise
            skipped[str(path)] = " ".join(str(error).split())
    if not found:
        raise ValueError(
            f"none of {len(paths)} pictures can be read, the first: {next(iter(skipped.values()))}"
        )
    return Incoming(torch.cat(found), tuple(names), skipped)


def _array(run: Run, path: Path) -> Incoming:
    array = np.array(read_npy(path))
    array = array[None] if array.shape == run.shape else array
    if array.shape[1:] != run.shape and len(run.shape) == 3 and array.shape[1:] == run.shape[1:]:
        array = array[:, None]
    if array.shape[1:] != run.shape or not len(array):
        raise ValueError(f"{path}: shape {array.shape}, this run has examples of shape {run.shape}")
    raw = torch.from_numpy(array)
    if run.levels is not None:
        if bool((raw != raw.round()).any()) if raw.is_floating_point() else False:
            raise ValueError(f"{path}: values that are no whole numbers, this run has {run.levels} levels")
        raw = raw.to(torch.int32)
    elif not bool(raw.isfinite().all()):
        raise ValueError(f"{path}: holds values that are not finite; to fill holes use impute")
    return Incoming(raw, tuple(map(str, range(len(raw)))), {})


def _table(run: Run, path: Path) -> Incoming:
    if isinstance(run.space, CellSpace):
        return _cells(run.space, path)
    source = run.recipe["data"]
    columns = None if source is None else source.arguments.get("columns")
    frame = read_table(path)
    labels = None if source is None else source.arguments.get("labels")
    known = labels if labels in frame.columns else None
    chosen = numbers_of(frame, columns, known, str(path))
    if len(chosen.columns) != run.shape[0] or len(run.shape) != 1:
        raise ValueError(f"{path}: {len(chosen.columns)} columns, this run has examples of shape {run.shape}")
    whole = chosen.notna().all(axis=1)
    skipped = {str(name): "a value is missing" for name in chosen.index[~whole]}
    raw = torch.from_numpy(chosen[whole].to_numpy(np.float64, copy=True))
    told = None if known is None else frame.loc[whole, known]
    return Incoming(raw, tuple(map(str, chosen.index[whole])), skipped, told)


def _cells(space: CellSpace, path: Path) -> Incoming:
    """Rows of a table with holes; those of nothing else are left out."""
    frame = read_table(path)
    raw, unknown = rows_in(frame, space.columns)
    for text in unknown_in(unknown):
        LOG.warning("%s: %s", path, text)
    there = ~raw.isnan().all(1)
    names = [str(name) for name in frame.index]
    skipped = {names[i]: "nothing but holes" for i in (~there).nonzero()[:, 0].tolist()}
    kept = tuple(names[i] for i in there.nonzero()[:, 0].tolist())
    return Incoming(raw[there], kept, skipped)
