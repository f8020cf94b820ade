"""The processes that share one piece of work: those of `torch.distributed`, or this one alone.

Everything is divided by number: process r of R takes its range of a batch's rows, and every R-th of a list's
items. Since randomness is keyed by row and item too (`undiffuse.random`), what comes out does not depend on
how many processes there are. The first of them, of rank 0, writes what is not a file of its own.

What they tell one another travels as numbers or JSON, never as pickled objects.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import copy
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from undiffuse.signals import Left

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # that the others wait for one which draws figures or saves
LOST = ("gloo", "nccl", "connection closed", "connection reset")  # words of the errors when one has died


class LeaderError(RuntimeError):
    """The first process failed."""

    said_by_first, exit_code = True, 0  # its own counts


class LostError(RuntimeError):
    """Another process of this run is gone."""

    of_another = True
    exit_code = 75  # EX_TEMPFAIL of sysexits.h: the next start goes on


class Processes:
    """This process alone; `Group` is for more. `rank` counts from 0 to `size` - 1."""

    rank, size = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def part(self, count: int) -> range:
        """This process's of `count` rows: contiguous, as equal as can be. Raises ValueError for none."""
        if count < self.size:
            raise ValueError(f"{count} rows: {self.size} processes need one each")
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def total(self, values: list[float]) -> list[float]:
        """The sum of every value over the processes."""
        return values

    def summed(self, t: Tensor) -> Tensor:
        """The sum of a tensor over the processes, where it is."""
        return t

    def largest(self, value: int) -> int:
        """The largest of the processes' values."""
        return value

    def meet(self) -> None:
        """Wait for all the others."""

    def gather(self, t: Tensor) -> Tensor:
        """The tensors (n_r, ...) of all processes along their first dimension, by rank."""
        return t

    def share(self, value: T) -> T:
        """The first one's value, of JSON."""
        return self.collect(value)[0]

    def collect(self, value: T) -> list[T]:
        """The value, of JSON, of every process, by rank."""
        return [value]

    @contextmanager
    def watched(self, advice: str) -> Iterator[None]:
        """Inside, the death of another process raises LostError with the advice."""
        yield

    def lead(self, work: Callable[[], T]) -> T:
        """What the first one's work returns, of JSON. If it raises, LeaderError is raised in the others."""
        failure: Exception | None = None
        told: list[Any] = []
        if self.leads:
            try:
                told = [work()]
            except Exception as error:
                failure = error
        told = self.share(told)
        if failure is not None:
            raise failure
        if not told:
            raise LeaderError("the first process failed")
        result: T = told[0]
        return result

    def stoppable(self, leaving: Callable[[], AbstractContextManager[object]]) -> "Processes":
        """These, whose `spread` works inside `leaving`: if one of them leaves by Left, all do."""
        return self

    def rounds(self, count: int) -> int:
        """How many of `count` items each process computes."""
        return -(-count // self.size)

    def spread(self, work: Callable[[int], Tensor], count: int) -> Iterator[Tensor]:
        """`work(i)` for i = 0 .. count - 1, in order, each computed by one process and known to all.

        The last round computes some item twice, so that all processes do as much.
        """
        for begin in range(0, count, self.size):
            number = min(begin + self.rank, count - 1)
            yield from self.gather(work(number).unsqueeze(0))[: count - begin]


ALONE = Processes()


class Group(Processes):
    """The processes of torch's default group, whose tensors meet on `device`."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.device = device
        self._leaving: Callable[[], AbstractContextManager[object]] | None = None

    def total(self, values: list[float]) -> list[float]:
        """By one all-reduce, in float64."""
        t = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(t)
        return t.tolist()

    def summed(self, t: Tensor) -> Tensor:
        """By one all-reduce, in its own dtype."""
        distributed.all_reduce(t)
        return t

    def largest(self, value: int) -> int:
        """By one all-reduce."""
        t = torch.tensor(value, device=self.device)
        distributed.all_reduce(t, distributed.ReduceOp.MAX)
        return int(t)

    def meet(self) -> None:
        """By a barrier."""
        distributed.barrier()

    def gather(self, t: Tensor) -> Tensor:
        """Lengths first, then the tensors, padded to the longest."""
        length = torch.tensor([len(t)], device=self.device)
        lengths = [torch.empty_like(length) for _ in range(self.size)]
        distributed.all_gather(lengths, length)
        padded = t.new_zeros((int(max(lengths)), *t.shape[1:]), device=self.device)
        padded[: len(t)] = t
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        return torch.cat([part[: int(n)] for part, n in zip(parts, lengths, strict=True)]).to(t.device)

    def collect(self, value: T) -> list[T]:
        """As JSON, gathered byte by byte."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = self.gather(torch.tensor([len(text)]))
        texts = torch.split(self.gather(text), lengths.tolist())
        return [json.loads(each.numpy().tobytes()) for each in texts]

    def stoppable(self, leaving: Callable[[], AbstractContextManager[object]]) -> "Group":
        """They tell each other after every round."""
        made = copy(self)
        made._leaving = leaving
        return made

    def spread(self, work: Callable[[int], Tensor], count: int) -> Iterator[Tensor]:
        """As of one, with Left in all that are `stoppable`, if it came in any."""
        return super().spread(work if self._leaving is None else partial(self._left_together, work), count)

    def _left_together(self, work: Callable[[int], Tensor], number: int) -> Tensor:
        assert self._leaving is not None
        done = []
        with suppress(Left), self._leaving():
            done.append(work(number))
        if self.largest(int(not done)):
            raise Left
        return done[0]

    @contextmanager
    def watched(self, advice: str) -> Iterator[None]:
        """By the words of the transport's error."""
        try:
            yield
        except RuntimeError as error:
            if not _is_loss(error):
                raise
            raise LostError(f"another process of this run is gone; {advice}") from error


def _is_loss(error: RuntimeError) -> bool:
    """Whether PyTorch says so: gloo has no error of its own."""
    words = type(error) is RuntimeError and any(word in str(error).lower() for word in LOST)
    return words or isinstance(error, distributed.DistError)


@contextmanager
def grouped(device: torch.device, patience: timedelta = PATIENCE) -> Iterator[Processes]:
    """The processes that torchrun's environment names: NCCL for GPUs, gloo otherwise.

    They part in order if all went well. After an error they do not: the others may be waiting for this one,
    which has something to say first.
    """
    if distributed.is_initialized():
        yield Group(device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    yield Group(device)
    distributed.destroy_process_group()
