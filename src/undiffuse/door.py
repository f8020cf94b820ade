"""The front door: `fit` trains a model on data of yours, `load` opens one that was trained.

    model = undiffuse.fit(data)                           # an array, a tensor, a DataFrame, a folder, a file
    model = undiffuse.fit(data, minutes=10, out="runs/mine")
    model = undiffuse.load("runs/mine")

What the command line trains of the same data, seed and settings is the same, bit for bit.
"""

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from undiffuse.cli.following import follow, say
from undiffuse.data.arrays import words_of
from undiffuse.data.columns import advice_of, stored
from undiffuse.data.frame import read_frame, rows_in
from undiffuse.data.npy import npz_names, read_npy, read_npz
from undiffuse.diffusion.containers import (
    KINDS,
    Container,
    check_types,
    columns_named,
    container_of,
    tensor_of,
)
from undiffuse.files import atomic, write_json
from undiffuse.jsonfile import read_json
from undiffuse.processors import Moment, available, busy
from undiffuse.recipes import override
from undiffuse.recipes.choosing import GIVEN, Choice, choose, columns_of, plain
from undiffuse.runs import Experiment, Run
from undiffuse.runs import load as load_run
from undiffuse.runs.budget import fitted

CONTAINER = "container.json"
DATA = ("data.npy", "data.npz")


def fit(
    data: Any,
    *,
    test: Any = None,
    labels: Any = None,
    condition: Any = None,
    network: nn.Module | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    quiet: bool = False,
) -> Run:
    """Train a model of these data; what was chosen for them, and why, is printed.

    Args:
        data: examples, the first axis counts them: a tensor, an array, a DataFrame; or the path of a folder
            of pictures, an .npy, .npz, .csv or .parquet file. Whole numbers are levels. Of a DataFrame, or a
            table in a file, columns may be numbers, words, categories, true and false, dates, with holes.
        test: examples that are held out for reports; by default a tenth of the data, at most 10,000.
        labels: the class of every example, 0, 1, .. or words, which makes the model one of each class. Of a
            DataFrame, or data in files, where they are: a column, an array of an .npz, "folders" of pictures.
        condition: what every example is given, the first axis counts them: whole numbers (N,) are classes,
            numbers (N, D) vectors, (N, L, D) sequences, (N, C, H, W) images; or several by name. Of a
            DataFrame a column, or a list of columns.
        network: a module of your own, `network(x, t)` with t in [0, 1], (B,), and an output of x's shape;
            with a condition `network(x, t, condition)`.
        steps: how many to train, by default what the recipe that is chosen says; 0 saves the model as it
            begins: at its base, or with the weights that your network has.
        minutes: the time there is; steps are chosen to fit, from a measurement.
        out: a folder to train in, which can be gone on with and loaded; by default none is kept.
        settings: other keys of the recipe, such as {"train.batch": 64, "kernel.schedule.first": 10}. With
            {"data.kind": "columns"} cells of a table can be given, even if all are continuous numbers.
        seed: keys everything random.
        device: where to train.
        quiet: print nothing; what is doubtful still goes to the logger `undiffuse`.

    Returns:
        The trained run: a `Diffusion`.

    Raises:
        TypeError: for what is no data.
        ValueError: naming what cannot be, and what to do.
    """
    check_types({"steps": steps, "minutes": minutes, "seed": seed})
    if steps is not None and minutes is not None:
        raise ValueError(f"steps={steps}, minutes={minutes:g}: give one of them")
    kept = None if out is not None else _Kept()
    folder = kept.folder if kept is not None else Path(out or "")
    table = dict(settings or {}).get("data.kind") == "columns"
    chosen, container = _chosen(data, test, labels, _conditions(condition), folder, table)
    changes = [f"{name}={json.dumps(value)}" for name, value in dict(settings or {}).items()]
    changes += [f"seed={seed}"] + ([] if steps is None else [f"train.steps={steps}"])
    node = override(chosen.node, changes)
    if network is not None:
        node = _own(node, network)
    with _spared():
        if minutes is not None:
            node, reason = fitted(node, minutes, device, network)
            chosen.reasons.append(reason)
        if not quiet:
            say(chosen.reasons)
        with closing(Experiment.create(folder, node, device, network=network)) as experiment:
            if container is not None:
                write_json(folder / CONTAINER, {"kind": container.kind, "names": list(container.names)})
            experiment.pictured = kept is None  # nobody would look at them
            follow(experiment, quiet)
    return load(folder, device, network=network).replace(keeper=kept)


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    *,
    network: nn.Module | None = None,
    data: str | Path | None = None,
) -> Run:
    """The run in a folder, ready to sample and evaluate.

    `network` if it is one of your own; `data` says where the run's data are now, if they were moved.

    Samples are of the kind, torch, numpy or pandas, that `fit` was given, and DataFrames of a table's file.
    Raises FileNotFoundError if there is no run or no checkpoint yet, ValueError if a file is damaged.
    """
    made = load_run(folder, device, network=network, data=data)
    part = made.recipe["data"]
    if part is not None and part.kind in ("table", "columns"):
        names = getattr(made.space, "names", part.arguments["columns"] or ())
        made = made.replace(container=Container("pandas", tuple(names)))
    try:
        said = read_json(made.folder / CONTAINER, {"kind": "", "names": [""]})
    except FileNotFoundError:
        return made
    if said["kind"] not in KINDS:
        raise ValueError(f"{made.folder / CONTAINER}: damaged, kind {said['kind']!r}")
    return made.replace(container=Container(said["kind"], tuple(said["names"])))


