"""Signals (F9), many starts at once (F10), other recipes (F11)."""

import re
import signal
import time

from tools.faults import child
from tools.faults.subject import WORDS, Bench, Check, digest
from undiffuse.signals import LEAVE
from undiffuse.training import checkpoint


def signals(bench: Bench) -> Check:
    """SIGTERM, SIGINT, SIGHUP at random times: saved at that step, the same bits after going on."""
    check = Check("signals", "signals: saved at that very step, exit 128 + number, the same bits afterwards")
    slowest = 0.0
    for i in range(bench.count(3, 200)):
        number, run = LEAVE[i % len(LEAVE)], bench.fresh()
        started = child.start(bench.folder / "out", "train", *WORDS, "--out", run)
        while not (run / "metrics.jsonl").exists() and started.poll() is None:
            time.sleep(0.001)
        time.sleep(bench.choose.uniform(0, 0.1))
        started.send(signal.SIGUSR1)
        began = time.perf_counter()
        started.send(number)
        started.wait()
        slowest = max(slowest, time.perf_counter() - began)
        step = re.search(r"after step (\d+): saved", started.text)
        if started.code != 0:  # else it was done before
            saved = checkpoint.latest(run / "checkpoints").name if step else ""
            good = step and started.code == 128 + number and saved == f"step-{int(step[1]):08d}"
            check.expect(bool(good), f"exit {started.code}, {saved}: {started.text[-300:]}")
        bench.goes_on(check, run)
    check.notes.append(f"slowest exit {slowest:.2f} s")
    return check


def twice(bench: Bench) -> Check:
    """A second signal ends the process at once; what it leaves goes on to the same bits."""
    check = Check("twice", "second signals end at once, the same bits afterwards")
    for _ in range(bench.count(2, 50)):
        run = bench.fresh()
        started = child.start(bench.folder / "out", "train", *WORDS, "--out", run)
        time.sleep(bench.choose.uniform(0.1, 0.5))
        started.send(signal.SIGTERM)
        time.sleep(0.001)
        began = time.perf_counter()
        started.send(signal.SIGTERM)
        started.wait()
        quick = time.perf_counter() - began < 5
        bench.goes_on(check, run, good=quick)
    return check


def starts(bench: Bench) -> Check:
    """Sixteen starts in one folder: one trains, the others say who does, and leave with 75."""
    check = Check("starts", "rounds of 16 starts: one trains, fifteen leave with 75 naming it")
    whole = bench.whole()
    for _ in range(bench.count(1, 20)):
        run = bench.fresh()
        bench.train(run, patch=_one_step)  # begun, and stopped at once
        many = [
            child.start(bench.folder / f"out{i}", "train", *WORDS, "--out", run, patch=_slow)
            for i in range(16)
        ]
        codes = [started.wait() for started in many]
        ran = [started.pid for started in many if started.code == 0]
        busy = [started for started in many if started.code == 75]
        named = all(re.search(rf"in use by process ({'|'.join(map(str, ran))}) on ", b.text) for b in busy)
        good = (len(ran), len(busy)) == (1, 15) and named
        check.expect(good and digest(run) == whole, f"exit codes {codes}: {many[0].text[-200:]}")
    started = child.start(bench.folder / "out", "train", *WORDS, "--out", bench.fresh(), patch=_slow)
    time.sleep(0.3)
    started.kill()
    check.expect(started.code == -signal.SIGKILL, "it was done before it was killed")
    return check


def recipes(bench: Bench) -> Check:
    """Another recipe into the folder of a run: refused by the keys that differ."""
    check = Check("recipes", "other recipes refused, by key")
    bench.whole()
    run = bench.folder / "whole"
    before = digest(run)
    for change in ("train.lr=0.5", "network.hidden=9", "seed=1", "train.batch=8", "grid.steps=13"):
        other = bench.train(run, change)
        key = change.partition("=")[0]
        check.expect(other.code == 2 and f"{change}, was" in other.text, f"{key}: {other.text[-300:]}")
    again = bench.train(run)
    check.expect(again.code == 0 and "already trained" in again.text, again.text[-300:])
    check.expect(digest(run) == before, "a finished run was changed")
    return check


def _slow() -> None:
    """Steps that take a while, so that all have started before one is done."""
    from undiffuse.runs import training_run

    quick = training_run.train

    def slow(*arguments: object) -> object:
        for progress in quick(*arguments):  # type: ignore[arg-type]
            time.sleep(0.15)
            yield progress

    training_run.train = slow  # type: ignore[assignment]


def _one_step() -> None:
    """Stop after the first step."""
    from undiffuse.runs import training_run

    quick = training_run.train

    def one(*arguments: object) -> object:
        for progress in quick(*arguments):  # type: ignore[arg-type]
            signal.raise_signal(signal.SIGTERM)
            yield progress

    training_run.train = one  # type: ignore[assignment]
