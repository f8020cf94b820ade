"""run.json: what the data of a run were, so that it can be used without them and resumed only on the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import overview
from undiffuse.conditions import Conditions, condition_from
from undiffuse.data import Examples, Fingerprint, Space, Splits, ends, sample_of, space_from
from undiffuse.tensors import dims
from undiffuse.version import __version__

HASHED = 2**26  # bytes of data that are hashed: all of smaller sets, examples at even distances of larger
LOOKED = 1024  # of those examples, at most: each may be a picture to decode


def facts_of(splits: Splits, space: Space, files: Fingerprint | None = None) -> dict[str, Any]:
    """What run.json holds; `shades` are the raw values that are black and white in pictures.

    `files` are those that the data come from, if they do (`recipes.files_of`).
    """
    return {
        "format": overview.FORMAT,
        "version": __version__,
        "shape": list(splits.shape),
        "levels": splits.levels,
        "conditions": {name: each.kind.state() for name, each in splits.conditions.items()},
        "examples": {"train": len(splits.train), "test": len(splits.test)},
        "space": space.state(),
        "shades": _shades(splits),
        "bases": {"kinds": {}, "model": None, "sha256": ""},
        **content(splits, files or {}),
    }


def content(splits: Splits, files: Fingerprint) -> dict[str, str]:
    """The hashes of the data's values and of their files' names, sizes and samples."""
    listed = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    parts = [splits.train, splits.test, splits.train_labels, splits.test_labels]
    for each in splits.conditions.values():
        parts += each.parts.values()
    return {"sha256": hash_of(*parts), "files": listed}


def read_facts(folder: Path) -> dict[str, Any]:
    """run.json: what the data were. Raises FileNotFoundError or ValueError."""
    facts = overview.read_facts(folder)
    try:
        space_from(facts["space"])
        conditions_in(facts)
    except ValueError as error:
        raise ValueError(f"{folder / 'run.json'}: damaged, {error}") from error
    return facts


def conditions_in(facts: dict[str, Any]) -> Conditions:
    """What examples are given, by name, as run.json says. Raises ValueError for what is no condition."""
    return {name: condition_from(state) for name, state in facts["conditions"].items()}


def hash_of(*parts: Examples | None) -> str:
    """SHA-256 of the type, shape and values of data and labels, within `HASHED` bytes of each.

    It is the same wherever the examples are: in memory, in a mapped file, in pictures.
    """
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            continue
        digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
        digest.update(_spread(part).contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _spread(part: Examples) -> Tensor:
    """All examples, or those at even distances, the first and the last among them."""
    size = dims(tuple(part.shape[1:])) * part.dtype.itemsize
    if len(part) * size <= HASHED:
        return part[:]
    values = dims(tuple(part.shape[1:]))
    return sample_of(part, min(LOOKED * values, HASHED // part.dtype.itemsize))


def _shades(splits: Splits) -> tuple[float, float]:
    """The raw values that are black and white in pictures of these data: their ends.

    Of data with levels those of the levels, or, as the values of 16 bits are rarely all in use, of a sample.
    """
    if splits.cells:
        return 0.0, 1.0
    if splits.levels is None:
        low, high = ends(splits.train)
        return low, max(high, low + 1e-12)
    low, high = ends(sample_of(splits.train, LOOKED * 1024)) if splits.levels > 256 else (0.0, 0.0)
    return (low, high) if low < high else (0.0, float(splits.levels - 1))
