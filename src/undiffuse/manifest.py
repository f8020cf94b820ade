"""Checkpoints on disk: their folders by step, and the manifest that every byte of them is checked against.

    checkpoints/step-00000100/  weights, average, best, optimizer .safetensors  state.json  MANIFEST.json

Without PyTorch, so that a run's folder can be looked at in no time.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from undiffuse import enclosure
from undiffuse.enclosure import LinkError
from undiffuse.files import read_bytes, reading
from undiffuse.jsonfile import LARGEST, check, parsed

FORMAT = 3
GROUPS = ("weights", "average", "optimizer", "best")
FILES = (*(f"{group}.safetensors" for group in GROUPS), "state.json")
MANIFEST = "MANIFEST.json"
STEP = re.compile("step-[0-9]{1,18}")
LIKE = {"step": 1, "files": {name: {"bytes": 1, "sha256": ""} for name in FILES}}  # a manifest


class FormatError(ValueError):
    """A checkpoint of another version: whole, but not for this one."""


def path_of(root: Path, step: int) -> Path:
    """The folder of that step's checkpoint."""
    return root / f"step-{step:08d}"


def steps(root: Path) -> list[Path]:
    """The checkpoints under `root`, by step. Raises LinkError if one of them is a link."""
    named = [name for name in enclosure.names(root) if STEP.fullmatch(name)]
    if not named:
        return []
    with enclosure.place(root) as here:
        for name in filter(here.is_link, named):
            raise LinkError(f"{root / name}: a link; {enclosure.REMEDY}")
        found = [root / name for name in named if here.is_folder(name)]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


def latest(root: Path) -> Path:
    """The newest checkpoint under `root`. Raises FileNotFoundError if there is none."""
    found = steps(root)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {root}: has this run reached its first one?")
    return found[-1]


def verify(path: Path, only: tuple[str, ...] = FILES) -> dict[str, Any]:
    """The manifest. Raises ValueError naming the first file that is not what it says."""
    manifest = _manifest(path)
    if manifest["step"] != step_of(path):
        raise ValueError(f"{path / MANIFEST}: of step {manifest['step']:,}, its folder has another name")
    for name in only:
        _verify_file(path / name, manifest["files"][name])
    if only is FILES:
        more = {*enclosure.names(path)} - {*FILES, MANIFEST}
        if more:
            raise ValueError(f"{path / min(more)}: not a file of a checkpoint")
    return manifest


def _verify_file(file: Path, said: Mapping[str, Any]) -> None:
    try:
        with reading(file) as handle:
            size = os.fstat(handle.fileno()).st_size
        found = sha256(file)
    except OSError as error:
        raise ValueError(f"{file}: damaged or missing: {error.strerror}") from error
    if size != said["bytes"]:
        raise ValueError(f"{file}: damaged or missing, it should have {said['bytes']:,} bytes")
    if found != said["sha256"]:
        raise ValueError(f"{file}: damaged, its SHA-256 is {found[:12]}.., not {said['sha256'][:12]}..")


def _manifest(path: Path) -> dict[str, Any]:
    """MANIFEST.json, every byte as it was written. Raises FormatError for another version's."""
    file = path / MANIFEST
    try:
        text = read_bytes(file, LARGEST)
        manifest = parsed(text, {}, str(file))
    except LinkError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: damaged or missing, it cannot be read") from error
    said = manifest.pop("seal", None)
    whole = text == (json.dumps(manifest | {"seal": said}, indent=2) + "\n").encode()
    if set(manifest) != {"sha256"} and not (whole and said == seal(manifest)):  # what version 1 wrote
        raise ValueError(f"{file}: damaged, its seal does not fit")
    if manifest.get("format") != FORMAT:
        found = manifest.get("format", 1)
        raise FormatError(f"{path}: checkpoint format {found!r}, this version reads {FORMAT}")
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(FILES):
        raise ValueError(f"{file}: lists other files than a checkpoint has")
    try:
        check(manifest, LIKE)
    except ValueError as error:
        raise ValueError(f"{file}: damaged, {error}") from error
    return dict(manifest)


def seal(manifest: Mapping[str, Any]) -> str:
    """What a manifest ends with, so that none of its bytes can be another."""
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()


def sha256(file: Path) -> str:
    """Of a file's bytes, in hex."""
    with reading(file) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
