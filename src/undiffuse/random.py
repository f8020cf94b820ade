"""Explicit randomness: every draw is keyed by what it is for, never by what was drawn before.

A key is any tuple of words and integers, such as ``(seed, "noise", step)``; its BLAKE2 hash starts a
counter-based stream. Nothing has to be saved to repeat a draw, and example i of seed s sees the same
noise whatever batch it is in, because `Streams` keeps one Philox stream a row. Training draws more, and
faster, by `Batch`: row i of a batch sees the same noise whichever process, or part of the batch, it is in.
Noise is drawn in float64 and cast, since float32 draws differ between CPU instruction sets.

Models, samplers and bounds accept a `torch.Generator`, `Streams` or `Batch` as their `generator`; objectives
a `torch.Generator` or a `Batch`, since the times of a batch are drawn together.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from undiffuse.tensors import dims

Key = str | int
CHUNK = 2048  # values a row draws ahead: amortises the per-row call over many cheap steps
BLOCK = 64  # rows that training draws together, at least


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


class Streams:
    """One independent random stream for every row of a batch.

    Row i of ``Streams(*key, rows=range(a, b))`` depends on the key and on ``a + i`` alone: the row's number
    is added to the key, and Philox streams of different keys are independent. Rows of the same number, as
    in ``rows=[3, 3]``, draw the same.

    >>> alone = normal((1, 3), Streams(0, "demo", rows=range(7, 8)))
    >>> among = normal((9, 3), Streams(0, "demo", rows=range(0, 9)))
    >>> bool((alone[0] == among[7]).all())
    True
    """

    def __init__(self, *key: Key, rows: Sequence[int]) -> None:
        self._base, self._rows = digest(*key), rows
        self._bits = np.random.Philox(key=0)
        self._fresh = self._bits.state
        self._generator = np.random.Generator(self._bits)
        self._chunks = 0
        self._ahead: dict[tuple[str, int], tuple[np.ndarray, int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        """float64 ``(rows, ...)`` of kind ``"normal"`` or ``"uniform"``; each row from its own stream."""
        if shape[0] != len(self):
            raise ValueError(f"{len(self)} random streams cannot fill a batch of {shape[0]}")
        size = dims(shape[1:])
        ahead, used = self._ahead.get((kind, size), (np.empty((0, 0, 0)), 0))
        if used == len(ahead):
            ahead, used = self._fill(kind, max(1, CHUNK // max(size, 1)), size), 0
        self._ahead[kind, size] = ahead, used + 1
        return torch.from_numpy(ahead[used]).reshape(shape)

    def _fill(self, kind: str, calls: int, size: int) -> np.ndarray:
        """The next (calls, rows, size): one generator, set to each row's key and the chunk's counter."""
        out = np.empty((len(self), calls * size))
        fill = self._generator.standard_normal if kind == "normal" else self._generator.random
        self._fresh["state"]["counter"][:] = 0, 0, 0, self._chunks
        for row, line in zip(self._rows, out, strict=True):
            key = (self._base + row) % 2**128
            self._fresh["state"]["key"][:] = key % 2**64, key >> 64
            self._bits.state = self._fresh
            fill(out=line)
        self._chunks += 1
        return np.ascontiguousarray(out.reshape(len(self), calls, size).swapaxes(0, 1))


class Batch:
    """Random numbers for some rows of a batch of `size`; row i draws the same whichever rows it is with.

    They are drawn in blocks of rows, whole blocks only: rows that lie together cost little more than alone.

    >>> whole = normal((6, 3), Batch(0, "demo", rows=range(6), size=6))
    >>> some = normal((2, 3), Batch(0, "demo", rows=range(4, 6), size=6))
    >>> bool((whole[4:] == some).all())
    True
    """

    def __init__(self, *key: Key, rows: Sequence[int] | Tensor, size: int) -> None:
        self.key, self.rows, self.size = key, torch.as_tensor(rows), size
        self._calls = 0
        self._generator = torch.Generator()

    def __len__(self) -> int:
        return len(self.rows)

    def whole(self) -> torch.Generator:
        """A generator for what is drawn for all of the batch at once, the same for any rows of it."""
        return keyed(*self.key, "whole")

    def part(self, name: str, index: Tensor) -> "Batch":
        """For the rows at these places of its own, to draw something else."""
        return Batch(*self.key, name, rows=self.rows[index], size=self.size)

    def repeated(self, times: int) -> "Batch":
        """For every row so many times over, each with its own draws."""
        rows = (self.rows.unsqueeze(1) * times + torch.arange(times)).flatten()
        return Batch(*self.key, "repeated", rows=rows, size=self.size * times)

    def draw(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        """float64 ``(rows, ...)`` of kind ``"normal"`` or ``"uniform"``."""
        if shape[0] != len(self):
            raise ValueError(f"noise for {len(self)} rows cannot fill a batch of {shape[0]}")
        if not len(self):
            return torch.empty(shape, dtype=torch.float64)
        base, self._calls = digest(*self.key, "call", self._calls), self._calls + 1
        block = max(BLOCK, CHUNK // max(dims(shape[1:]), 1))
        first, last = int(self.rows.min()) // block, int(self.rows.max()) // block
        fill = torch.randn if kind == "normal" else torch.rand
        noise = [
            fill(
                (min(block, self.size - number * block), *shape[1:]),
                generator=self._generator.manual_seed((base + number) % 2**63),
                dtype=torch.float64,
            )
            for number in range(first, last + 1)
        ]
        return torch.cat(noise)[self.rows - first * block]


Generator = torch.Generator | Streams | Batch


def normal(
    shape: tuple[int, ...],
    generator: Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise of this shape."""
    if not isinstance(generator, torch.Generator):
        return generator.draw("normal", shape).to(device, dtype)
    noise = torch.randn(shape, generator=generator, device=generator.device, dtype=_exact(generator))
    return noise.to(device, dtype)


def uniform(
    shape: tuple[int, ...],
    generator: Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform noise on [0, 1) of this shape; what the dtype would round to 1 is the number below it."""
    if not isinstance(generator, torch.Generator):
        noise = generator.draw("uniform", shape)
    else:
        noise = torch.rand(shape, generator=generator, device=generator.device, dtype=_exact(generator))
    return noise.to(device, dtype).clamp(max=1 - torch.finfo(dtype).eps / 2)


def _exact(generator: torch.Generator) -> torch.dtype:
    """float64 wherever the device has it."""
    return torch.float32 if generator.device.type == "mps" else torch.float64
