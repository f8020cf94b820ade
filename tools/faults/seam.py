"""Between the library and the disk: the `os` of `undiffuse.files` and `undiffuse.tensorfile`, counted."""

import os
import signal
from collections.abc import Callable
from typing import Any

from undiffuse import files, tensorfile

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

        def call(*arguments: Any) -> Any:
            self.calls += 1
            self.act(self.calls, name, arguments)
            return real(*arguments)

        return call

    def install(self) -> "Seam":
        """Put it in place, in this process."""
        files.os = tensorfile.os = self  # type: ignore[assignment]
        return self


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
