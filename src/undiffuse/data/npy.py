"""Reading .npy and .npz without trusting them.

``numpy.load`` believes the header: a file of 128 bytes can ask for 32 GiB. Here the header is
matched against a pattern (nothing is evaluated, objects are never unpickled) and its shape must
account for the bytes of the file exactly, before an array is made.
"""

import math
import mmap
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from undiffuse.data.files import check_expansion, existing, read_exactly
from undiffuse.files import reading

MAGIC = b"\x93NUMPY"
HEADER_LIMIT = 10_000
NPZ_LIMIT = 2**33  # bytes of all arrays together
MAX_NDIM = 8
DTYPES = ("b1", "u1", "u2", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
# Three entries in any order. Possessive quantifiers: a hostile header cannot make it backtrack.
ENTRY = (
    rb"'(descr|fortran_order|shape)'\s*+:\s*+"
    rb"('[^']{1,9}'|True|False|\((?:\s*+\d{1,18}L?\s*+,)*+(?:\s*+\d{1,18}L?)?+\s*+\))[\s,]*+"
)
HEADER = re.compile(rb"\s*+\{\s*+(?:" + ENTRY + rb"){3}\}\s*+")
# What zipfile raises on archives that are damaged, encrypted or compressed in other ways.
DAMAGE = (
    OSError,
    UnicodeDecodeError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    RuntimeError,
)
WHAT = "an .npy or .npz file"


def read_npy(path: str | Path, scattered: bool = False) -> NDArray[Any]:
    """The array in an .npy file, mapped into memory read-only: nothing is read until it is used.

    With `scattered`, the system reads the pages that are used and none beyond them, where it can be told.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is not a plain array of numbers, or not exactly as long as it says.
    """
    path = existing(path, WHAT)
    with reading(path) as stream:
        dtype, shape, fortran = _header(stream, os.fstat(stream.fileno()).st_size, str(path))
        array = np.memmap(stream, dtype, "r", stream.tell(), shape, "F" if fortran else "C")
    if scattered and hasattr(mmap, "MADV_RANDOM"):
        cast(mmap.mmap, array.base).madvise(mmap.MADV_RANDOM)
    return array


def npz_names(path: str | Path) -> tuple[str, ...]:
    """Names of the arrays in an .npz file.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is not a zip file, or would expand to too much.
    """
    path = existing(path, WHAT)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except DAMAGE as error:
        raise ValueError(f"{path} is not an .npz file ({error})") from error
    check_expansion(path, sum(member.file_size for member in members), NPZ_LIMIT)
    names = [member.filename for member in members]
    return tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def read_npz(path: str | Path, name: str) -> NDArray[Any]:
    """One array of an .npz file.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is damaged, would expand to too much, or the array is not one of plain
            numbers.
    """
    path = existing(path, WHAT)
    if name not in npz_names(path):
        raise ValueError(f"{path} has no array {name!r}; it has {npz_names(path)}")
    try:
        with zipfile.ZipFile(path) as archive:
            return _member(archive, f"{name}.npy", path)
    except DAMAGE as error:
        raise ValueError(f"{path}: array {name!r} cannot be read ({error})") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{path}: {name!r} is compressed in a way that .npz files are not")
    with archive.open(info) as stream:
        dtype, shape, fortran = _header(stream, info.file_size, f"{path}: {name!r}")
        # Reading the last byte makes zipfile compare the checksum.
        data = read_exactly(stream, math.prod(shape) * dtype.itemsize, path)
    return data.view(dtype).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes], size: int, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """dtype, shape and Fortran order of an array of `size` bytes; leaves the stream at its data."""
    entries = _entries(stream, where)
    dtype = _dtype(entries["descr"], where)
    shape = tuple(int(n) for n in re.findall(r"\d+", entries["shape"]))
    left = size - stream.tell()
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(
            f"{where} says it holds {shape} values of {dtype.itemsize} byte(s), but {left:,} bytes "
            f"follow its header: it is damaged or cut short"
        )
    if not 1 <= len(shape) <= MAX_NDIM or not left:
        raise ValueError(f"{where} has shape {shape}; give 1 to {MAX_NDIM} dimensions, none of them empty")
    return dtype, shape, entries["fortran_order"] == "True"


def _entries(stream: IO[bytes], where: str) -> dict[str, str]:
    """The dictionary in an .npy header; versions differ in how many bytes give its length."""
    start = stream.read(8)
    if start[:6] != MAGIC or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError(f"{where} is not an .npy file of version 1 to 3: it starts with {start!r}")
    length = int.from_bytes(stream.read(2 if start[6] == 1 else 4), "little")
    if length > HEADER_LIMIT:
        raise ValueError(f"{where} has a header of {length:,} bytes; the limit is {HEADER_LIMIT:,}")
    text = stream.read(length)
    entries = {key.decode(): value.decode("latin-1") for key, value in re.findall(ENTRY, text)}
    kinds = {"descr": "'", "fortran_order": "TF", "shape": "("}
    if not HEADER.fullmatch(text) or any(entries.get(k, "?")[0] not in v for k, v in kinds.items()):
        raise ValueError(
            f"{where} has a header that no plain array has: {text[:80]!r}; structured arrays are "
            f"not read, save each field as an array of its own"
        )
    return entries


def _dtype(descr: str, where: str) -> np.dtype[Any]:
    code = descr.strip("'")
    if "O" in code:
        raise ValueError(
            f"{where} holds Python objects, which are never unpickled; convert it to numbers "
            f"first, e.g. np.stack(list(array)), and save it again"
        )
    if code.lstrip("<>|=") not in DTYPES or len(code) > 3:
        raise ValueError(f"{where} holds values of type {code!r}; numbers must be {', '.join(DTYPES)}")
    return np.dtype(code)
