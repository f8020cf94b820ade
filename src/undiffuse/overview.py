"""A run's folder at a glance: what its small files say, read without PyTorch, so in no time.

run.json says what the data were, recipe.yaml what was trained, the newest checkpoint how far it came.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from undiffuse import enclosure
from undiffuse.files import read_bytes, reading
from undiffuse.jsonfile import LARGEST, check, parsed, read_json
from undiffuse.manifest import latest, verify

FORMAT = 1  # of run.json
FACTS = {  # what it must hold
    "shape": [1],
    "levels": (1, None),
    "conditions": {},
    "examples": {"train": 1, "test": 1},
    "space": {"kind": ""},
    "shades": [0.0],
    "files": "",
    "bases": {"kinds": {}, "model": ("", None), "sha256": ""},
}


@dataclass(frozen=True)
class Overview:
    """What a run is. `kept` is the step whose weights are used, `step` the last.

    `conditions` are what it is given, by name, and `chain` the number of latent times, None if the recipe
    leaves it open.
    """

    folder: Path
    recipe: dict[str, Any]
    shape: tuple[int, ...]
    levels: int | None
    conditions: dict[str, Any]
    train: int
    test: int
    parameters: int
    step: int
    kept: int
    chain: int | None


def read_overview(folder: Path) -> Overview:
    """The overview of the run in this folder. Raises FileNotFoundError or ValueError, naming the file."""
    facts = read_facts(folder)
    newest = latest(folder / "checkpoints")
    state = read_json(newest / "state.json", {"step": 1, "watch": ({"best": 1}, None)})
    recipe = _recipe(folder / "recipe.yaml")
    used = "best.safetensors" if state["watch"] else "average.safetensors"
    verify(newest, only=(used, "state.json"))
    return Overview(
        folder=folder,
        recipe=recipe,
        shape=tuple(facts["shape"]),
        levels=facts["levels"],
        conditions=facts["conditions"],
        train=facts["examples"]["train"],
        test=facts["examples"]["test"],
        parameters=_values(newest / used),
        step=state["step"],
        kept=state["watch"]["best"] if state["watch"] else state["step"],
        chain=_chain(recipe.get("grid")),
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """run.json: what the data were. Raises FileNotFoundError or ValueError."""
    enclosure.enclose(folder)
    path = folder / "run.json"
    try:
        facts = read_json(path, {"format": 1})
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{folder}: no run here (it has no run.json)") from error
    if facts["format"] != FORMAT:
        raise ValueError(f"{path}: format {facts['format']!r}, this version reads {FORMAT}")
    try:
        check(facts, FACTS)
        if not facts["shape"] or min(facts["shape"]) < 1 or len(facts["shades"]) != 2:
            raise ValueError("'shape' or 'shades' has not the numbers it should have")
    except ValueError as error:
        raise ValueError(f"{path}: damaged, {error}") from error
    assert isinstance(facts, dict)
    return facts


def _recipe(path: Path) -> dict[str, Any]:
    try:
        node = yaml.safe_load(read_bytes(path, LARGEST))
        check(node, {})
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: damaged, {' '.join(str(error).split())}") from error
    assert isinstance(node, dict)
    return node


def _chain(grid: Any) -> int | None:
    steps = grid.get("keep", grid.get("steps")) if isinstance(grid, dict) else None
    return steps if isinstance(steps, int) else None


def _values(path: Path) -> int:
    """How many numbers a safetensors file has: its header, JSON, says so."""
    with reading(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > LARGEST:
            raise ValueError(f"{path}: damaged, a header of {size:,} bytes")
        header = parsed(file.read(size), {}, str(path))
    shapes = [each["shape"] for name, each in header.items() if name != "__metadata__"]
    return sum(math.prod(shape) for shape in shapes)
