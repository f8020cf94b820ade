"""Signals set a flag, nothing else; the training loop looks at it after every step.

SIGTERM and SIGINT: save, then leave with 143 or 130. SIGUSR1: save and go on. A second SIGTERM or SIGINT ends
the process at once, since the first gives both back to the kernel.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

LEAVE = (signal.SIGTERM, signal.SIGINT)


class Stopped(RuntimeError):
    """Training ended by a signal after a step, which was saved."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"{signal.Signals(number).name} {message}")
        self.exit_code = 128 + number


class Signals:
    """The flags. Inside `with`, they follow the process's signals; elsewhere they stay as they are set."""

    def __init__(self) -> None:
        self.stop: int | None = None
        self.save = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in LEAVE:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup: leave it so
                    self._before[number] = signal.signal(number, self._leave)
            if hasattr(signal, "SIGUSR1"):
                self._before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._save)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agree(self, largest: Callable[[int], int]) -> None:
        """Take over what any of several processes was sent; `largest` of a number over all of them."""
        asked = largest(2 * (self.stop or 0) + self.save)
        self.stop, self.save = asked // 2 or None, bool(asked % 2)

    def _leave(self, number: int, _: FrameType | None) -> None:
        self.stop = number
        for each in self._before.keys() & set(LEAVE):
            signal.signal(each, signal.SIG_DFL)

    def _save(self, number: int, _: FrameType | None) -> None:
        self.save = True
