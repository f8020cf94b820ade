"""Folders that nothing leads out of: the files of a run are opened from its folder down, through no link.

A run may come from a stranger, with a link where a file should be; and it may be moved, or replaced, while a
process trains it. So a run's folder is enclosed (`enclose`) before anything in it is looked at. Whatever this
process then opens below it is opened name by name, each from the folder before it (`dir_fd`) and none of
them a link, so that a link which is put there meanwhile is not followed either; and before that, the folder
must be the one that the run's writer has locked, if there is one. Links on the way to it are the user's own.

Where the system cannot open a name from a folder (Windows), every name is looked at before it is opened.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Check = Callable[["Place"], None]

FROM_FOLDERS = os.open in os.supports_dir_fd
NOFOLLOW, FOLDER = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_DIRECTORY", 0)
PLAIN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # no waiting, no other ends of lines
MOVED = "no longer the folder that this process has locked: moved, or removed; nothing was written there"
REMEDY = "put a plain copy in its place, or take the run from whom you trust"

_enclosed: dict[tuple[str, ...], Check | None] = {}  # by the parts of the folder's absolute path


class LinkError(ValueError):
    """A link in an enclosed folder; it is not opened."""


class MovedError(RuntimeError):
    """The folder is no longer the one that this process has locked; nothing was written."""

    exit_code = 74  # EX_IOERR of sysexits.h


def enclose(folder: str | Path, check: Check | None = None) -> None:
    """From now on, open what lies below this folder without following links.

    `check` is called with the open folder before anything in it is, and raises MovedError for another one.
    """
    parts = Path(folder).absolute().parts
    if check is not None or parts not in _enclosed:
        _enclosed[parts] = check


def unlocked(folder: str | Path, check: Check) -> None:
    """The folder stays enclosed, but need not be the one of this check any longer."""
    parts = Path(folder).absolute().parts
    if _enclosed.get(parts) is check:
        _enclosed[parts] = None


class Place:
    """An open folder. Names in it are opened, made and renamed from there; no links are, if `strict`."""

    def __init__(self, path: Path, handle: int | None, strict: bool) -> None:
        self.path, self.handle, self.strict = path, handle, strict

    def open(self, name: str, flags: int) -> int:
        """A handle of a plain file. Raises LinkError, ValueError for a pipe or the like, OSError."""
        with self._named(name):
            found = self.look(name) if self.handle is None else None
            if found is not None and self.strict:
                self._refuse_link(name, found)
            follow = NOFOLLOW if self.strict else 0
            handle = os.open(self._at(name), flags | follow | PLAIN, 0o666, **self._from)
        try:
            self._check_plain(name, os.fstat(handle), bool(flags & (os.O_WRONLY | os.O_RDWR)))
        except BaseException:
            os.close(handle)
            raise
        return handle

    def inner(self, name: str, make: bool) -> "Place":
        """The folder of this name, made if it is missing and is to be."""
        if make:
            with suppress(FileExistsError), self._named(name):
                if self.look(name) is None:
                    os.mkdir(self._at(name), **self._from)  # noqa: PTH102 - from the open folder
        with self._named(name):
            if self.handle is None:
                return self._inner_by_path(name)
            flags = os.O_RDONLY | FOLDER | (NOFOLLOW if self.strict else 0)
            return Place(self.path / name, os.open(name, flags, **self._from), self.strict)

    def make(self, name: str) -> None:
        """A new folder. Raises OSError if the name is taken."""
        with self._named(name):
            os.mkdir(self._at(name), **self._from)  # noqa: PTH102

    def replace(self, old: str, new: str) -> None:
        """Give a file the name of another, which goes."""
        with self._named(new):
            os.replace(self._at(old), self._at(new), **self._both)  # noqa: PTH105

    def rename(self, old: str, new: str) -> None:
        """Give a folder a name that is free."""
        with self._named(new):
            os.rename(self._at(old), self._at(new), **self._both)  # noqa: PTH104

    def link(self, name: str, other: "Place") -> None:
        """Give a file the same name in another folder too. Raises OSError where that cannot be."""
        both = {} if self.handle is None else {"src_dir_fd": self.handle, "dst_dir_fd": other.handle}
        with self._named(name):
            os.link(self._at(name), other._at(name), follow_symlinks=False, **both)

    def remove(self, name: str) -> None:
        """Remove a file, a link, or a folder with all that is in it; whatever does not go stays."""
        with suppress(OSError):
            found = self.look(name)
            if found is not None and stat.S_ISDIR(found.st_mode):
                shutil.rmtree(self._at(name), ignore_errors=True, dir_fd=self.handle)
            elif found is not None:
                os.unlink(self._at(name), **self._from)

    def names(self) -> list[str]:
        """What is in it, in the order of the names."""
        return sorted(os.listdir(self.path if self.handle is None else self.handle))  # noqa: PTH208

    def is_folder(self, name: str) -> bool:
        """Whether that is a folder, and no link to one."""
        found = self.look(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def is_link(self, name: str) -> bool:
        """Whether that is a link."""
        found = self.look(name)
        return found is not None and stat.S_ISLNK(found.st_mode)

    def sync(self) -> None:
        """Flush the names in it to the disk."""
        if self.handle is not None:
            os.fsync(self.handle)

    def close(self) -> None:
        """Let it go."""
        if self.handle is not None:
            os.close(self.handle)

    @property
    def status(self) -> os.stat_result:
        """The folder's own."""
        return self.path.stat() if self.handle is None else os.fstat(self.handle)

    @property
    def _from(self) -> dict[str, int]:
        return {} if self.handle is None else {"dir_fd": self.handle}

    @property
    def _both(self) -> dict[str, int]:
        return {} if self.handle is None else {"src_dir_fd": self.handle, "dst_dir_fd": self.handle}

    def _at(self, name: str) -> str:
        return str(self.path / name) if self.handle is None else name

    def look(self, name: str) -> os.stat_result | None:
        """What the name itself is; None for nothing."""
        try:
            return os.stat(self._at(name), follow_symlinks=False, **self._from)  # noqa: PTH116
        except FileNotFoundError:
            return None

    def _inner_by_path(self, name: str) -> "Place":
        found = self.look(name)
        if found is not None and self.strict:
            self._refuse_link(name, found)
        if not (self.path / name).is_dir():
            code = errno.ENOENT if found is None else errno.ENOTDIR
            raise OSError(code, os.strerror(code), str(self.path / name))
        return Place(self.path / name, None, self.strict)

    def _refuse_link(self, name: str, found: os.stat_result) -> None:
        if stat.S_ISLNK(found.st_mode):
            raise LinkError(f"{self.path / name}: a link, which may lead out of its folder; {REMEDY}")

    def _check_plain(self, name: str, found: os.stat_result, written: bool) -> None:
        """Refuse a pipe, a device, and a file that would be written under another name too."""
        if not stat.S_ISREG(found.st_mode):
            raise _no_file(self.path / name)
        if written and self.strict and found.st_nlink > 1:
            raise LinkError(f"{self.path / name}: has another name elsewhere (a hard link); {REMEDY}")

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Errors with the whole path; a link, a pipe or a device is said to be one."""
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                found = self.look(name)
                if found is not None and self.strict:
                    self._refuse_link(name, found)
                if found is not None and not stat.S_ISREG(found.st_mode) and error.errno == errno.ENXIO:
                    raise _no_file(self.path / name) from error
            error.filename, error.filename2 = str(self.path / name), None
            raise


@contextmanager
def place(path: Path, make: bool = False) -> Iterator[Place]:
    """The folder of this path, open; it and those above it are made if they are missing and are to be.

    Raises FileNotFoundError, LinkError for a link below an enclosed folder, MovedError.
    """
    root, names = _split(path)
    if make and _check_of(root) is None:
        root.mkdir(parents=True, exist_ok=True)
    here = _root(root, strict=_encloses(root))
    try:
        _check(here)
        for name in names:
            outer, here = here, _inner(here, name, make)
            outer.close()
            _check(here)
        yield here
    finally:
        here.close()


def opened(path: Path, flags: int) -> int:
    """A handle of a plain file at this path. Raises LinkError for anything else, OSError."""
    if not _encloses(path.parent):
        return _plainly(path, flags)
    with place(path.parent) as here:
        return here.open(path.name, flags)


def names(path: Path) -> list[str]:
    """What is in a folder, in the order of the names; nothing if there is no folder."""
    try:
        with place(path) as here:
            return here.names()
    except (FileNotFoundError, NotADirectoryError):
        return []


def check_links(folder: Path, name: str) -> None:
    """Raise LinkError if anything of this name in the folder, or below it, leads out of the folder.

    For what others than this package will open: they look for themselves, and later.
    """
    inside = folder.resolve()
    below = [folder / name, *(folder / name).rglob("*")] if (folder / name).exists() else [folder / name]
    for path in below:
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise LinkError(f"{path}: a link that leads out of {folder}; {REMEDY}")


def _root(path: Path, strict: bool) -> Place:
    """The folder at which the way down begins, through whatever links lead to it."""
    with _missing(path):
        if FROM_FOLDERS:
            return Place(path, os.open(path, os.O_RDONLY | FOLDER), strict)
        if not path.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return Place(path, None, strict)


def _inner(here: Place, name: str, make: bool) -> Place:
    with _missing(here.path / name):
        return here.inner(name, make and _check_of(here.path / name) is None)


@contextmanager
def _missing(path: Path) -> Iterator[None]:
    """A folder that is locked and not there has been moved."""
    try:
        yield
    except FileNotFoundError as error:
        if _check_of(path) is not None:
            raise MovedError(f"{path}: {MOVED}") from error
        raise


def _check_of(path: Path) -> Check | None:
    return _enclosed.get(path.absolute().parts)


def _check(here: Place) -> None:
    check = _check_of(here.path)
    if check is not None:
        check(here)


def _plainly(path: Path, flags: int) -> int:
    """A file that the user named: links are followed, but nothing is waited for."""
    handle = os.open(path, flags | PLAIN, 0o666)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise _no_file(path)


def _no_file(path: Path) -> ValueError:
    return ValueError(f"{path}: no plain file, but a folder, a pipe or a device")


def _split(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The outermost enclosed folder of a path and the names below it; the path itself if there is none.

    A path that leads up again is one that the user gave: no file of a run has such a name.
    """
    parts = path.absolute().parts
    for length in range(1, len(parts) + 1):
        below = parts[length:]
        if parts[:length] in _enclosed and ".." not in below:
            above = path.parts[: len(path.parts) - len(below)]
            return Path(*(above if len(path.parts) >= len(below) else parts[:length])), below
    return path, ()


def _encloses(path: Path) -> bool:
    return _split(path)[0].absolute().parts in _enclosed
