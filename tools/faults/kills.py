"""SIGKILL at random times and before every call that touches the disk; the order of flushes (F1 to F3)."""

import signal
import time
from pathlib import Path
from typing import Any

from tools.faults import child
from tools.faults.seam import Seam, killing
from tools.faults.subject import WORDS, Bench, Check, whole_or_none


def kills(bench: Bench) -> Check:
    """Killed at random times, started again by the same command, until it is done."""
    check = Check("kills", "runs killed at random times end with the same bits")
    began = time.perf_counter()
    bench.train(bench.fresh())
    length, dead = time.perf_counter() - began, 0
    while dead < bench.count(6, 500):
        run = bench.fresh()
        for _ in range(8):
            started = child.start(bench.folder / "out", "train", *WORDS, "--out", run)
            time.sleep(bench.choose.uniform(0, length))
            started.kill()
            if started.code == 0:
                break
            dead += started.code == -signal.SIGKILL
            check.expect(started.code == -signal.SIGKILL, f"exit {started.code}: {started.text[-300:]}")
        bench.goes_on(check, run)
    check.notes.append(f"{dead} kills, a run takes {length:.1f} s")
    return check


def points(bench: Bench) -> Check:
    """Killed before the Nth call that touches the disk, or half through it if it writes."""
    check = Check("points", "kills at calls that touch the disk: the rest of the run has the same bits")
    names = calls(bench)
    cases = [
        (n, half)
        for n, name in enumerate(names, 1)
        for half in ((False, True) if name == "write" else (False,))
    ]
    if not bench.full:
        cases = bench.choose.sample(cases, 5)
    for number, half in cases:
        run = bench.fresh()
        killed = bench.train(run, patch=Seam(killing(number, half)).install)
        told = f"call {number} ({names[number - 1]}{', half' if half else ''})"
        good = killed.code == -signal.SIGKILL and whole_or_none(run)
        bench.goes_on(check, run, told, good)
    check.notes.append(f"of {len(names)} calls")
    return check


def flushes(bench: Bench) -> Check:
    """Nothing takes its name before its bytes are flushed, and the folder's entry is flushed after."""
    check = Check("flushes", "renames of a checkpoint or file that are flushed before and after")
    run, log = bench.fresh(), bench.folder / "calls"
    bench.train(run, patch=Seam(_writer(log)).install)
    dirty: set[str] = set()
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    for i, (name, path, _target) in enumerate(lines):
        if name == "write" or name == "mkdir":
            dirty.add(path)
        elif name == "fsync":
            dirty.discard(path)
        elif name in ("rename", "replace") and "/.del-" not in _target:
            inside = [each for each in dirty if each == path or each.startswith(f"{path}/")]
            after = [line[:2] for line in lines[i + 1 : i + 4]]
            parent = str(Path(_target).parent)
            check.expect(not inside, f"{path}: renamed before {inside} was flushed")
            check.expect(["fsync", parent] in after, f"{_target}: its folder was not flushed")
            dirty.difference_update(inside)
    check.expect(check.tried > 16, f"only {check.tried} renames were seen")
    return check


def calls(bench: Bench) -> list[str]:
    """The names of the calls that one run makes."""
    log = bench.folder / "calls"
    log.unlink(missing_ok=True)
    bench.train(bench.fresh(), patch=Seam(_writer(log)).install)
    return [line.split("\t")[0] for line in log.read_text().splitlines()]


def _writer(log: Path) -> Any:
    """Write every call down: its name, the file it is about, and a new name."""

    def act(call: int, name: str, arguments: tuple[Any, ...]) -> None:
        first = arguments[0]
        path = str(Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else first)
        target = str(arguments[1]) if name in ("rename", "replace") else ""
        with log.open("a") as file:
            file.write(f"{name}\t{path}\t{target}\n")

    return act
