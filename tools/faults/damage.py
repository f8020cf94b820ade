"""Flipped bits, cut, emptied and lost files of checkpoints (F6, F7); clocks that lie (F12)."""

import os
import shutil
from pathlib import Path

from tools.faults import child
from tools.faults.subject import WORDS, Bench, Check
from undiffuse.training import checkpoint

NAMES = (*checkpoint.FILES, checkpoint.MANIFEST)


def flips(bench: Bench) -> Check:
    """One random bit of one random file, as often as asked: never taken for whole."""
    check = Check("flips", "flipped bits found, with the file's name")
    bench.whole()
    newest = checkpoint.latest(bench.folder / "whole" / "checkpoints")
    bytes_of = {name: (newest / name).read_bytes() for name in NAMES}
    for i in range(bench.count(600, 10_000)):
        name = NAMES[i % len(NAMES)]
        data = bytearray(bytes_of[name])
        place, bit = bench.choose.randrange(len(data)), bench.choose.randrange(8)
        data[place] ^= 1 << bit
        (newest / name).write_bytes(data)
        check.expect(_named(newest, name), f"{name}: bit {bit} of byte {place}")
        (newest / name).write_bytes(bytes_of[name])
    return check


def cuts(bench: Bench) -> Check:
    """Cut at any length, filled with zeros, missing, a folder instead, one file too many."""
    check = Check("cuts", "cut, emptied, lost and added files found")
    bench.whole()
    newest = checkpoint.latest(bench.folder / "whole" / "checkpoints")
    for name in NAMES:
        file = newest / name
        data = file.read_bytes()
        lengths = range(len(data)) if bench.full and len(data) < 4000 else []
        some = bench.choose.choices(range(len(data)), k=bench.count(20, 500))
        for length in [*lengths, *some]:
            file.write_bytes(data[:length])
            check.expect(_named(newest, name), f"{name}: cut at {length}")
        file.write_bytes(bytes(len(data)))
        check.expect(_named(newest, name), f"{name}: zeros")
        file.unlink()
        check.expect(_named(newest, name), f"{name}: missing")
        file.mkdir()
        check.expect(_named(newest, name), f"{name}: a folder")
        file.rmdir()
        file.write_bytes(data)
    (newest / "more").write_bytes(b"")
    check.expect(_named(newest, "more"), "a file too many")
    (newest / "more").unlink()
    return check


def older(bench: Bench) -> Check:
    """A damaged newest checkpoint: it is set aside, the one before is used, and the end is the same."""
    check = Check("older", "damaged checkpoints set aside, the older used, the same bits at the end")
    bench.whole()
    for _ in range(bench.count(2, 60)):
        run = Path(shutil.copytree(bench.folder / "whole", bench.fresh()))
        newest = checkpoint.latest(run / "checkpoints")
        file = newest / bench.choose.choice(NAMES)
        data = bytearray(file.read_bytes())
        data[bench.choose.randrange(len(data))] ^= 1 << bench.choose.randrange(8)
        file.write_bytes(data)
        last = bench.goes_on(check, run, file.name)
        aside = (run / "checkpoints" / f"bad-{newest.name}" / "REASON.txt").is_file()
        check.expect(aside and "warning" in last.text, f"{file.name}, not told: {last.text[-300:]}")
    for path in checkpoint.steps(run / "checkpoints"):
        (path / "state.json").write_bytes(b"")
    last = bench.train(run)
    check.expect(
        last.code == 2 and "nothing was started over" in last.text, f"all damaged: {last.text[-300:]}"
    )
    return check


def clocks(bench: Bench) -> Check:
    """The times of all files shuffled: the same checkpoint is chosen, the same ones go."""
    check = Check("clocks", "shuffles of every file's time change nothing")
    run = bench.fresh()
    child.run(bench.folder / "out", "train", *WORDS, "--out", run)
    for _ in range(bench.count(1, 50)):
        for path in (run / "checkpoints").rglob("*"):
            then = bench.choose.uniform(0, 4e9)
            os.utime(path, (then, then))
        shutil.rmtree(checkpoint.latest(run / "checkpoints"))
        bench.goes_on(check, run)
    return check


def _named(path: Path, name: str) -> bool:
    """Whether loading refuses, with the file's name."""
    try:
        checkpoint.load(path)
    except ValueError as error:
        return name in str(error)
    return False
