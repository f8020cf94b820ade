"""Commands in forked children, with what they print in a file."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from undiffuse.cli import main

Patch = Callable[[], object]


@dataclass
class Child:
    """A running command. `code` is its exit code once it has ended: -9 if it was killed."""

    pid: int
    output: Path
    code: int | None = None

    def wait(self, seconds: float = 60) -> int:
        """Its exit code; it is killed, and TimeoutError raised, if it takes longer."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"hung: {self.text}")
            time.sleep(0.002)
        assert self.code is not None
        return self.code

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def send(self, number: int) -> None:
        """A signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and its end."""
        self.send(signal.SIGKILL)
        while self.poll() is None:
            time.sleep(0.001)

    @property
    def text(self) -> str:
        """What it printed."""
        return self.output.read_text(errors="replace")


def start(output: Path, *words: object, patch: Patch = lambda: None) -> Child:
    """`undiffuse WORDS` in a child; `patch` is called there first."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _be(output, [str(word) for word in words], patch)
    return Child(pid, output)


def run(output: Path, *words: object, patch: Patch = lambda: None) -> Child:
    """The same, to its end."""
    child = start(output, *words, patch=patch)
    child.wait()
    return child


def _be(output: Path, words: list[str], patch: Patch) -> None:
    """The child: never returns."""
    code = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.argv = ["undiffuse", *words]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        patch()
        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
