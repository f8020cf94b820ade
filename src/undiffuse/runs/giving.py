"""What a run is given, from options and files.

a class       its number or name; a .npy or one column of a .csv, one for each example
numbers       an .npy (D,) or (N, D); the columns of a .csv or .parquet, a row for each example
an image      a picture of its size, black to white as the condition's; an .npy (C, H, W) or (N, C, H, W)
cells         the columns of a .csv or .parquet, of a table's run: a row for all, or one for each example
a sequence    an .npy (L, D) or (N, L, D); the rows of a .csv, of one
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from undiffuse.conditions import Classes, Condition, Given, Image, Row, described, given_of
from undiffuse.data import CellSpace, read_npy
from undiffuse.data.frame import rows_of
from undiffuse.data.images import SUFFIXES as PICTURES
from undiffuse.data.table import SUFFIXES as TABLES
from undiffuse.data.table import labels_of, numbers_of, read_table
from undiffuse.recipes.recipe import load_data
from undiffuse.runs.example import Kind, read_kind
from undiffuse.runs.incoming import Incoming
from undiffuse.runs.run import Run

LOG = logging.getLogger(__name__)
OTHERS = {"image": ", a .png or a .jpg"} | dict.fromkeys(
    ("class", "vector", "sequence", "row"), ", or a .csv"
)


def given_from(run: Run, label: str | None, files: Sequence[str] = ()) -> Given | None:
    """What these options give the run: None if nothing. Raises ValueError for what it does not take."""
    return given_of(run.denoiser.conditions, _asked(run, label, files) or None)


def _asked(run: Run, label: str | None, files: Sequence[str]) -> dict[str, Any]:
    """The same, by name, as it is said."""
    known, found = run.denoiser.conditions, dict[str, Any]()
    if not known and (files or label is not None):
        raise ValueError("this run takes no condition: train one with condition=labels, or another")
    for each in files:
        name, path = _named(each, known)
        found[name] = _read(run, name, known[name], path)
    if label is not None:
        names = [name for name, each in known.items() if isinstance(each, Classes)]
        if len(names) != 1:
            raise ValueError(f"--class {label}: this run takes {described(known)}; give it with --given")
        found[names[0]] = label
    return found


def told_for(run: Run, found: Incoming, label: str | None, files: Sequence[str] = ()) -> Run:
    """The run given what these options say, and else what the examples say themselves, or their table.

    Raises ValueError for as many conditions as there are no examples.
    """
    said = _of_examples(run, found) | _asked(run, label, files)
    known = run.denoiser.conditions
    untold = {name: each for name, each in known.items() if name not in said and not isinstance(each, Row)}
    if untold:
        LOG.warning("nothing is told of %s (--given)", described(untold))
    told = run.told(given_of(run.denoiser.conditions, said or None))
    told.model.check_count(len(found.raw))
    return told


def _of_examples(run: Run, found: Incoming) -> dict[str, Any]:
    """What examples say of what the run is given, by name: by their pixels, or a column of their table."""
    said: dict[str, Any] = {}
    for name, part in (run.recipe["condition"] or {}).items():
        value, known = part.build().work_out(found.raw), run.denoiser.conditions[name]
        if value is not None:
            said[name] = value
        elif part.kind == "labels" and found.told is not None:
            words = isinstance(known, Classes) and known.names
            said[name] = found.told.astype(str).tolist() if words else found.told.to_numpy()
    return said


def given_test(run: Run, index: int) -> Given | None:
    """What this test example is given."""
    splits = load_data(run.recipe)
    if not 0 <= index < len(splits.test):
        raise ValueError(f"index={index}: the test data have examples 0 to {len(splits.test) - 1}")
    return splits.examples("test", slice(index, index + 1))[1]


def _named(text: str, known: Any) -> tuple[str, Path]:
    """The condition's name and the file of an option."""
    name, equals, path = text.partition("=")
    if equals and name in known:
        return name, Path(path).expanduser()
    if len(known) != 1:
        raise ValueError(f"--given {text}: this run takes {described(known)}; say which: NAME=FILE")
    return next(iter(known)), Path(text).expanduser()


def _read(run: Run, name: str, kind: Condition, path: Path) -> Tensor:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give what {name} is")
    if suffix in PICTURES and isinstance(kind, Image):
        return _picture(run, name, kind, path)
    if suffix in TABLES and not isinstance(kind, Image):
        frame = read_table(path)
        if isinstance(run.space, CellSpace):
            return run.space.encode(rows_of(frame, run.space.columns))
        if isinstance(kind, Classes):
            return _classes(kind, frame, name, path)
        return torch.from_numpy(numbers_of(frame, None, None, str(path)).to_numpy(np.float64, copy=True))
    if suffix != ".npy":
        raise ValueError(f"{path}: {name} is no {suffix or 'such'} file: give an .npy{OTHERS[kind.kind]}")
    return torch.from_numpy(np.array(read_npy(path)))


def _classes(kind: Classes, frame: Any, name: str, path: Path) -> Tensor:
    """Numbers or names of the one column."""
    if len(frame.columns) != 1:
        raise ValueError(f"{path}: {len(frame.columns)} columns; give one, the class of every example")
    column = frame.iloc[:, 0]
    if column.dtype.kind in "biuf":
        return labels_of(column, str(path))[0]
    return kind.check(column.astype(str).tolist(), name)


def _picture(run: Run, name: str, kind: Image, path: Path) -> Tensor:
    """In the condition's own values: those of the data, of what is worked out from them, else bytes."""
    part = (run.recipe["condition"] or {}).get(name)
    of_data = part is not None and part.build().of_data
    shades = run.shades if of_data else (0.0, 255.0)
    return read_kind(Kind(kind.shape, None, shades, f"{name} has"), path)
