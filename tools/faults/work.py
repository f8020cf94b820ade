"""Kills while sampling and evaluating (F22, F23), broken data (F19, F20)."""

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tools.faults import child
from tools.faults.subject import Bench, Check
from undiffuse.data import read_npy


def sampling(bench: Bench) -> Check:
    """Killed while it draws shards: all that is visible is whole, and the set ends the same."""
    check = Check("sampling", "kills while sampling: only whole files seen, the same samples at the end")
    bench.whole()
    words = ("sample", bench.folder / "whole", "-n", 5000)
    folder = bench.folder / "whole" / "samples" / "seed0-from0-n5000"
    began = time.perf_counter()
    done = child.run(bench.folder / "out", *words)
    length, whole = time.perf_counter() - began, _bytes(folder)
    check.expect(done.code == 0 and len(whole) == 7, done.text[-300:])
    for _ in range(bench.count(2, 200)):
        shutil.rmtree(folder)
        for _ in range(3):
            started = child.start(bench.folder / "out", *words)
            time.sleep(bench.choose.uniform(0, length))
            started.kill()
            for path in folder.glob("*.npy"):
                check.expect(len(read_npy(path)) in (1024, 5000 - 4 * 1024), f"{path.name} is not whole")
        last = child.run(bench.folder / "out", *words)
        check.expect(last.code == 0 and _bytes(folder) == whole, last.text[-300:])
    return check


def evaluating(bench: Bench) -> Check:
    """Killed while it evaluates: the numbers, printed and written, are the same to the last digit."""
    check = Check("evaluating", "kills while evaluating: the same text and numbers at the end")
    run = bench.fresh()
    bench.train(run, "data.test=4000")
    words = ("evaluate", run, "--terms", 4)
    began = time.perf_counter()
    whole = child.run(bench.folder / "out", *words, patch=_often)
    length, numbers = time.perf_counter() - began, (run / "evaluation-test-4-terms.json").read_bytes()
    report = whole.text[whole.text.rindex("bits per dimension:") :]
    resumed = 0
    for _ in range(bench.count(2, 100)):
        (run / "evaluation-test-4-terms.json").unlink()
        started = child.start(bench.folder / "out", *words, patch=_often)
        time.sleep(bench.choose.uniform(0, length))
        started.kill()
        resumed += any(run.glob("partial-*.safetensors"))
        last = child.run(bench.folder / "out", *words, patch=_often)
        same = (run / "evaluation-test-4-terms.json").read_bytes() == numbers and report in last.text
        check.expect(last.code == 0 and same, f"{started.code == -signal.SIGKILL}: {last.text[-300:]}")
        check.expect(not any(run.glob("partial-*")), "the partial result is still there")
    check.notes.append(f"{resumed} went on from a partial result")
    return check


def data(bench: Bench) -> Check:
    """Files that cannot be read are named; data that changed since the run began are noticed."""
    check = Check("data", "broken files named, changed data noticed")
    for name, content in _broken().items():
        folder = bench.fresh("pictures")
        folder.mkdir()
        for i in range(4):
            Image.fromarray(np.full((8, 8), 60 * i, np.uint8)).save(folder / f"{i}.png")
        (folder / name).write_bytes(content)
        words = ("train", "images", f"data.path={folder}", "network.channels=4", "--out", bench.fresh())
        found = child.run(bench.folder / "out", *words)
        told = found.code == 2 and name in found.text and "Traceback" not in found.text
        check.expect(told, f"{name}: {found.text[-300:]}")
    check.expect(_changed(bench), "changed values went unnoticed")
    return check


def _changed(bench: Bench) -> bool:
    """Whether one changed value is noticed, and put up with if asked."""
    file, run = bench.fresh("data").with_suffix(".npy"), bench.fresh()
    values = np.random.default_rng(0).normal(size=(60, 2)).astype("f4")
    np.save(file, values)
    words = (
        "data.kind=array",
        f"data.path={file}",
        "network.hidden=8",
        "train.steps=4",
        "train.evaluate_every=0",
    )
    command = ("train", "swiss-roll", *words, "grid.steps=9", "--out", run)
    first = child.run(bench.folder / "out", *command)
    values[7, 1] += 1
    np.save(file, values)
    second = child.run(bench.folder / "out", *command)
    third = child.run(bench.folder / "out", *command, "--allow-data-change")
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    return (first.code, second.code, third.code, events) == (0, 2, 0, ["warning"])


def _broken() -> dict[str, bytes]:
    """Images that cannot be read, by name."""
    folder = Path(__file__).parent
    whole = _png(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8))
    return {
        "empty.png": b"",
        "cut.png": whole[: len(whole) // 2],
        "text.png": folder.joinpath("__init__.py").read_bytes(),
        "zeros.jpg": bytes(1000),
        "flipped.png": whole[:45] + bytes([whole[45] ^ 255]) + whole[46:],
        "alpha.png": _png(np.zeros((8, 8, 4), np.uint8)),
        "deep.png": _png(np.zeros((8, 8), np.uint16)),
        "size.png": _png(np.zeros((9, 8), np.uint8)),
        "colour.png": _png(np.zeros((8, 8, 3), np.uint8)),
        "bomb.png": whole[:16] + (50_000).to_bytes(4, "big") * 2 + whole[24:],
    }


def _png(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> bytes:
    import io

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _often() -> None:
    """Keep a partial result after every block."""
    from undiffuse.runs import jobs

    jobs.PAUSE = 0.0
