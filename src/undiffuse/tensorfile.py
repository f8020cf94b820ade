"""Tensors in files: safetensors, written and hashed in one pass, and checked before anything is allocated.

A file is 8 bytes of length, a JSON header `name -> {dtype, shape, data_offsets}`, and the bytes of all
tensors without holes. Whoever reads one knows from the header how much memory it will take: it must be what
the file holds, within `HEADER`, `TENSORS` and `ELEMENTS`.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader, FileIO
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse.enclosure import opened
from undiffuse.files import WriteError, reading

HEADER = 2**20  # bytes
TENSORS = 4096
ELEMENTS = 2**31  # of all tensors together
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
DTYPES = {code: dtype for dtype, code in CODES.items()}
SIZES = {code: dtype.itemsize for code, dtype in DTYPES.items()}


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
    """All tensors of a file, which is opened once. Raises ValueError naming the file and what is wrong."""
    with reading(path) as file:
        return {name: _tensor(path, file, entry).to(device) for name, entry in _checked(path, file)}


def check(path: Path) -> None:
    """Raise ValueError unless the header is within the limits and accounts for every byte of the file."""
    with reading(path) as file:
        _checked(path, file)


def _checked(path: Path, file: "BufferedReader[FileIO]") -> list[tuple[str, Any]]:
    """The header's entries in the order of their bytes, which come next in the file."""
    total, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(HEADER, total - 8):
        raise _damaged(path, f"a header of {length:,} bytes, they have 2 to {HEADER:,}")
    entries = _entries(path, file.read(length))
    if len(entries) > TENSORS:
        raise _damaged(path, f"{len(entries):,} tensors, at most {TENSORS:,} are read")
    spans = {name: _span(path, name, entry) for name, entry in entries.items()}
    names = sorted(entries, key=lambda name: spans[name])
    ends = [0, *(spans[name][1] for name in names)]
    if [spans[name][0] for name in names] != ends[:-1] or ends[-1] != total - 8 - length:
        raise _damaged(path, "its tensors do not fill it without holes or overlap")
    return [(name, entries[name]) for name in names]


def _tensor(path: Path, file: "BufferedReader[FileIO]", entry: Any) -> Tensor:
    """The next tensor of the file."""
    tensor = torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]])
    if file.readinto(_bytes(tensor)) != tensor.nbytes:
        raise _damaged(path, "it has become shorter")
    return tensor


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


def _entries(path: Path, text: bytes) -> dict[str, Any]:
    """The header without its metadata; no name may stand twice."""
    try:
        pairs = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read: {error}") from error
    if not isinstance(pairs, dict):
        raise _damaged(path, "its header is no mapping")
    return {name: entry for name, entry in pairs.items() if name != "__metadata__"}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _span(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """Where the tensor's bytes begin and end; they must be what its shape and dtype take."""
    try:
        size, shape, (begin, end) = SIZES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{name[:60]!r} has no dtype, shape and offsets that are read") from error
    if not whole or len(shape) > 16 or math.prod(shape) > ELEMENTS:
        raise _damaged(path, f"{name[:60]!r} has more than {ELEMENTS:,} elements, or no shape")
    if end - begin != math.prod(shape) * size:
        raise _damaged(path, f"{name[:60]!r} does not have the bytes of its shape")
    return begin, end


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path}: not a safetensors file that is read here: {why}")
