"""`--processes N`: this command in N processes of this machine, which end with the one that started them.

They meet as torchrun's do, at a store in the process that starts them, and find in their environment what
torchrun's find. torchrun itself also finds machines, restarts, and waits for members; what is left for one
machine is here, where no signal can come between starting a process and knowing it.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

import typer

from undiffuse.cli.threads import divide
from undiffuse.signals import LEAVE, SAVE, deferred, unblock

LAUNCHER = "UNDIFFUSE_LAUNCHER"  # number of the process that started this one
LOOK = 0.1  # seconds between two looks at the others
FAREWELL = 3.0  # seconds that the others have to notice that one has failed; less than `cli.BEHIND`
GRACE = 600.0  # seconds to save in after a signal
ORPHANED = 60.0  # the same, once nobody waits for them
TEMPFAIL = 75  # EX_TEMPFAIL of sysexits.h: the next start goes on


def launch(count: int) -> int:
    """Run this command in so many processes, which say what there is to say; returns the exit code.

    It is that of the first one that failed. They begin while this process loads PyTorch, for the store.
    """
    divide(count)
    group = _Group()
    group.listen()
    with socket.create_server(("localhost", 0), backlog=count) as server:
        port, listening = server.getsockname()[1], server.detach()
    with deferred():
        group.start(count, port)
    from torch import distributed

    store = distributed.TCPStore(  # type: ignore[attr-defined]
        "localhost", port, is_master=True, wait_for_workers=False, master_listen_fd=listening
    )
    assert store.port == port
    return group.wait()


class _Group:
    """Processes by rank; signals are passed on to them, and a second stop signal kills them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.stop: int | None = None
        self.failed: dict[int, int] = {}  # exit codes that are not 0 by rank, the first one first

    def listen(self) -> None:
        """Pass signals on from now on."""
        for number in (*LEAVE, *SAVE):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._pass_on)

    def start(self, count: int, port: int) -> None:
        """Each in a session of its own: what a terminal sends goes through this process."""
        fixed: dict[str, object] = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, LAUNCHER: os.getpid()}
        fixed |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
        command = [sys.executable, "-m", "undiffuse", *sys.argv[1:]]
        for rank in range(count):
            own = {name: str(value) for name, value in {"RANK": rank, "LOCAL_RANK": rank, **fixed}.items()}
            self.processes.append(subprocess.Popen(command, env=os.environ | own, start_new_session=True))

    def wait(self) -> int:
        """Until all have ended; returns the exit code to leave with."""
        since, asked = None, False
        while self._running():
            time.sleep(LOOK)
            if since is None and (self.failed or self.stop is not None):
                since = time.monotonic()
            waited = 0.0 if since is None else time.monotonic() - since
            if waited > FAREWELL and not asked and not self._leaving():
                asked = True
                self._send(signal.SIGTERM)
            if waited > GRACE:
                self._kill()
        return self._code()

    def _running(self) -> bool:
        """Whether any still is; notes those that have failed."""
        for rank, process in enumerate(self.processes):
            if process.poll():
                self.failed.setdefault(rank, process.returncode)
        return any(process.returncode is None for process in self.processes)

    def _leaving(self) -> bool:
        """Whether they have been told to: a second signal would end the first of them while it saves."""
        return self.stop is not None or any(code - 128 in LEAVE for code in self.failed.values())

    def _code(self) -> int:
        """Says who was killed, if not from here."""
        ours = (self.stop, signal.SIGTERM) + (() if self.stop is None else (9,))
        killed = {rank: -code for rank, code in self.failed.items() if code < 0 and -code not in ours}
        for rank, number in killed.items():
            typer.echo(f"undiffuse: process {rank} was killed by signal {number}", err=True)
        codes = list(self.failed.values())
        if self.stop is not None and codes and max(codes) < 0:
            return 128 + self.stop  # before they could say so
        first = codes[0] if codes else 0
        return TEMPFAIL if killed else first if first >= 0 else 128 - first

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        again = self.stop is not None
        if number in LEAVE:
            self.stop = number
        if number in LEAVE and again:
            self._kill()
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)  # nothing to one that was seen to end

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()


def attend() -> None:
    """In one of several processes, first of all: end when the process that started this one does.

    Nothing can be missed: the number of that process is known before this one begins. On systems where a
    process keeps the number of a parent that has ended (Windows) this does nothing.
    """
    launcher = int(os.environ.get(LAUNCHER, os.getppid()))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the launcher says what there is to say
    for number in SAVE:
        signal.signal(number, signal.SIG_IGN)  # there is nothing yet
    threading.Thread(target=_watch, args=[launcher], name="launcher", daemon=True).start()
    unblock()


def _watch(launcher: int) -> None:
    """Save and leave as by SIGTERM once the launcher is gone; in any case after a while."""
    while os.getppid() == launcher:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHANED)
    os._exit(TEMPFAIL)
