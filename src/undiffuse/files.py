"""Writing so that a reader, or a crash, never meets half a file; and reading no more than is there.

Bytes go to a temporary name in the same folder; once they are on the disk they take the name in one
step, and the folder's entry is flushed too. If writing fails, what was there stays, and the error says how
many bytes were needed and how many are free. Below the folder of a run nothing goes through a link
(`undiffuse.enclosure`). What is half written is locked by its writer: so `sweep` knows it from leftovers.
"""

import csv
import errno
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from filelock import lock_descriptor

from undiffuse.enclosure import FROM_FOLDERS, Place, opened, place

LEFTOVER = re.compile(r"\..+\.(\d+-)?[0-9a-f]{8}\.tmp|\.del-step-\d+")


class WriteError(OSError):
    """A file that could not be written: which, why, the bytes it needed and those that are free."""

    exit_code = 74  # EX_IOERR of sysexits.h

    def __init__(self, path: Path, need: int, error: OSError) -> None:
        why = error.strerror or str(error)
        super().__init__(f"{path}: {why}: {need:,} bytes were needed, {_free(path):,} are free")
        self.errno = error.errno or errno.EIO
        self.path = path


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that appears under its name complete, or not at all; its folder is made if missing.

    Raises WriteError if the disk is full or fails.
    """
    path, raw = Path(path), None
    try:
        with place(path.parent, make=True) as here, _temporary(here, path.name) as (name, handle):
            raw = _Raw(handle, "wb")
            with io.BufferedWriter(raw) as file:
                yield cast(BinaryIO, file)
                file.flush()
                os.fsync(file.fileno())
                if FROM_FOLDERS:  # while it is one that `sweep` leaves alone
                    here.replace(name, path.name)
            if not FROM_FOLDERS:  # Windows, which renames and removes no file that is open
                here.replace(name, path.name)
            here.sync()
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, raw.asked if raw else 0, error) from error


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A folder to fill with files; it takes its name when all of them are on the disk.

    Raises WriteError if the disk is full or fails.
    """
    try:
        with place(path.parent, make=True) as here, _temporary_folder(here, path.name) as inside:
            yield inside.path
            for name in inside.names():
                _flush(inside.path / name)
            inside.sync()
            here.rename(inside.path.name, path.name)
            here.sync()
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, 0, error) from error


def remove(path: Path) -> None:
    """Remove a folder; one that is left half removed has another name, and `sweep` finds it.

    Raises WriteError if it cannot be renamed.
    """
    doomed = f".del-{path.name}"
    try:
        with place(path.parent) as here:
            here.rename(path.name, doomed)
            here.sync()
            here.remove(doomed)
    except OSError as error:
        raise WriteError(path, 0, error) from error


def sweep(path: Path, below: int = 0) -> None:
    """Remove what earlier processes left half written or half removed in this folder, and so far below it.

    What somebody is writing stays, whoever it is: it is locked.
    """
    with suppress(FileNotFoundError, NotADirectoryError), place(path) as here:
        for name in here.names():
            if LEFTOVER.fullmatch(name):
                if name.startswith(".del-") or _is_left(here, name):
                    here.remove(name)
            elif below and here.is_folder(name):
                sweep(path / name, below - 1)


def append(path: Path, text: str) -> None:
    """Add text to a file; after a crash its last line may be cut off. Raises WriteError."""
    raw = None
    try:
        handle = opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with (raw := _Raw(handle, "ab")) as file:
            file.write_all(text.encode())
    except OSError as error:
        raise WriteError(path, raw.asked if raw else 0, error) from error


def write_text(path: Path, text: str) -> None:
    """Text as UTF-8, atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[float]]) -> None:
    """A table of numbers as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def discard(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError), place(path.parent) as here:
        here.remove(path.name)


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk. Raises WriteError."""
    try:
        _flush(path)
    except OSError as error:
        raise WriteError(path, path.stat().st_size, error) from error


@contextmanager
def reading(path: str | os.PathLike[str]) -> "Iterator[io.BufferedReader[io.FileIO]]":
    """A plain file to read. Raises OSError, ValueError for a pipe or a device, which are not waited for."""
    with io.BufferedReader(io.FileIO(opened(Path(path), os.O_RDONLY), "rb")) as file:
        yield file


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a plain file. Raises OSError, ValueError for more than `most` or no plain file."""
    with reading(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{path}: larger than {most:,} bytes, which is the most that is read")
    return data


def is_read_only(error: OSError) -> bool:
    """Whether the error says that nothing may be written there, whatever the space that is left."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def _flush(path: Path) -> None:
    """Where folders cannot be opened (Windows), the system keeps their entries; files are opened to write."""
    if path.is_dir():
        with place(path) as here:
            here.sync()
        return
    handle = opened(path, os.O_RDONLY if hasattr(os, "O_DIRECTORY") else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Raw(io.FileIO):
    """An unbuffered file that knows how many bytes it was asked to hold."""

    asked = done = 0

    def write(self, data: Any) -> int:
        self.asked = max(self.asked, self.done + memoryview(data).nbytes)
        written = os.write(self.fileno(), data)
        self.done += written
        return written

    def write_all(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[self.write(view) :]


@contextmanager
def _temporary(here: Place, name: str) -> Iterator[tuple[str, int]]:
    """A new file's name, which no listing takes for a finished file, and its locked handle.

    It goes if what follows fails.
    """
    while True:
        own = _own_name(name)
        handle = here.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if _keeps(handle):
            break
        os.close(handle)
    try:
        yield own, handle
    except BaseException:
        here.remove(own)
        raise


@contextmanager
def _temporary_folder(here: Place, name: str) -> Iterator[Place]:
    """The same for a folder."""
    while True:
        own = _own_name(name)
        here.make(own)
        inside = here.inner(own, make=False)
        if inside.handle is None or _keeps(inside.handle):
            break
        inside.close()
    try:
        yield inside
    except BaseException:
        here.remove(own)
        raise
    finally:
        inside.close()


def _own_name(name: str) -> str:
    return f".{name}.{secrets.token_hex(4)}.tmp"


def _keeps(handle: int) -> bool:
    """Lock what was just made; whether no sweep was faster."""
    try:
        return lock_descriptor(handle, blocking=False) and os.fstat(handle).st_nlink > 0
    except OSError:
        return True


def _is_left(here: Place, name: str) -> bool:
    """Whether nobody writes it any longer."""
    if here.is_link(name):
        return True  # nobody writes that
    try:
        inside = here.inner(name, make=False) if here.is_folder(name) else None
        handle = here.open(name, os.O_RDWR) if inside is None else inside.handle
    except (OSError, ValueError):
        return False
    try:
        return handle is None or lock_descriptor(handle, blocking=False)
    except OSError:  # a file system that locks nothing
        return True
    finally:
        if handle is not None:
            os.close(handle)


def _free(path: Path) -> int:
    """Bytes that are free where the path would be."""
    above = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
    return shutil.disk_usage(above).free
