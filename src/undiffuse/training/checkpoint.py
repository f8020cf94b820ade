"""Checkpoints: one folder each, weights in safetensors, everything else in JSON; no code, no pickle.

    step-00001000/  weights.safetensors  average.safetensors  optimizer.safetensors  state.json  MANIFEST.json

The manifest is written last and holds the SHA-256 of every other file; a checkpoint is loaded only if all
of them agree. There is no random state to save: every draw is keyed by the step (`undiffuse.random`).
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from undiffuse.files import folder, write_json

FORMAT = 1
GROUPS = ("weights", "average", "optimizer")
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A training run at one step."""

    step: int
    weights: Tensors
    average: Tensors
    optimizer: Tensors
    state: dict[str, Any]


def save(root: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write step-N under `root` and remove all but the newest `keep`; never the one just written.

    Raises ValueError if a tensor is not finite.
    """
    path = root / f"step-{checkpoint.step:08d}"
    groups = {name: getattr(checkpoint, name) for name in GROUPS}
    _check_finite(groups)
    if path.exists():
        return path
    with folder(path) as temporary:
        for name, tensors in groups.items():
            save_file(_plain(tensors), temporary / f"{name}.safetensors")
        state = {"format": FORMAT, "step": checkpoint.step, **checkpoint.state}
        write_json(temporary / "state.json", state)
        hashes = {file.name: _sha256(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / "MANIFEST.json", {"sha256": hashes})
    for old in steps(root)[:-keep]:
        shutil.rmtree(old)
    return path


def steps(root: Path) -> list[Path]:
    """The checkpoints under `root`, by step."""
    found = {p.name.removeprefix("step-"): p for p in root.glob("step-*") if p.is_dir()}
    return [found[name] for name in sorted(filter(str.isdecimal, found), key=int)]


def latest(root: Path) -> Path:
    """The newest checkpoint under `root`. Raises FileNotFoundError if there is none."""
    found = steps(root)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {root}: has this run reached its first one?")
    return found[-1]


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """The checkpoint in this folder, verified. Raises ValueError if it is damaged."""
    verify(path)
    state = _load_state(path)
    groups = {name: _load(path, name, device) for name in GROUPS}
    return Checkpoint(step=state["step"], state=state, **groups)


def load_average(path: Path, device: torch.device | str = "cpu") -> Tensors:
    """Only the averaged weights, verified."""
    verify(path, only=("average.safetensors", "state.json"))
    _load_state(path)
    return _load(path, "average", device)


def verify(path: Path, only: tuple[str, ...] | None = None) -> None:
    """Raise ValueError naming the first file that is not what the manifest says."""
    try:
        hashes = dict(json.loads((path / "MANIFEST.json").read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged checkpoint, its MANIFEST.json cannot be read") from error
    for name in (*(f"{group}.safetensors" for group in GROUPS), "state.json"):
        hashes.setdefault(name, None)
    for name, expected in hashes.items():
        if only is None or name in only:
            file = path / name
            if not file.is_file() or _sha256(file) != expected:
                raise ValueError(f"{file}: damaged or missing, its SHA-256 is not the manifest's")


def _load_state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((path / "state.json").read_text())
    if state.get("format") != FORMAT:
        raise ValueError(f"{path}: checkpoint format {state.get('format')!r}, this version reads {FORMAT}")
    return state


def _load(path: Path, name: str, device: torch.device | str) -> Tensors:
    try:
        return load_file(path / f"{name}.safetensors", device=str(device))
    except SafetensorError as error:
        raise ValueError(f"{path / name}.safetensors: not a safetensors file ({error})") from error


def _plain(tensors: Tensors) -> Tensors:
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}


def _check_finite(groups: dict[str, Tensors]) -> None:
    for group, tensors in groups.items():
        for name, t in tensors.items():
            if t.is_floating_point() and not bool(t.isfinite().all()):
                raise ValueError(f"{group}: {name} is not finite; nothing was saved")


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
