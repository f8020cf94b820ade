"""Full disks and failing calls (F4, F5): a whole checkpoint stays, the message names file and bytes."""

import errno
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

from tools.faults.kills import calls
from tools.faults.seam import Seam, failing
from tools.faults.subject import Bench, Check, whole_or_none
from undiffuse.training import checkpoint

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES, errno.EMFILE, errno.EROFS)
LEAST = 1200  # bytes: what the command prints is a file too
TOLD = re.compile(r"undiffuse: .*/.*: .*[\d,]+ bytes were needed, [\d,]+ are free")


def failures(bench: Bench) -> Check:
    """The Nth call fails, for every N and every error; the same command then ends with the same bits."""
    check = Check(
        "failures", "failing calls: one line says which file, exit 74, and the same bits afterwards"
    )
    names = calls(bench)
    cases = [(n, error) for n in range(1, len(names) + 1) for error in ERRORS]
    if not bench.full:
        cases = bench.choose.sample(cases, 4)
    for number, error in cases:
        run = bench.fresh()
        failed = bench.train(run, patch=Seam(failing(number, error)).install)
        told = f"call {number} ({names[number - 1]}), {errno.errorcode[error]}"
        clean = failed.code == 74 and "Traceback" not in failed.text and bool(TOLD.search(failed.text))
        clean = clean and whole_or_none(run)
        bench.goes_on(check, run, f"{told}: {failed.text[-300:]}", clean)
        shutil.rmtree(run)
    check.notes.append(f"{len(names)} calls, {len(ERRORS)} errors")
    return check


def sizes(bench: Bench) -> Check:
    """No file may grow beyond a size, as many sizes as between nothing and what a run needs."""
    check = Check("sizes", "limits of a file's size: said by name, and the same bits once there is room")
    bench.whole()
    newest = checkpoint.latest(bench.folder / "whole" / "checkpoints")
    most = max(file.stat().st_size for file in newest.iterdir())
    count = bench.count(2, 32)
    for i in range(count):
        size = LEAST + (most - LEAST) * i // count
        _room(bench, check, size, bench.fresh(), limited=True)
    return check


def full(bench: Bench) -> Check:
    """A disk of many sizes, up to what a run needs; skipped where no disk can be made."""
    check = Check("full", "sizes of a disk: a whole checkpoint stays, and the same bits once there is room")
    disk = bench.folder / "disk"
    disk.mkdir(exist_ok=True)
    count = bench.count(2, 32)
    for i in range(count):
        size = 4096 * (10 + (40 * i) // count)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True
        )
        if made.returncode:
            check.notes.append("skipped: no tmpfs may be mounted here")
            return check
        try:
            _room(bench, check, size, disk / "run", limited=False)
        finally:
            subprocess.run(["umount", disk], check=True)
    return check


def _room(bench: Bench, check: Check, size: int, run: Path, limited: bool) -> None:
    """Train with this little room, then with enough."""
    failed = bench.train(run, patch=lambda: _limit(size) if limited else None)
    steps = checkpoint.steps(run / "checkpoints")
    clean = failed.code == 0 or (failed.code == 74 and bool(TOLD.search(failed.text)))
    clean = clean and "Traceback" not in failed.text and whole_or_none(run)
    tmp = [path.name for path in (run / "checkpoints").glob(".*")] if run.is_dir() else []
    if not limited:
        subprocess.run(["mount", "-o", "remount,size=16m", run.parent], check=True)
    told = f"{size:,} bytes, {len(steps)} checkpoints, {tmp}: {failed.text[-300:]}"
    bench.goes_on(check, run, told, clean and not tmp)


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    os.environ["COLUMNS"] = "80"
