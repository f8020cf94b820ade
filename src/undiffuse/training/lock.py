"""One writer a run: a lock that the kernel gives back however its process ends."""

import json
import os
import socket
import time
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: there, nothing keeps two writers apart
    fcntl = None  # type: ignore[assignment]

PATIENCE = 0.5  # seconds that a holder has to write its name


class BusyError(OSError):
    """Another process is training this run."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Lock:
    """`flock` on FOLDER/.lock, until `release` or the process's end. Raises BusyError naming the holder.

    Processes that this one forks do not keep it. Readers take none.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ".lock"
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        self.release = weakref.finalize(self, _close, handle)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise BusyError(f"{folder}: in use by {_holder(self.path)}") from None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.release)
        os.ftruncate(handle, 0)
        who = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "start": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.write(handle, json.dumps(who).encode())


def _close(handle: int) -> None:
    os.close(handle)


def _holder(path: Path) -> str:
    """The process that has the lock, as it says."""
    for _ in range(10):
        try:
            who = json.loads(path.read_text())
            return f"process {int(who['pid'])} on {str(who['host'])[:80]}, started {str(who['start'])[:30]}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(PATIENCE / 10)
    return "another process"
