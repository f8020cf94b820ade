"""A pipeline's folder on the disk, as diffusers saves it: JSON and safetensors, nothing else is opened.

    model_index.json
    unet/config.json  unet/diffusion_pytorch_model.safetensors
    scheduler/scheduler_config.json

The first models of the hub have the files of the parts beside model_index.json. No link out of the folder is
followed, and no size is believed before it is checked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from undiffuse import tensorfile
from undiffuse.files import folder, sync, write_json
from undiffuse.interop.layers import renamed

INDEX, WEIGHTS = "model_index.json", "diffusion_pytorch_model.safetensors"
VERSION = "0.35.0"  # whose files these are
LARGEST = 2**20  # bytes of a JSON file
PIPELINES = ("DDPMPipeline", "DDIMPipeline")
DTYPES = ("F32", "F16", "BF16")
REMEDY = "in diffusers, save_pretrained(FOLDER, safe_serialization=True) writes one safetensors file"


@dataclass(frozen=True)
class Pipeline:
    """What a folder holds: both configs as they stand, and where the weights are."""

    path: Path
    unet: dict[str, Any]
    scheduler: dict[str, Any]
    weights: Path


def read(path: Path) -> Pipeline:
    """The pipeline in this folder, weights unread. Raises FileNotFoundError or ValueError naming the file."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no folder here; give one with {INDEX} in it")
    index = _json(path, INDEX)
    if index.get("_class_name") not in PIPELINES:
        raise ValueError(
            f"{path / INDEX}: {index.get('_class_name')!r}: only {' and '.join(PIPELINES)} are read"
        )
    for name, value in index.items():
        if not name.startswith("_") and name not in ("unet", "scheduler") and value != [None, None]:
            raise ValueError(f"{path / INDEX}: {str(name)[:60]!r}: only a unet and a scheduler are read")
    unet, scheduler = (name if (path / name).is_dir() else "." for name in ("unet", "scheduler"))
    config = _json(path, f"{unet}/config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise ValueError(f"unet: {config.get('_class_name')!r}: only UNet2DModel is read")
    return Pipeline(path, config, _json(path, f"{scheduler}/scheduler_config.json"), _weights(path, unet))


def load(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float32, by their present names; exactly those `wanted`, in their shapes.

    Raises ValueError naming the first that is missing, too many, or of another shape or type.
    """
    with tensorfile.checked(path) as file:
        names = {renamed(name): name for name in file.keys()}  # noqa: SIM118 - no mapping
        _check_names(path, set(names), set(wanted))
        for name, there in names.items():
            view = file.get_slice(there)
            found, shape = tuple(view.get_shape()), tuple(wanted[name].shape)
            if found != shape or view.get_dtype() not in DTYPES:
                raise ValueError(
                    f"{path}: {there} is {view.get_dtype()} {found}, config.json asks for F32 {shape}"
                )
        return {name: file.get_tensor(there).float() for name, there in names.items()}


def write(path: Path, unet: dict[str, Any], scheduler: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
    """The folder, complete or not at all. Raises FileExistsError if it is in use."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path}: not an empty folder; choose another")
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in weights.items()
    }
    version = {"_diffusers_version": VERSION}
    with folder(path) as temporary:
        for name in ("unet", "scheduler"):
            (temporary / name).mkdir()
        save_file(tensors, temporary / "unet" / WEIGHTS, metadata={"format": "pt"})
        sync(temporary / "unet" / WEIGHTS)
        write_json(temporary / "unet" / "config.json", version | unet)
        write_json(temporary / "scheduler" / "scheduler_config.json", version | scheduler)
        parts = {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
        write_json(temporary / INDEX, {"_class_name": "DDPMPipeline", **version, **parts})


def _json(root: Path, name: str) -> dict[str, Any]:
    """A JSON object of bounded size."""
    path = _inside(root, name)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; a diffusers pipeline has it")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; settings are at most {LARGEST:,}")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f'{path}: keys and values are needed, such as {{"_class_name": ...}}')
    return value


def _weights(root: Path, unet: str) -> Path:
    """The safetensors file. Other weights are refused, never opened."""
    path = _inside(root, f"{unet}/{WEIGHTS}")
    if path.is_file():
        return path
    others = sorted(p.name for p in path.parent.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if others:
        raise ValueError(f"{path.parent / others[0]}: pickled weights are not opened; {REMEDY}")
    raise FileNotFoundError(f"{path}: missing; {REMEDY}")


def _inside(root: Path, name: str) -> Path:
    """The path, which must not lead out of the folder."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{path}: leads out of the folder; copy its files here, without links")
    return path


def _check_names(path: Path, found: set[str], wanted: set[str]) -> None:
    for names, what in ((wanted - found, "is missing"), (found - wanted, "has no place in the network")):
        if names:
            raise ValueError(f"{path}: {min(names)[:120]} {what} of config.json")