@contextmanager
def _spared() -> Iterator[None]:
    """Inside, gradients are kept, whatever is so outside, and PyTorch has no more threads than free cores.

    Unless the environment says how many. Threads that wait for one whose core is taken spin: two beside a
    busy core are slower than one alone.
    """
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(before, available() - round(busy(Moment())))))
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)


class _Kept:
    """A folder that goes when nobody has this object any more."""

    def __init__(self) -> None:
        root = tempfile.mkdtemp(prefix="undiffuse-")
        self.folder = Path(root) / "run"
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)


def _conditions(condition: Any) -> dict[str, Any]:
    """What is given, by name."""
    if condition is None:
        return {}
    return dict(condition) if isinstance(condition, Mapping) else {"condition": condition}


def _chosen(
    data: Any, test: Any, labels: Any, given: dict[str, Any], folder: Path, table: bool
) -> tuple[Choice, Container | None]:
    """What to train, and of which kind the data are; those in memory are written into the run's folder."""
    if isinstance(data, (str, Path)):
        if test is not None or given or not isinstance(labels, (str, type(None))):
            raise ValueError(
                "test, labels, condition: of data in files these are there too; labels says where, and "
                'settings={"condition": ..} what else is given'
            )
        return choose(data, labels=labels, table=table), None
    container, left = container_of(data) or Container("numpy"), list[str]()
    if labels is not None:
        given = {"labels": labels} | given
    if table and (given or not container.names):
        raise ValueError(
            "data.kind=columns: of a DataFrame, or a table in a file, without labels or condition"
        )
    numbers = plain(data) and (test is None or plain(test)) if container.names else True
    if container.names and not given and (table or not numbers):
        return _table(data, test, folder, container)
    if container.names:
        data, given = _columns_out(data, given)
        data, given, left = _numbers(data, given)
        container = replace(container, names=tuple(map(str, data.columns)))
    arrays = {"train": _array(data, "data")}
    if given:
        if test is not None:
            raise ValueError("test: with a condition the held-out part is chosen; leave test out")
        told = {name: _told(value, name) for name, value in given.items()}
        arrays = {"x": arrays["train"]} | {GIVEN + name: array for name, (array, _) in told.items()}
        _check_counts(arrays)
    if test is not None:
        arrays["test"] = _array(test, "test")
    path = folder / DATA[len(arrays) > 1]
    _store(path, arrays)
    chosen = choose(path)
    if given:
        chosen.node["condition"] = {
            name: {"kind": "array", "key": GIVEN + name} | ({"names": names} if names else {})
            for name, (_, names) in told.items()
        }
        chosen.reasons.append(f"examples are given {', '.join(given)}")
    chosen.reasons += left
    return chosen, container


