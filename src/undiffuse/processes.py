"""The processes that share one piece of work: those of `torch.distributed`, or this one alone.

Everything is divided by number: process r of R takes its range of a batch's rows, and every R-th of a list's
items. Since randomness is keyed by row and item too (`undiffuse.random`), what comes out does not depend on
how many processes there are. The first of them, of rank 0, is the only one that writes.

What they tell one another travels as numbers or JSON, never as pickled objects.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # that the others wait for one which draws or saves
LOST = ("connection", "gloo", "nccl", "peer", "socket")  # words of the errors when another one has died


class LeaderError(RuntimeError):
    """The first process failed, and has said why."""


class LostError(RuntimeError):
    """Another process of this run is gone."""

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
            raise ValueError(f"train.batch={count}: {self.size} processes need an example each")
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def total(self, values: list[float]) -> list[float]:
        """The sum of every value over the processes."""
        return values

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
        return value

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

    def total(self, values: list[float]) -> list[float]:
        """By one all-reduce, in float64."""
        t = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(t)
        return t.tolist()

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

    def share(self, value: T) -> T:
        """As JSON, by two broadcasts."""
        text = json.dumps(value).encode() if self.leads else b""
        length = torch.tensor(len(text), device=self.device)
        distributed.broadcast(length, 0)
        if not self.leads:
            text = bytes(int(length))
        sent = torch.frombuffer(bytearray(text), dtype=torch.uint8).to(self.device)
        distributed.broadcast(sent, 0)
        result: T = json.loads(sent.cpu().numpy().tobytes())
        return result

    @contextmanager
    def watched(self, advice: str) -> Iterator[None]:
        """By the words of the transport's error."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, LeaderError | LostError) or not _is_loss(error):
                raise
            raise LostError(f"another process of this run is gone; {advice}") from error


def _is_loss(error: RuntimeError) -> bool:
    return any(word in str(error).lower() for word in LOST)


@contextmanager
def grouped(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun's environment names: NCCL for GPUs, gloo otherwise."""
    if distributed.is_initialized():
        yield Group(device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Group(device)
    finally:
        distributed.destroy_process_group()
