"""Checkpoints: one folder each, weights in safetensors, everything else in JSON; no code, no pickle.

    step-00001000/  weights.safetensors  average.safetensors  optimizer.safetensors  best.safetensors
                    state.json  MANIFEST.json

best.safetensors has the averaged weights that did best on examples that are watched while training, and is
empty where none are.

The manifest is written last: size and SHA-256 of every other file, where the checkpoint comes from, and a
seal over all of that. A checkpoint is loaded only if every byte agrees. There is no random state to save:
every draw is keyed by the step (`undiffuse.random`).
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import enclosure, tensorfile
from undiffuse.files import atomic, folder, reading, remove, sweep, write_json
from undiffuse.jsonfile import check, intact, read_json
from undiffuse.manifest import FILES, FORMAT, GROUPS, MANIFEST, seal  # and, for who deals with checkpoints:
from undiffuse.manifest import FormatError as FormatError
from undiffuse.manifest import latest as latest
from undiffuse.manifest import path_of as path_of
from undiffuse.manifest import sha256 as sha256
from undiffuse.manifest import step_of as step_of
from undiffuse.manifest import steps as steps
from undiffuse.manifest import verify as verify
from undiffuse.training.gate import first_bad

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A training run at one step; `origin` goes into the manifest: recipe, data, numerics."""

    step: int
    weights: Tensors
    average: Tensors
    optimizer: Tensors
    state: dict[str, Any]
    origin: dict[str, Any] = field(default_factory=dict)
    best: Tensors = field(default_factory=dict)


def save(root: Path, checkpoint: Checkpoint, keep: int, held: int | None = None) -> Path:
    """Write step-N under `root`, then remove all but the newest `keep` and that of step `held`.

    The one just written always stays.

    Raises ValueError if a tensor is not finite, WriteError if the disk is full or fails.
    """
    path = path_of(root, checkpoint.step)
    groups = {name: getattr(checkpoint, name) for name in GROUPS}
    bad = first_bad(groups)
    if bad:
        raise ValueError(f"{bad} is not finite; nothing was saved")
    if path in steps(root):
        return path
    with folder(path) as temporary:
        _write(temporary, checkpoint, groups)
    for old in steps(root)[:-keep]:
        if step_of(old) != held:
            remove(old)
    return path


def _write(path: Path, checkpoint: Checkpoint, groups: Mapping[str, Tensors]) -> None:
    hashes = {}
    for name, tensors in groups.items():
        hashes[f"{name}.safetensors"] = tensorfile.write(path / f"{name}.safetensors", tensors)
    write_json(path / "state.json", {"step": checkpoint.step, **checkpoint.state})
    hashes["state.json"] = sha256(path / "state.json")
    files = {name: {"bytes": (path / name).stat().st_size, "sha256": h} for name, h in hashes.items()}
    manifest = {"format": FORMAT, "step": checkpoint.step, "files": files, **checkpoint.origin}
    write_json(path / MANIFEST, manifest | {"seal": seal(manifest)})


def pin(path: Path, root: Path) -> Path:
    """The checkpoint a second time, under `root`, which no pruning touches; one that is there stays.

    Its files are the same on the disk, linked, where that can be, and copies elsewhere. Raises
    FileNotFoundError if it has been pruned, WriteError if it cannot be written.
    """
    pinned = path_of(root, step_of(path))
    if pinned in steps(root):
        return pinned
    if path not in steps(path.parent):
        raise FileNotFoundError(f"{path}: gone, a newer checkpoint took its place; try again")
    sweep(root)
    with folder(pinned) as temporary, enclosure.place(path) as here, enclosure.place(temporary) as there:
        for name in (*FILES, MANIFEST):
            try:
                here.link(name, there)
            except OSError:
                with reading(path / name) as old, atomic(temporary / name) as new:
                    shutil.copyfileobj(old, new)
    return pinned


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """The checkpoint in this folder, verified. Raises ValueError if it is damaged, or not finite."""
    manifest = verify(path)
    state = read_json(path / "state.json", {"step": 1})
    if state["step"] != manifest["step"]:
        raise ValueError(f"{path / 'state.json'}: damaged, it is of step {state['step']:,}")
    groups = {name: _load(path, name, device) for name in GROUPS}
    bad = first_bad(groups)
    if bad:
        raise ValueError(f"{path}: {bad} is not finite")
    origin = {key: value for key, value in manifest.items() if key not in ("format", "step", "files", "seal")}
    return Checkpoint(state["step"], state=state, origin=origin, **groups)


def load_best(path: Path, device: torch.device | str = "cpu") -> tuple[Tensors, int]:
    """The weights to be used, verified, and the step they are of: the best seen, or the averaged ones."""
    verify(path, only=("average.safetensors", "best.safetensors", "state.json"))
    state = read_json(path / "state.json", {"step": 1})
    watch = state.get("watch")
    if watch is None:
        return _load(path, "average", device), state["step"]
    with intact(path / "state.json"):
        check(watch, {"best": 1})
        return _load(path, "best", device), watch["best"]


def _load(path: Path, name: str, device: torch.device | str) -> Tensors:
    return tensorfile.read(path / f"{name}.safetensors", device)
