"""Writing so that a reader, or a crash, never meets half a file.

Bytes go to a temporary name in the same folder; once they are on the disk they take the name in one
step, and the folder's entry is flushed too. If writing fails, what was there stays, and the error says how
many bytes were needed and how many are free. Every call that can fail goes through this module's `os`.
"""

import csv
import errno
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast


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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, raw = _temporary(path), None
    try:
        raw = _Raw(temporary, "xb", opener=_opened)
        with io.BufferedWriter(raw) as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - one place for every call that can fail
        _flush(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise WriteError(path, raw.asked if raw else 0, error) from error
        raise


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A folder to fill with files; it takes its name when all of them are on the disk.

    Raises WriteError if the disk is full or fails.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(temporary)  # noqa: PTH102
        yield temporary
        for file in temporary.iterdir():
            _flush(file)
        _flush(temporary)
        os.rename(temporary, path)  # noqa: PTH104
        _flush(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise WriteError(path, 0, error) from error
        raise


def remove(path: Path) -> None:
    """Remove a folder; one that is left half removed has another name, and `sweep` finds it.

    Raises WriteError if it cannot be renamed.
    """
    doomed = path.with_name(f".del-{path.name}")
    try:
        os.rename(path, doomed)  # noqa: PTH104
        _flush(path.parent)
    except OSError as error:
        raise WriteError(path, 0, error) from error
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(path: Path) -> None:
    """Remove what earlier processes left half written or half removed in this folder."""
    for leftover in [*path.glob(".*.tmp"), *path.glob(".del-*")]:
        if leftover.name.startswith(".del-") or _writer_is_gone(leftover):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def append(path: Path, text: str) -> None:
    """Add text to a file; after a crash its last line may be cut off. Raises WriteError."""
    raw = None
    try:
        with (raw := _Raw(path, "ab", opener=_opened)) as file:
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


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk. Raises WriteError."""
    try:
        _flush(path)
    except OSError as error:
        raise WriteError(path, path.stat().st_size, error) from error


def is_read_only(error: OSError) -> bool:
    """Whether the error says that nothing may be written there, whatever the space that is left."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def _flush(path: Path) -> None:
    """Where folders cannot be opened (Windows), the system keeps their entries; files are opened to write."""
    folders = hasattr(os, "O_DIRECTORY")
    if not folders and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if folders else os.O_RDWR)
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


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, 0o666)


def _temporary(path: Path) -> Path:
    """A name beside `path` that no listing takes for a finished file, with the writer's process in it."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _writer_is_gone(leftover: Path) -> bool:
    pid = leftover.name.split(".")[-2].partition("-")[0]
    if not pid.isdecimal() or int(pid) in (0, os.getpid()):
        return True
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return False
    try:
        os.kill(int(pid), 0)  # asks only
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _free(path: Path) -> int:
    """Bytes that are free where the path would be."""
    parent = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
    return shutil.disk_usage(parent).free