def _table(frame: Any, test: Any, folder: Path, container: Container) -> tuple[Choice, Container]:
    """A DataFrame of columns of several kinds, or with holes."""
    found = read_frame(frame)
    arrays = stored(found, None if test is None else rows_in(test, found.columns)[0])
    _store(folder / DATA[1], arrays)
    chosen = choose(folder / DATA[1])
    chosen.reasons += advice_of(found)
    return chosen, replace(container, names=tuple(column.name for column in found.columns))


def _columns_out(frame: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A DataFrame without the columns that are given, by name, and these in the place of their names."""
    found, known = {}, [str(name) for name in frame.columns]
    taken: list[Any] = []
    for name, value in given.items():
        named = [value] if isinstance(value, str) else value
        if not (isinstance(named, list) and all(isinstance(each, str) for each in named)):
            found[name] = value
            continue
        lost = [each for each in named if each not in known]
        if lost:
            raise ValueError(f"{name}: no column {lost[0]!r}; there are: {', '.join(known)}")
        columns = [frame.columns[known.index(each)] for each in named]
        found[name] = frame[columns[0]] if isinstance(value, str) else frame[columns]
        taken += columns
    return frame.drop(columns=taken), found


def _told(value: Any, name: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    """What is given as numbers; of words those of their classes, and what these are called."""
    array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    if array.ndim == 1 and array.size and all(isinstance(each, str) for each in array):
        numbers, names = words_of(array)
        return numbers.numpy(), list(names)
    return _array(value, name), []


def _check_counts(arrays: dict[str, Any]) -> None:
    """Raise ValueError unless there is a condition for every example."""
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != len(arrays["x"]):
            what, rows = name.removeprefix(GIVEN), len(array) if array.ndim else 0
            raise ValueError(f"{what}: {rows:,} of them for {len(arrays['x']):,} examples")


def _numbers(frame: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any], list[str]]:
    """The columns that can be learned, whole rows of them, what they are given, and what was left out."""
    columns = columns_of(frame, None, "data")
    kept = columns_named(frame, tuple(columns.names))
    whole = kept.notna().all(axis=1).to_numpy()
    reasons = [f"columns: {columns.reason}"] if columns.left else []
    reasons += [] if whole.all() else [f"{(~whole).sum():,} rows with a missing value are left out"]
    told = {name: np.asarray(each) for name, each in given.items()}
    for name, each in told.items():
        if each.ndim < 1 or len(each) != len(whole):
            raise ValueError(f"{name}: {each.shape} for {len(whole):,} examples")
    return kept[whole], {name: each[whole] for name, each in told.items()}, reasons


def _store(path: Path, arrays: dict[str, Any]) -> None:
    """Write the arrays. Raises FileExistsError where a run of other data has its own."""
    alone = next(iter(arrays.values())) if len(arrays) == 1 else None
    if path.exists():
        names = arrays.keys() if alone is not None else npz_names(path)
        found = {name: read_npy(path) if alone is not None else read_npz(path, name) for name in names}
        if found.keys() != arrays.keys() or not all(
            np.array_equal(found[key], arrays[key]) for key in arrays
        ):
            raise FileExistsError(f"{path.parent}: a run of other data; choose another folder")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        np.savez(file, **arrays) if alone is None else np.save(file, alone, allow_pickle=False)


def _array(data: Any, name: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = tensor_of(data, name).detach().cpu().numpy()
    return found


def _own(node: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    """The recipe for a module of the user's own: of numbers on no base, whose output is x's shape."""
    changed = node | {"network": {"kind": "own", "name": type(network).__name__}}
    if "condition" in node:
        changed["train"] = {"condition_dropout": 0.0} | node.get("train", {})
    if node["kernel"]["kind"] == "gaussian" and "parameterization" not in node:
        changed |= {"base": "none", "parameterization": "v", "objective": {"kind": "simple"}}
    return changed
