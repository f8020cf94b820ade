"""Kills of runs that go back after a loss spike (F15)."""

import signal
import time
from typing import Any

from torch import Tensor

from tools.faults import child
from tools.faults.subject import WORDS, Bench, Check, digest
from undiffuse.training import loop
from undiffuse.training.parallel import Parallel

RULES = (
    "train.steps=40",
    "train.checkpoint_every=8",
    "train.keep=1",
    "train.spike=3",
    "train.on_spike=rewind",
)
AT = (27, 30)  # batches: the second is met after the first way back


def spikes(bench: Bench) -> Check:
    """Killed or stopped by SIGTERM at random times, and started again: the same ways back and bits."""
    check = Check(
        "spikes", "runs that go back twice, killed and stopped at random times, end with the same bits"
    )
    began, whole = time.perf_counter(), bench.fresh()
    first = bench.train(whole, *RULES, patch=spiky)
    length = time.perf_counter() - began
    told = (whole / "events.jsonl").read_text()
    check.expect(first.code == 0 and told.count('rewind", "to": 24') == 2, told + first.text[-300:])
    for i in range(bench.count(2, 100)):
        run = bench.fresh()
        for _ in range(4):
            words = ("train", *WORDS, *RULES, "--out", run)
            started = child.start(bench.folder / "out", *words, patch=spiky)
            time.sleep(bench.choose.uniform(0, length))
            started.send((signal.SIGKILL, signal.SIGTERM)[i % 2])
            started.wait()
        last = bench.train(run, *RULES, patch=spiky)
        check.expect(last.code == 0 and digest(run) == digest(whole), f"{run.name}: {last.text[-300:]}")
    return check


def spiky() -> None:
    """The losses of two batches are a thousand times as large, in this process."""
    real = loop._backward

    def backward(parallel: Parallel, x_0: Tensor, given: Any, noise: loop.Noise, state: loop.State) -> Tensor:
        return real(parallel, x_0, given, noise, state) * (1000 if state.batch in AT else 1)

    loop._backward = backward
