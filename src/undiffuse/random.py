"""Explicit randomness: every draw is keyed by what it is for, never by what was drawn before.

A key is any tuple of words and integers, such as ``(seed, "noise")``; its BLAKE2 hash is the key of a
counter-based generator (see `philox`), whose counter holds the row, the number of the call, and the place of
the number in the row. Nothing has to be saved to repeat a draw, it is the same on every device, and example i
of seed s sees the same noise whatever batch it is in.

Models, samplers and bounds accept a `torch.Generator`, `Streams` or `Batch` as their `generator`; objectives
a `torch.Generator` or a `Batch`, since the times of a batch are drawn together.
"""

import hashlib
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache, partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from undiffuse.devices import sent, widest
from undiffuse.philox import LOW, Array, normals, philox, uniforms
from undiffuse.tensors import dims

Key = str | int
CHUNK = {"cpu": 2**15}  # counters that go through the generator at a time: what the cache holds
AHEAD = 2**17  # numbers of later calls that are drawn with one, at most: a hundred operations cost as much
CALLS = 2**8  # of a step of training
TAIL = 2**31  # added to a call's number: the rest of what is float64


def digest(*key: Key) -> int:
    """128-bit integer that depends on every part of the key and on their order."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def keyed(*key: Key, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator that starts from the key."""
    return torch.Generator(device).manual_seed(digest(*key) % 2**63)


