"""Reading .npy and .npz without trusting them.

numpy reads the header, which it never runs; objects are not unpickled. `numpy.load` would believe it: a file
of 128 bytes can ask for 32 GiB. Here its shape must account for the bytes of the file exactly, before an
array is made, and the file is opened by us, through no link below an enclosed folder.
"""

import io
import math
import mmap
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from undiffuse.data.files import check_expansion, existing, read_exactly
from undiffuse.files import reading

HEAD = 10_012  # bytes that are looked at for the header; numpy reads none of more than 10,000
NPZ_LIMIT = 2**33  # bytes of all arrays together
MAX_NDIM = 8
DTYPES = ("b1", "u1", "u2", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
# The third version is for fields whose names are not Latin-1: no plain array has it.
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
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
        size = os.fstat(stream.fileno()).st_size
        dtype, shape, order, start = _header(stream.read(HEAD), size, str(path))
        array = np.memmap(stream, dtype, "r", start, shape, order)
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
    with archive.open(info) as stream:  # its last byte makes zipfile compare the checksum
        data = read_exactly(stream, info.file_size, path)
    dtype, shape, order, start = _header(data[:HEAD].tobytes(), info.file_size, f"{path}: {name!r}")
    return np.ndarray(shape, dtype, data, start, order=order)


def _header(
    head: bytes, size: int, where: str
) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"], int]:
    """dtype, shape, order and start of the data of an .npy file of `size` bytes that begins with `head`."""
    stream = io.BytesIO(head)
    try:
        version = npy.read_magic(stream)
        if version not in READERS:
            raise ValueError(f"its version is {version}, not 1 or 2")
        shape, fortran, dtype = READERS[version](stream)
    except Exception as error:  # numpy's parser raises nearly everything on damaged headers
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{where} is not an .npy file: {why}; save the array again by np.save") from error
    if dtype.kind == "O":
        raise ValueError(
            f"{where} holds Python objects, which are never unpickled; convert it to numbers "
            f"first, e.g. np.stack(list(array)), and save it again"
        )
    if dtype.str.lstrip("<>|=") not in DTYPES:
        raise ValueError(
            f"{where} holds values of type {dtype.str!r}; numbers must be {', '.join(DTYPES)}, and fields "
            f"arrays of their own"
        )
    if not 1 <= len(shape) <= MAX_NDIM or min(shape) < 1:
        raise ValueError(f"{where} has shape {shape}; give 1 to {MAX_NDIM} dimensions, none of them empty")
    left = size - stream.tell()
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(
            f"{where} says it holds {shape} values of {dtype.itemsize} byte(s), but {left:,} bytes "
            f"follow its header: it is damaged or cut short"
        )
    return dtype, shape, "F" if fortran else "C", stream.tell()
