"""Batches read ahead by worker processes, in the order in which they are asked for.

PyTorch's loader is given the list of rows of every step from the one asked for on, so a worker never
decides what is read: any number of them gives the same batches, and a resumed run starts at its own step.
The processes are spawned, not forked: they share no threads, locks or random state with the training.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import resource_tracker
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from undiffuse.data import Rows
from undiffuse.random import keyed
from undiffuse.signals import LEAVE, SAVE, deferred, unblock

DEAD = "DataLoader worker"  # how PyTorch's messages of a dead one begin
MOMENT = 0.5  # seconds


class Ahead:
    """Examples of `data` by step, read ahead by its workers.

    Args:
        data: rows with ``workers`` of at least 1.
        rows: the row numbers of a step.
    """

    def __init__(self, data: Rows, rows: Callable[[int], Tensor]) -> None:
        self.data, self.rows = data, rows
        self._next = -1
        self._batches: Iterator[Any] = iter(())

    def __call__(self, step: int) -> Tensor:
        """The examples of this step; the workers start anew unless it follows the last one.

        Raises what reading raised in a worker; RuntimeError if one died.
        """
        if step != self._next:
            self.close()
            _track()
            with deferred(), _own_signals():
                self._batches = iter(self._loader(step))
        self._next = step + 1
        examples, skipped, error = next(self._batches)
        if error is not None:
            raise error
        if self.data.skipped is not None:
            self.data.skipped.update(skipped)
        return cast(Tensor, examples)

    def close(self) -> None:
        """End the workers; those that still start, or read, after a moment are killed: nothing is lost."""
        late = threading.Timer(MOMENT, _kill, [getattr(self._batches, "_workers", [])])
        late.start()
        self._next, self._batches = -1, iter(())  # its end asks them to go, and waits
        late.cancel()

    def _loader(self, step: int) -> DataLoader[Any]:
        return DataLoader(
            _Reader(self.data),
            batch_sampler=_Steps(self.rows, step),
            num_workers=self.data.workers,
            collate_fn=_as_it_is,
            multiprocessing_context="spawn",
            worker_init_fn=_stay,
            generator=keyed("workers"),  # or it would draw from the global one
        )


def _kill(workers: list[Any]) -> None:
    for worker in workers:
        worker.kill()


def dead_worker(error: RuntimeError) -> RuntimeError:
    """What to say when PyTorch reports a dead worker."""
    reason = str(error).splitlines()[0].rstrip(". ")
    return RuntimeError(
        f"a process that reads data ahead has died ({reason}): it was killed, perhaps for want of memory; "
        "resume with fewer data.workers, 0 for none"
    )


def _track() -> None:
    """Start what `multiprocessing` starts before its first process: it would unblock signals on the way."""
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGCHLD: PyTorch's raises wherever the program happens to be, even in a save.

    Without it a dead worker is noticed where its batch is waited for, within five seconds.
    """
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)


def _stay(_: int) -> None:
    """In a worker: signals to all of a run's processes, such as Ctrl-C, are the training's to answer.

    Until now they were blocked. The training may need another batch before it saves; then it ends its
    workers. One that cannot, killed while this one starts, is not missed by PyTorch.
    """
    threading.Thread(target=_end_with_training, name="training", daemon=True).start()
    for number in (*LEAVE, *SAVE):
        signal.signal(number, signal.SIG_IGN)
    unblock()


def _end_with_training() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Steps:
    """The rows of every step from the first on."""

    def __init__(self, rows: Callable[[int], Tensor], first: int) -> None:
        self.rows, self.first = rows, first

    def __iter__(self) -> Iterator[list[int]]:
        return (self.rows(step).tolist() for step in count(self.first))


class _Reader(Dataset[Any]):
    """In a worker: the examples of some rows, what was skipped, and what reading raised."""

    def __init__(self, data: Rows) -> None:
        self.data = data

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, dict[str, str], Exception | None]:
        try:
            return self.data.read(rows), dict(self.data.skipped or {}), None
        except (ValueError, OSError) as error:
            return torch.empty(0), {}, type(error)(str(error))


def _as_it_is(batch: Any) -> Any:
    return batch
