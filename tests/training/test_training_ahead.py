"""Batches that worker processes read: the same for any number of workers, or an error that says why not."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from undiffuse.data import Images
from undiffuse.signals import LEAVE, Left, Signals
from undiffuse.training import Batches

COUNT, SIZE, STEPS = 23, 5, 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, r = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(r.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(root / f"{i:02d}.png")
    return root


def batches_of(folder: Path, workers: int, **options) -> Batches:
    data = Images(folder, memory=0, workers=workers, **options).load().train
    return Batches(data, lambda x: x, SIZE, seed=3, flips=True)


def stream(batches: Batches, first: int = 0) -> list[torch.Tensor]:
    return list(batches.closing(batches(step) for step in range(first, STEPS)))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(folder: Path, workers: int):
    """Across the end of an epoch, and from a later step on as a resumed run asks for them."""
    expected = stream(batches_of(folder, 0))
    before = torch.random.get_rng_state()
    batches = batches_of(folder, workers)
    assert all(map(torch.equal, stream(batches), expected))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_resumed_run_begins_at_its_own_step_and_leaves_no_worker_behind(folder: Path):
    batches = batches_of(folder, 1)
    events = batches.closing(batches(step) for step in range(10**5, 10**6))
    assert torch.equal(next(events), batches_of(folder, 0)(10**5))
    (worker,) = batches._ahead._batches._workers
    assert worker.is_alive()
    events.close()
    worker.join(10)
    assert not worker.is_alive()


def test_what_workers_cannot_read_is_named_or_skipped(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() if path.name != "07.png" else b"")
    bad = Images(tmp_path, memory=0, skip_bad=True).load().train
    alone, workers = (batches_of(tmp_path, n, skip_bad=True) for n in (0, 1))
    assert all(map(torch.equal, stream(workers), stream(alone)))
    assert [Path(name).name for name in workers.data.skipped] == ["07.png"]
    bad.skipped, bad.workers = None, 1
    with pytest.raises(ValueError, match=r"07\.png cannot be read") as caught:
        stream(Batches(bad, lambda x: x, SIZE, seed=3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", LEAVE)
def test_a_signal_to_all_processes_leaves_the_workers_to_the_training(folder: Path, number: signal.Signals):
    batches = batches_of(folder, 1)
    events = batches.closing(batches(step) for step in range(10**6))
    next(events)
    (worker,) = batches._ahead._batches._workers
    os.kill(worker.pid, number)
    assert all(next(events).shape == (SIZE, 3, 6, 5) for _ in range(9))
    began = time.monotonic()
    events.close()
    worker.join(10)
    assert not worker.is_alive() and time.monotonic() - began < 4


def test_a_dead_worker_ends_the_run_in_ten_seconds(folder: Path):
    """Where its batch is waited for, not wherever the program happens to be."""
    handler = signal.getsignal(signal.SIGCHLD)
    batches = batches_of(folder, 1)
    events = batches.closing(batches(step) for step in range(10**6))
    next(events)
    assert signal.getsignal(signal.SIGCHLD) is handler
    (worker,) = batches._ahead._batches._workers
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(10)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"reads data ahead has died .*fewer data\.workers"):
        list(events)
    assert time.monotonic() - began < 10


def test_a_signal_while_the_workers_start_is_obeyed_at_once(folder: Path):
    """The first batch is left, the workers, which have heard nothing, are ended before they could read it."""
    batches, killed = batches_of(folder, 2), time.monotonic() + 0.3
    send = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM])
    with Signals() as signals:
        send.start()
        with pytest.raises(Left), signals.leaving():
            batches(0)
        workers = batches._ahead._batches._workers
        assert len(workers) == 2
        batches._ahead.close()
    assert not any(worker.is_alive() for worker in workers)
    assert time.monotonic() - killed < 2.5  # and not the seconds that it takes them to import PyTorch
