"""Between the library and the disk: the `os` of the modules that write, counted.

Opening what is only read is not counted. Names from an open folder are told to `act` as whole paths.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from undiffuse import enclosure, files, tensorfile

WATCHED = ("open", "write", "fsync", "replace", "rename", "mkdir")
Act = Callable[[int, str, tuple[Any, ...]], None]


class Seam:
    """`os`, but `act(number, name, arguments)` comes before every call that touches the disk."""

    def __init__(self, act: Act) -> None:
        self.act, self.calls = act, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in WATCHED:
            return real

        def call(*arguments: Any, **how: Any) -> Any:
            if name != "open" or arguments[1] & (os.O_WRONLY | os.O_RDWR):
                self.calls += 1
                self.act(self.calls, name, _whole(arguments, how))
            return real(*arguments, **how)

        return call

    def install(self) -> "Seam":
        """Put it in place, in this process."""
        enclosure.os = files.os = tensorfile.os = self  # type: ignore[assignment]
        return self


def _whole(arguments: tuple[Any, ...], how: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments, names from an open folder as paths."""
    handles = how.get("dir_fd", how.get("src_dir_fd")), how.get("dst_dir_fd")
    paths = [
        str(Path(f"/proc/self/fd/{handle}").readlink() / each) if handle is not None else each
        for each, handle in zip(arguments, handles, strict=False)
    ]
    return (*paths, *arguments[len(paths) :])


def killing(number: int, half: bool) -> Act:
    """The process dies before call `number`; with `half`, after half of what it would write."""

    def act(call: int, name: str, arguments: tuple[Any, ...]) -> None:
        if call == number:
            if half and name == "write":
                data = memoryview(arguments[1])
                os.write(arguments[0], data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def failing(number: int, error: int) -> Act:
    """Call `number` fails with this errno."""

    def act(call: int, name: str, arguments: tuple[Any, ...]) -> None:
        if call == number:
            raise OSError(error, os.strerror(error))

    return act