def root(generator: torch.Generator) -> int:
    """A seed for `Streams`, drawn from a generator: one draw, however many rows follow."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


class Wanted(NamedTuple):
    """What a call draws for every row."""

    kind: str
    size: int
    dtype: torch.dtype
    device: torch.device


class Streams:
    """One independent random stream for every row of a batch.

    Row i of ``Streams(*key, rows=range(a, b))`` depends on the key and on ``a + i`` alone, and so do its
    later calls. Rows of the same number, as in ``rows=[3, 3]``, draw the same.

    >>> alone = normal((1, 3), Streams(0, "demo", rows=range(7, 8)))
    >>> among = normal((9, 3), Streams(0, "demo", rows=range(0, 9)))
    >>> bool((alone[0] == among[7]).all())
    True
    """

    def __init__(self, *key: Key, rows: Sequence[int] | Tensor) -> None:
        self.key, self.rows = key, rows
        self._seed, self._calls = digest(*key) % 2**64, 0
        self._numbers = cache(partial(_numbers, rows))
        self._ahead: dict[Wanted, tuple[range, Tensor | None]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, kind: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The next ``(rows, ...)`` of kind ``"normal"`` or ``"uniform"``; each row from its own stream."""
        self._calls += 1
        return self.at(self._calls - 1, kind, shape, dtype, device)

    def at(
        self, call: int, kind: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """What call number `call` draws.

        Those that follow at the same distance are drawn with it, twice as many each time, while they are few.
        """
        if shape[0] != len(self):
            raise ValueError(f"{len(self)} random streams cannot fill a batch of {shape[0]}")
        wanted = Wanted(kind, dims(shape[1:]), dtype, device)
        if not len(self) * wanted.size:
            return torch.empty(shape, dtype=dtype, device=device)
        calls, drawn = self._ahead.get(wanted, (range(0), None))
        if drawn is None or call not in calls:
            calls = _following(call, calls, AHEAD // (len(self) * wanted.size))
            drawn = self._fill(calls, wanted)
            self._ahead[wanted] = calls, drawn if len(calls) > 1 else None
        found = drawn[calls.index(call)]
        if len(calls) > 1:  # it may be asked for again
            found = found.clone(memory_format=torch.contiguous_format)
        return found.contiguous().view(shape)

    def _fill(self, calls: range, wanted: Wanted) -> Tensor:
        """(calls, rows, size)."""
        kind, size, dtype, device = wanted
        blocks, rows = -(-size // 4), self._numbers(device)
        out = torch.empty(len(calls), len(rows), 4, blocks, dtype=dtype, device=device)
        height = max(1, CHUNK.get(device.type, 2**22) // (len(calls) * blocks))
        numbers, host = normals if kind == "normal" else uniforms, device.type == "cpu"
        for some, place in zip(torch.split(rows, height), torch.split(out, height, 1), strict=True):
            words, found = (
                self._words(calls, some, blocks),
                torch.empty_like(place.movedim(2, 0), memory_format=torch.contiguous_format),
            )
            tails = self._words(calls, some, blocks, TAIL) if dtype == torch.float64 else None
            numbers(np if host else torch, words, tails, found.numpy() if host else found)
            place.copy_(found.movedim(0, 2))
        return out.flatten(2)[:, :, :size]

    def _words(self, calls: range, rows: Tensor, blocks: int, shift: int = 0) -> Array:
        """(4, calls, rows, blocks); on a CPU NumPy's."""
        words, column = rows.new_empty(4, len(calls), len(rows), blocks), rows[:, None]
        ends = torch.arange(calls.start, calls.stop, calls.step, device=rows.device)[:, None, None]
        counter = torch.arange(blocks, device=rows.device), (ends + shift) & LOW, column & LOW, column >> 32
        for word, value in zip(words, counter, strict=True):
            word.copy_(value)
        found = words.numpy() if words.device.type == "cpu" else words
        philox(found, self._seed)
        return found


def _numbers(rows: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    if isinstance(rows, range):
        return torch.arange(rows.start, rows.stop, rows.step, device=device)
    return sent(torch.as_tensor(rows, dtype=torch.int64), device)


def _following(call: int, before: range, most: int) -> range:
    """The calls that are drawn with this one: they go on as it follows the last of those before."""
    stride = call - before[-1] if before else 0
    count = max(1, min(2 * len(before), most)) if stride > 0 else 1
    return range(call, call + count * max(stride, 1), max(stride, 1))


class Batch:
    """Random numbers for some rows of a batch of `size`; row i draws the same whichever rows it is with.

    One is made for all steps of a training, so that what is small is drawn some steps ahead: `at` a step it
    draws from the start, `CALLS` times at most.

    >>> whole = normal((6, 3), Batch(0, "demo", rows=range(6), size=6).at(9))
    >>> some = normal((2, 3), Batch(0, "demo", rows=range(4, 6), size=6).at(9))
    >>> bool((whole[4:] == some).all())
    True
    """

    def __init__(self, *key: Key, rows: Sequence[int] | Tensor, size: int) -> None:
        self.key, self.rows, self.size = key, torch.as_tensor(rows), size
        self._streams = Streams(*key, rows=rows)
        self.step = self._calls = 0
        self._times, self._index = 1, cast(Tensor | None, None)
        self._part = cache(lambda name: Streams(*key, "part", name, rows=rows))

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, step: int) -> "Batch":
        """What draws for this step."""
        new = copy(self)
        new.step, new._calls = step, 0
        return new

    def whole(self) -> torch.Generator:
        """A generator for what is drawn for all of the batch at once, the same for any rows of it."""
        return keyed(*self.key, "whole", self.step)

    def own(self, name: str) -> torch.Generator:
        """One for what is drawn for these rows alone."""
        return keyed(*self.key, name, self.step, int(self.rows[0]))

    def part(self, name: str, index: Tensor) -> "Batch":
        """For the rows at these places of its own, to draw something else."""
        new = copy(self)
        new.rows, new._streams, new._index, new._calls = self.rows[index], self._part(name), index, 0
        return new

    def repeated(self, times: int) -> "Batch":
        """For every row so many times over, each with its own draws."""
        new = copy(self)
        new.rows = (self.rows.unsqueeze(1) * times + torch.arange(times)).flatten()
        new.size, new._times = self.size * times, times
        return new

    def draw(self, kind: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """``(rows, ...)`` of kind ``"normal"`` or ``"uniform"``. Raises RuntimeError after too many calls."""
        if shape[0] != len(self):
            raise ValueError(f"noise for {len(self)} rows cannot fill a batch of {shape[0]}")
        if self._calls == CALLS:
            raise RuntimeError(f"an objective that draws more than {CALLS} times a step")
        call, self._calls = self.step * CALLS + self._calls, self._calls + 1
        every = len(self._streams), self._times, *shape[1:]
        drawn = self._streams.at(call, kind, every, dtype, device).flatten(0, 1)
        return drawn if self._index is None else drawn[sent(self._index, device)]


Generator = torch.Generator | Streams | Batch


def normal(
    shape: tuple[int, ...],
    generator: Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise of this shape."""
    return _drawn("normal", torch.randn, shape, generator, dtype, device)


def uniform(
    shape: tuple[int, ...],
    generator: Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform noise on [0, 1) of this shape; what the dtype would round to 1 is the number below it."""
    noise = _drawn("uniform", torch.rand, shape, generator, dtype, device)
    return noise.clamp_(max=1 - torch.finfo(dtype).eps / 2)


def _drawn(
    kind: str,
    fill: Callable[..., Tensor],
    shape: tuple[int, ...],
    generator: Generator,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    if isinstance(generator, torch.Generator):
        exact = widest(generator.device)
        return fill(shape, generator=generator, device=generator.device, dtype=exact).to(device, dtype)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    return generator.draw(kind, shape, exact, torch.device(device)).to(dtype)
