"""Tensors in files: safetensors, written and hashed in one pass, and checked before anything is allocated.

Reading is done by safetensors, which refuses a header that does not account for every byte of the file; here
are the limits that it does not have, and the file is opened through no link. Writing is not: it would copy
all tensors, or open the file by its path.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from undiffuse.enclosure import opened
from undiffuse.files import WriteError, reading

HEADER = 2**20  # bytes
TENSORS = 4096
ELEMENTS = 2**31  # of one tensor
CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write and flush a new file; returns its SHA-256, worked out beside the writing.

    Nothing is copied but what is not contiguous.

    Raises WriteError with the bytes that the file needs, ValueError for too many tensors.
    """
    if len(tensors) > TENSORS:
        raise ValueError(f"{path}: {len(tensors):,} tensors; a file holds at most {TENSORS:,}")
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # aligned
    head, size, digest = *_header({name: tensors[name] for name in names}), hashlib.sha256()
    try:
        handle = opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with ThreadPoolExecutor(1) as beside:
                for data in chain((memoryview(head),), (_bytes(tensors[name]) for name in names)):
                    beside.submit(digest.update, data)
                    _put(handle, data)
                os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise WriteError(path, len(head) + size, error) from error
    return digest.hexdigest()


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """All tensors of a file, in memory of their own. Raises as `checked` does."""
    with checked(path) as file:
        return {name: file.get_tensor(name).to(device, copy=True) for name in file.keys()}  # noqa: SIM118


@contextmanager
def checked(path: Path) -> Iterator[Any]:
    """The `safe_open` of a file whose header is within the limits and accounts for every byte.

    Raises OSError, ValueError naming the file and what is wrong.
    """
    with reading(path) as stream:
        length = int.from_bytes(stream.read(8), "little")
        same = Path(f"/dev/fd/{stream.fileno()}")  # this very file, whatever has its name by now
        if length > HEADER:
            raise _damaged(path, f"a header of {length:,} bytes, they have at most {HEADER:,}")
        try:
            with safe_open(same if same.exists() else path, "pt") as file:
                _check(path, file)
                yield file
        except SafetensorError as error:
            raise _damaged(path, str(error)) from error


def _check(path: Path, file: Any) -> None:
    names = file.keys()
    if len(names) > TENSORS:
        raise _damaged(path, f"{len(names):,} tensors, at most {TENSORS:,} are read")
    for name in names:
        shape, code = file.get_slice(name).get_shape(), file.get_slice(name).get_dtype()
        if code not in CODES.values() or len(shape) > 16 or math.prod(shape) > ELEMENTS:
            raise _damaged(path, f"{name[:60]!r} is {code}, or has more than {ELEMENTS:,} elements")


def _header(tensors: Mapping[str, Tensor]) -> tuple[bytes, int]:
    """The file's first bytes, and how many follow."""
    entries, end = {}, 0
    for name, t in tensors.items():
        begin, end = end, end + t.numel() * t.dtype.itemsize
        entries[name] = {"dtype": CODES[t.dtype], "shape": list(t.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, end


def _bytes(tensor: Tensor) -> memoryview:
    """The tensor's own memory, row by row."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]


def _put(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _damaged(path: Path, why: str) -> ValueError:
    why = " ".join(why.split())[:200]
    return ValueError(f"{path}: not a safetensors file that is read here: {why}")
