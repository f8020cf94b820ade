"""run.json: what the data of a run were, so that it can be used without them and resumed only on the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import __version__
from undiffuse.data import Space, Splits

FORMAT = 1
HASHED = 2**26  # bytes of data that are hashed: all of smaller sets, examples at even distances of larger


def facts_of(splits: Splits, space: Space) -> dict[str, Any]:
    """What run.json holds; `shades` are the raw values that are black and white in pictures."""
    return {
        "format": FORMAT,
        "version": __version__,
        "shape": list(splits.shape),
        "levels": splits.levels,
        "classes": splits.classes,
        "examples": {"train": len(splits.train), "test": len(splits.test)},
        "sha256": hash_of(*_parts(splits)),
        "space": space.state(),
        "shades": _shades(splits),
    }


def read_facts(folder: Path) -> dict[str, Any]:
    """run.json: what the data were. Raises FileNotFoundError or ValueError."""
    path = folder / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run here (it has no run.json)")
    try:
        facts = json.loads(path.read_text())
        good = facts["format"] == FORMAT and all(type(n) is int and n > 0 for n in facts["shape"])
        _ = (
            facts["levels"],
            int(facts["classes"]),
            facts["space"]["kind"],
            facts["examples"]["train"],
            facts["examples"]["test"],
        )
        _ = [float(end) for end in facts["shades"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not readable as a run of this version") from error
    if not good:
        raise ValueError(f"{path}: format {facts['format']!r}, this version reads {FORMAT}")
    assert isinstance(facts, dict)
    return facts


def check_same(facts: dict[str, Any], splits: Splits, folder: Path) -> bool:
    """Whether the data have the content that run.json describes.

    Raises ValueError if there are other numbers of them, or of another shape or levels.
    """
    examples = {"train": len(splits.train), "test": len(splits.test)}
    then = (facts["examples"], tuple(facts["shape"]), facts["levels"])
    now = (examples, splits.shape, splits.levels)
    if then != now:
        words = "{0[train]:,} + {0[test]:,} examples of shape {1}, levels {2}"
        raise ValueError(
            f"{folder}: the data are no longer those the run began with: {words.format(*now)}, not "
            f"{words.format(*then)}"
        )
    return bool(facts.get("sha256") == hash_of(*_parts(splits)))


def hash_of(*parts: Tensor | None) -> str:
    """SHA-256 of the type, shape and values of data and labels, within `HASHED` bytes of each."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            continue
        digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
        digest.update(_spread(part).contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parts(splits: Splits) -> tuple[Tensor | None, ...]:
    return splits.train, splits.test, splits.train_labels, splits.test_labels


def _spread(part: Tensor) -> Tensor:
    """All examples, or those at even distances, the first and the last among them."""
    count = max(2, HASHED // max(1, part[:1].numel() * part.element_size()))
    if len(part) <= count:
        return part
    return part[torch.linspace(0, len(part) - 1, count, dtype=torch.float64).round().long()]


def _shades(splits: Splits) -> tuple[float, float]:
    """The raw values that are black and white in pictures of these data: their ends."""
    if splits.levels is not None:
        return 0.0, float(splits.levels - 1)
    low, high = (float(end) for end in splits.train.aminmax())
    return low, max(high, low + 1e-12)
