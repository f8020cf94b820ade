"""Signals set a flag, nothing else; the training loop looks at it after every step.

SIGTERM and SIGINT: save, then leave with 143 or 130. SIGUSR1: save and go on. A second SIGTERM or SIGINT ends
the process at once, since the first gives both back to the kernel.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

LEAVE = (signal.SIGTERM, signal.SIGINT)


class Stopped(RuntimeError):
    """Training ended by a signal after a step, which was saved; in all processes of a run."""

    said_by_first = True

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"{signal.Signals(number).name} {message}")
        self.exit_code = 128 + number


class Signals:
    """What was asked for, `stop` and `save`, as it was when `agree` was last called.

    Inside `with`, the process's signals are heard; one that arrives while a step is being dealt with waits
    for the next. Of several processes, each may get a signal from its launcher and once more with its whole
    group: `patience` is for how many seconds a second one counts as the first.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self.stop: int | None = None
        self.save = False
        self.patience = patience
        self._heard_stop: int | None = None
        self._heard_save = False
        self._since = 0.0
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

    def agree(self, largest: Callable[[int], int] = int) -> None:
        """Take over what any of several processes has heard; `largest` of a number over all of them."""
        save = self._heard_save
        asked = largest(2 * (self._heard_stop or 0) + save)
        self.stop, self.save = asked // 2 or None, bool(asked % 2)
        if save:  # else it was heard meanwhile
            self._heard_save = False

    def _leave(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._heard_stop is not None and now - self._since < self.patience:
            return
        again, self._heard_stop, self._since = self._heard_stop is not None, number, now
        if again or not self.patience:
            for each in self._before.keys() & set(LEAVE):
                signal.signal(each, signal.SIG_DFL)
        if again:
            signal.raise_signal(number)

    def _save(self, number: int, _: FrameType | None) -> None:
        self._heard_save = True
