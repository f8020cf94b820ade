"""Stop signals: answered at once, and obeyed as soon as nothing is lost by it.

SIGTERM, SIGINT and SIGHUP: save, then leave with 143, 130 or 129. SIGUSR1: save and go on. A second one of
the former ends the process at once.

Python calls a handler only between two of its own instructions, so not while PyTorch computes a slow step.
The part of it that is not Python does write to a socket at once (`signal.set_wakeup_fd`); a thread reads from
it, says that the signal was heard, and ends the process at the second. The handler itself sets a flag, which
the training loop looks at after every step, and raises `Left` where what is being computed can be thrown
away.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any


def _there(*names: str) -> tuple[signal.Signals, ...]:
    """Those signals that this system has."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


LEAVE = _there("SIGTERM", "SIGINT", "SIGHUP")
SAVE = _there("SIGUSR1")


class Left(BaseException):
    """A stop signal came where what was being computed can be thrown away; no error, so not an Exception."""


class Stopped(RuntimeError):
    """Training ended by a signal, and was saved; in all processes of a run."""

    said_by_first = True

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"{signal.Signals(number).name} {message}")
        self.exit_code = 128 + number


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Signals:
    """What was asked for, `stop` and `save`, as it was when `agree` was last called.

    Inside `with`, the process's signals are heard; `say` gets the line that answers the first. One that
    arrives while a step is being dealt with waits for the next. Of several processes, each may get a signal
    from its launcher and once more with its whole group: `patience` is for how many seconds a second one
    counts as the first. None of several leaves alone: see `leaving`.
    """

    def __init__(self, patience: float = 0.0, say: Callable[[str], object] = _print) -> None:
        self.stop: int | None = None
        self.save = False
        self.patience, self.say = patience, say
        self._heard_stop: int | None = None
        self._heard_save = self._may_leave = False
        self._before: dict[int, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Signals":
        if threading.current_thread() is not threading.main_thread():
            return self  # which alone may set handlers
        self._listen()
        for number in LEAVE:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup: leave it so
                self._before[number] = signal.signal(number, self._leave)
        self._before |= {number: signal.signal(number, self._save) for number in SAVE}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._thread is not None:
            signal.set_wakeup_fd(self._woken_before)
            self._mouth.close()
            self._thread.join(1)  # not for ever, if nobody takes what it says
            self._ear.close()

    def agree(self, largest: Callable[[int], int] = int) -> None:
        """Take over what any of several processes has heard; `largest` of a number over all of them."""
        save = self._heard_save
        asked = largest(2 * (self._heard_stop or 0) + save)
        self.stop, self.save = asked // 2 or None, bool(asked % 2)
        if save:  # else it was heard meanwhile
            self._heard_save = False

    @contextmanager
    def leaving(self, together: bool = False) -> Iterator[None]:
        """Inside, a stop signal raises Left, wherever that is: for what changes nothing before its end.

        Of several processes only with `together`, where whoever catches it tells the others.
        """
        self._may_leave = together or not self.patience
        try:
            if self._may_leave and self._heard_stop is not None:
                raise Left
            yield
        finally:
            self._may_leave = False

    def _leave(self, number: int, _: FrameType | None) -> None:
        if self._heard_stop is None:
            self._heard_stop = number
        if self._may_leave:
            self._may_leave = False
            raise Left

    def _save(self, number: int, _: FrameType | None) -> None:
        self._heard_save = True

    def _listen(self) -> None:
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._woken_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._hear, name="signals", daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        """Answer the first stop signal, and end the process at the second; until `__exit__`."""
        first: float | None = None
        while numbers := self._ear.recv(64):
            for number in (each for each in numbers if each in LEAVE):
                if first is None:
                    first, name = time.monotonic(), signal.Signals(number).name
                    with suppress(OSError, ValueError):  # nobody reads it
                        self.say(f"{name}: saving, then stopping; once more to end at once")
                elif time.monotonic() - first >= self.patience:
                    os._exit(128 + number)


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, these signals wait for the end of the block, and are blocked in processes that it starts.

    Those have them blocked from their first instruction on, until they call `unblock`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[signal.Signals] = []
    numbers = [n for n in (*LEAVE, *SAVE) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {n: signal.signal(n, lambda number, _: heard.append(signal.Signals(number))) for n in numbers}
    _mask("SIG_BLOCK")
    try:
        yield
    finally:
        unblock()  # what came is heard here
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(heard):
            _deliver(number, before[number])


def unblock() -> None:
    """Let signals through that `deferred` has blocked, here or in the process which started this one."""
    _mask("SIG_UNBLOCK")


def _mask(how: str) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(getattr(signal, how), (*LEAVE, *SAVE))


def _deliver(number: int, handler: Any) -> None:
    """To the handler itself: raised again, the signal would count as a second."""
    if callable(handler):
        handler(number, None)
    else:
        signal.raise_signal(number)
