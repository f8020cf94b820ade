"""Checkpoints: one folder each, weights in safetensors, everything else in JSON; no code, no pickle.

    step-00001000/  weights.safetensors  average.safetensors  optimizer.safetensors  state.json  MANIFEST.json

The manifest is written last: size and SHA-256 of every other file, where the checkpoint comes from, and a
seal over all of that. A checkpoint is loaded only if every byte agrees. There is no random state to save:
every draw is keyed by the step (`undiffuse.random`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import tensorfile
from undiffuse.files import folder, remove, sweep, write_json
from undiffuse.training.gate import first_bad

FORMAT = 2
GROUPS = ("weights", "average", "optimizer")
FILES = (*(f"{group}.safetensors" for group in GROUPS), "state.json")
MANIFEST = "MANIFEST.json"
LARGEST = 2**22  # bytes of a JSON file: the times' history is the longest
Tensors = dict[str, Tensor]


class FormatError(ValueError):
    """A checkpoint of another version: whole, but not for this one."""


@dataclass(frozen=True)
class Checkpoint:
    """A training run at one step; `origin` goes into the manifest: recipe, data, numerics."""

    step: int
    weights: Tensors
    average: Tensors
    optimizer: Tensors
    state: dict[str, Any]
    origin: dict[str, Any] = field(default_factory=dict)


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
    if path.exists():
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
    hashes["state.json"] = _sha256(path / "state.json")
    files = {name: {"bytes": (path / name).stat().st_size, "sha256": h} for name, h in hashes.items()}
    manifest = {"format": FORMAT, "step": checkpoint.step, "files": files, **checkpoint.origin}
    write_json(path / MANIFEST, manifest | {"seal": _seal(manifest)})


def pin(path: Path, root: Path) -> Path:
    """The checkpoint a second time, under `root`, which no pruning touches; one that is there stays.

    Its files are the same on the disk, linked, where that can be, and copies elsewhere. Raises
    FileNotFoundError if it has been pruned, WriteError if it cannot be written.
    """
    pinned = path_of(root, step_of(path))
    if pinned.is_dir():
        return pinned
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: gone, a newer checkpoint took its place; try again")
    sweep(root)
    with folder(pinned) as temporary:
        for name in (*FILES, MANIFEST):
            try:
                os.link(path / name, temporary / name, follow_symlinks=False)
            except OSError:
                shutil.copyfile(path / name, temporary / name, follow_symlinks=False)
    return pinned


def path_of(root: Path, step: int) -> Path:
    """The folder of that step's checkpoint."""
    return root / f"step-{step:08d}"


def steps(root: Path) -> list[Path]:
    """The checkpoints under `root`, by step."""
    found = {p.name.removeprefix("step-"): p for p in root.glob("step-*") if p.is_dir()}
    return [found[name] for name in sorted(filter(str.isdecimal, found), key=int)]


def step_of(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


def latest(root: Path) -> Path:
    """The newest checkpoint under `root`. Raises FileNotFoundError if there is none."""
    found = steps(root)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {root}: has this run reached its first one?")
    return found[-1]


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """The checkpoint in this folder, verified. Raises ValueError if it is damaged, or not finite."""
    manifest = verify(path)
    state = json.loads((path / "state.json").read_text())
    weights, average, optimizer = (_load(path, name, device) for name in GROUPS)
    bad = first_bad({"weights": weights, "average": average, "optimizer": optimizer})
    if bad:
        raise ValueError(f"{path}: {bad} is not finite")
    origin = {key: value for key, value in manifest.items() if key not in ("format", "step", "files", "seal")}
    return Checkpoint(state["step"], weights, average, optimizer, state, origin)


def load_average(path: Path, device: torch.device | str = "cpu") -> Tensors:
    """Only the averaged weights, verified."""
    verify(path, only=("average.safetensors", "state.json"))
    return _load(path, "average", device)


def verify(path: Path, only: tuple[str, ...] = FILES) -> dict[str, Any]:
    """The manifest. Raises ValueError naming the first file that is not what it says."""
    manifest = _manifest(path)
    for name in only:
        file, said = path / name, manifest["files"][name]
        if not file.is_file() or file.stat().st_size != said["bytes"]:
            raise ValueError(f"{file}: damaged or missing, it should have {said['bytes']:,} bytes")
        found = _sha256(file)
        if found != said["sha256"]:
            raise ValueError(f"{file}: damaged, its SHA-256 is {found[:12]}.., not {said['sha256'][:12]}..")
    if only is FILES:
        more = {file.name for file in path.iterdir()} - {*FILES, MANIFEST}
        if more:
            raise ValueError(f"{path / min(more)}: not a file of a checkpoint")
    return manifest


def _manifest(path: Path) -> dict[str, Any]:
    """MANIFEST.json, every byte as it was written. Raises FormatError for another version's."""
    file = path / MANIFEST
    try:
        text = file.read_text() if file.stat().st_size <= LARGEST else ""
        manifest = json.loads(text)
        seal = manifest.pop("seal") if set(manifest) != {"sha256"} else ""  # what version 1 wrote
        whole = text == json.dumps(manifest | {"seal": seal}, indent=2) + "\n" and seal == _seal(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file}: damaged or missing, it cannot be read") from error
    if seal and not whole:
        raise ValueError(f"{file}: damaged, its seal does not fit")
    if manifest.get("format") != FORMAT:
        found = manifest.get("format", 1)
        raise FormatError(f"{path}: checkpoint format {found!r}, this version reads {FORMAT}")
    if set(manifest["files"]) != set(FILES):
        raise ValueError(f"{file}: lists other files than a checkpoint has")
    return dict(manifest)


def _seal(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()


def _load(path: Path, name: str, device: torch.device | str) -> Tensors:
    return tensorfile.read(path / f"{name}.safetensors", device)


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
