"""One writer a run: a lock that the kernel gives back however its process ends.

The folder itself is locked, since it cannot be removed and made anew unseen as a file in it can; and
FOLDER/.lock, which says who has it, for file systems that lock no folders. While it is held, this process
opens nothing in a folder that has taken this one's place (`undiffuse.enclosure`).
"""

import json
import os
import socket
import time
import weakref
from pathlib import Path

from filelock import lock_descriptor

from undiffuse.enclosure import MOVED, Check, MovedError, Place, enclose, place, unlocked
from undiffuse.files import read_bytes

NAME = ".lock"
LARGEST = 1024  # bytes of a holder's name
PATIENCE = 0.5  # seconds that a holder has to write its name
DAMAGE = (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError)


class BusyError(OSError):
    """Another process is training this run."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Lock:
    """The system's lock on FOLDER and FOLDER/.lock, until `release` or the process's end.

    Processes that this one forks do not keep it. Readers take none. Raises BusyError naming the holder,
    LinkError if .lock is a link.
    """

    def __init__(self, folder: Path) -> None:
        enclose(folder)
        held: list[int] = []
        with place(folder, make=True) as here:
            self.path = here.path / NAME
            try:
                check = _seized(here, held)
            except BaseException:
                _close(held)
                raise
        self.release = weakref.finalize(self, _let_go, held, folder.absolute(), check)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.release)
        enclose(folder, check)


def _seized(here: Place, held: list[int]) -> Check:
    """Lock the folder and its file, whose handles are then `held`; returns how to tell them from others."""
    whole = _lock_folder(here, held)
    while True:
        handle = here.open(NAME, os.O_RDWR | os.O_CREAT)
        held.append(handle)
        _refuse_unless(lock_descriptor(handle, blocking=False), here)
        if _same(here.look(NAME), os.fstat(handle)):
            break  # or it was removed meanwhile, and the lock would be of nothing
    os.ftruncate(handle, 0)
    who = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.write(handle, json.dumps(who).encode())
    own, file = here.status, None if whole else os.fstat(handle)

    def check(now: Place) -> None:
        if not _same(now.status, own) or (file is not None and not _same(now.look(NAME), file)):
            raise MovedError(f"{now.path}: {MOVED}")

    return check


def _lock_folder(here: Place, held: list[int]) -> bool:
    """Whether the file system can."""
    if here.handle is None:
        return False
    held.append(os.dup(here.handle))
    try:
        free = lock_descriptor(held[-1], blocking=False)
    except OSError:
        return False
    _refuse_unless(free, here)
    return True


def _refuse_unless(free: bool, here: Place) -> None:
    if not free:
        raise BusyError(f"{here.path}: in use by {_holder(here.path / NAME)}")


def _same(one: os.stat_result | None, other: os.stat_result) -> bool:
    return one is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _let_go(held: list[int], folder: Path, check: Check) -> None:
    unlocked(folder, check)
    _close(held)


def _close(held: list[int]) -> None:
    while held:
        os.close(held.pop())


def _holder(path: Path) -> str:
    """The process that has the lock, as it says."""
    for _ in range(10):
        try:
            who = json.loads(read_bytes(path, LARGEST))
            return f"process {int(who['pid'])} on {str(who['host'])[:80]}, started {str(who['start'])[:30]}"
        except DAMAGE:
            time.sleep(PATIENCE / 10)
    return "another process"
