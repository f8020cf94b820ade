"""Deliberate bugs, one at a time: each must make a check fail, or the check is worth nothing."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tools.faults import damage, disks, kills, numbers, stops, work
from tools.faults.seam import Seam
from tools.faults.subject import Run, bench
from undiffuse import enclosure, files, tensorfile
from undiffuse.runs import experiment, jobs, log, training_run
from undiffuse.signals import Signals
from undiffuse.trackers import Tracker
from undiffuse.training import checkpoint, gate, loop, scan

Bug = Callable[[], "contextlib.AbstractContextManager[Any]"]


@contextlib.contextmanager
def _no_fsync() -> Iterator[None]:
    """Nothing is flushed: the recorder of calls sees no fsync."""
    real = Seam.__getattr__
    with mock.patch.object(
        Seam, "__getattr__", lambda seam, name: _nothing if name == "fsync" else real(seam, name)
    ):
        yield


def _nothing(*_: object) -> None:
    pass


def _put(target: object, name: str, value: object) -> Bug:
    return lambda: mock.patch.object(target, name, value)


@contextlib.contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    """A folder that is filled under its own name."""
    path.mkdir(parents=True, exist_ok=True)
    yield path


def _prune_first(root: Path, now: checkpoint.Checkpoint, keep: int, held: int | None) -> Path:
    """The checkpoints before are removed before the new one is there."""
    for old in checkpoint.steps(root):
        files.remove(old)
    return SAVE(root, now, keep, held)


def _newest(root: Path, device: Any = "cpu", until: int | None = None) -> Any:
    """No look at older ones, and a start from nothing if the newest is damaged."""
    try:
        return checkpoint.load(checkpoint.latest(root), device), []
    except (OSError, ValueError):
        return None, []


def _leave(self: Signals, number: int, _: object) -> None:
    """A handler that ends the process without a save."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


class _NoLock:
    """A lock that keeps nobody out."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)


class _Forgetful(log.Log):
    """A log that forgets the losses since its last row."""

    def __init__(
        self, path: Path, step: int, pending: list[float], tracker: Tracker | None, **how: bool
    ) -> None:
        super().__init__(path, step, [], tracker, **how)


class _Appending(log.Log):
    """A log that is not cut back."""

    def back_to(self, step: int, pending: list[float]) -> None:
        self.losses = list(pending)


def _bare(path: Path) -> Any:
    return Path(path).open("wb")


def _said(file: Path) -> str:
    """The hash that the manifest says."""
    import json

    manifest = file.parent / checkpoint.MANIFEST
    if not manifest.exists():  # it is being written
        return tensorfile.hashlib.sha256(file.read_bytes()).hexdigest()
    return str(json.loads(manifest.read_text())["files"][file.name]["sha256"])


def _slowly(raw: Any, path: Path) -> Path:
    """Half a file for a while."""
    import time

    import numpy as np

    np.save(path, raw.numpy())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    time.sleep(0.2)
    path.write_bytes(whole)
    return path


TRIES = 5  # draws of the quick tier, which looks at a few calls or times of many
SAVE = checkpoint.save
TWINS: dict[str, tuple[Run, Bug]] = {
    "no fsync at all": (kills.flushes, _no_fsync),
    "the folder's entry is not flushed": (kills.flushes, _put(enclosure.Place, "sync", _nothing)),
    "a checkpoint is filled under its own name": (kills.points, _put(checkpoint, "folder", _in_place)),
    "old checkpoints go before the new one comes": (
        disks.failures,
        _put(checkpoint, "save", _prune_first),
    ),
    "hashes are not compared": (damage.flips, _put(checkpoint, "_sha256", _said)),
    "the manifest's seal is not compared": (
        damage.flips,
        _put(checkpoint, "_seal", lambda _: "seal"),
    ),
    "an older checkpoint is not looked for": (damage.older, _put(scan, "recover", _newest)),
    "damaged checkpoints are not set aside": (
        damage.older,
        _put(scan, "_set_aside", lambda *_: ""),
    ),
    "no gate before the update": (numbers.nonfinite, _put(loop, "_checked", _nothing)),
    "the state is not watched": (numbers.nonfinite, _put(gate.Watch, "finite", lambda self: True)),
    "every start gets the lock": (stops.starts, _put(experiment, "Lock", _NoLock)),
    "a signal ends the process without a save": (stops.signals, _put(Signals, "_leave", _leave)),
    "the log forgets the losses since its last row": (stops.signals, _put(training_run, "Log", _Forgetful)),
    "the log is not cut back": (kills.kills, _put(training_run, "Log", _Appending)),
    "shards are written in place": (
        work.sampling,
        _put(jobs, "save_npy", _slowly),
    ),
}


def report(seed: int) -> int:
    """Try every bug with its check; 1 if one goes unnoticed."""
    missed = 0
    for name, (check, bug) in TWINS.items():
        found = any(caught(check, bug, seed + again) for again in range(TRIES))
        missed += not found
        mark, verb = ("ok ", "fails") if found else ("BAD", "does not fail")
        print(f"{mark} {name}: {check.__name__} {verb}", flush=True)
    return int(missed > 0)


def caught(check: Run, bug: Bug, seed: int) -> bool:
    """Whether the check, in its quick tier, fails or breaks with this bug."""
    with bench(seed, full=False) as here:
        here.whole()
        with bug():
            try:
                return bool(check(here).failures)
            except (OSError, ValueError, AssertionError):
                return True
