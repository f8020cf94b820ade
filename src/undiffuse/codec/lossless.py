"""Lossless coding: bits back along the chain (Townsend et al. 2019; Kingma et al. 2019, Bit-Swap).

    for t going up the chain:   pop x_t from q(x_t | x_s),   push x_s with p(x_s | x_t)
    at its end:                 push x_1 with the prior

Popping gives back the bits that choosing x_t cost, so that on average an example adds

    E[sum log q(x_t | x_s) - log p(x_s | x_t)] - log p(x_1)    nats,

the bound. A pop always comes just before a push, so that what has to lie on the stack does not grow with the
chain; the first examples go alone, and groups grow as there is more to pop from. Decoding runs the same
backwards.
"""

import math
from collections.abc import Iterator
from itertools import pairwise, starmap

import numpy as np
import torch
from torch import Tensor

from undiffuse.codec.chain import Chain, Plan, cells
from undiffuse.codec.chunk import Chunk
from undiffuse.codec.coder import Stack
from undiffuse.codec.method import Method
from undiffuse.codec.rounding import Follower, Recorder, Rounding
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.tensors import dims
from undiffuse.track import Track

STACKED = 2**22  # values that share a stack
GROUPED = 2**14  # values that go through the network together, or eight examples


class Lossless(Method):
    """Bits back, for any kernel: exact, and within a hundredth of the bound once there are many examples."""

    number = 1

    def beside(
        self, model: Denoiser, shape: tuple[int, ...], plan: Plan, base: Tensor, nats: Tensor
    ) -> float:
        """The first bits on the stack: what the first example pops before as much has been pushed.

        Of symbols, whose latents are few bits wide, only the coder's own words are counted.
        """
        kernel, words = model.kernel, 64.0
        if not isinstance(kernel, Gaussian):
            return words
        grid = plan.grid(base)
        width = torch.tensor([float(each) for each in cells(kernel, grid, plan.resolution)]).log2()
        steps = kernel.coefficients(torch.cat([torch.zeros(1, dtype=torch.float64), grid[:-1]]), grid)
        popped = _normal_bits(steps.beta) - width
        pushed = nats / (dims(shape) * math.log(2))
        pushed[1:] += _normal_bits(steps.var[1:]) - width[:-1]
        need = popped.cumsum(0) - torch.cat([torch.zeros(1, dtype=torch.float64), pushed.cumsum(0)[:-1]])
        return words + dims(shape) * max(0.0, float(need.max()))

    def encode(self, chain: Chain, numbers: np.ndarray, track: Track) -> list[Chunk]:
        """One stack after another, each of up to `STACKED` values."""
        stacks = track.over(_stacks(len(numbers), chain.shape))
        return [_encode(chain.rows(rows), numbers[rows], part) for rows, part in stacks]

    def decode(self, chain: Chain, chunks: list[Chunk], count: int, track: Track) -> np.ndarray:
        """Stack by stack."""
        ends = np.cumsum([0, *(chunk.count for chunk in chunks)]).tolist()
        stacks = track.over(list(zip(chunks, starmap(slice, pairwise(ends)), strict=True)))
        return np.concatenate([_decode(chain.rows(rows), chunk, part) for (chunk, rows), part in stacks])


def _normal_bits(var: Tensor) -> Tensor:
    """Differential entropy."""
    return 0.5 * (2 * math.pi * math.e * var).log2()


def spare_words(shape: tuple[int, ...]) -> int:
    """How many lie below a stack at first: 32 bits for every value of the largest group."""
    return 4 + _most(shape) * dims(shape)


def _most(shape: tuple[int, ...]) -> int:
    """Examples of the largest group."""
    return max(8, GROUPED // dims(shape))


def _encode(chain: Chain, numbers: np.ndarray, track: Track) -> Chunk:
    stack = Stack(np.zeros(0, np.uint32), spare_words(chain.shape))
    rounding = Recorder()
    groups = list(enumerate(_groups(len(numbers), chain.shape)))
    for (group, rows), part in track.over(groups):
        _push(chain.rows(rows), stack, numbers[rows].ravel(), rounding, _first_call(chain, group), part)
    words, spare = stack.words()
    return Chunk(len(numbers), words, spare, rounding.sides)


def _push(chain: Chain, stack: Stack, lower: np.ndarray, rounding: Rounding, call: int, track: Track) -> None:
    """Data up to the prior."""
    for i in track.each(range(1, len(chain) + 1)):
        upper = stack.pop(chain.forward(i, _values(chain, i - 1, lower), rounding, call + 2 * i))
        stack.push(chain.reverse(i, _values(chain, i, upper), rounding, call + 2 * i + 1), lower)
        lower = upper
    stack.push(chain.prior(len(lower) // dims(chain.shape), rounding, call), lower)


def _decode(chain: Chain, chunk: Chunk, track: Track) -> np.ndarray:
    if chunk.spare > spare_words(chain.shape):
        raise ValueError("damaged: more words lie below the data than any encoder puts there")
    stack, rounding = Stack(chunk.words, chunk.spare), Follower(chunk.sides)
    found = []
    groups = list(enumerate(_groups(chunk.count, chain.shape)))[::-1]
    for (group, rows), part in track.over(groups):
        count = rows.stop - rows.start
        popped = _pop(chain.rows(rows), stack, count, rounding, _first_call(chain, group), part)
        found.append(popped.reshape(count, -1))
    if not stack.restored():
        raise ValueError("damaged: the data do not end where they should")
    return np.concatenate(found[::-1])


def _pop(chain: Chain, stack: Stack, count: int, rounding: Rounding, call: int, track: Track) -> np.ndarray:
    """The same backwards: from the prior down to the data."""
    upper = stack.pop(chain.prior(count, rounding, call))
    for i in track.each(range(len(chain), 0, -1)):
        lower = stack.pop(chain.reverse(i, _values(chain, i, upper), rounding, call + 2 * i + 1))
        stack.push(chain.forward(i, _values(chain, i - 1, lower), rounding, call + 2 * i), upper)
        upper = lower
    return upper


def _stacks(count: int, shape: tuple[int, ...]) -> list[slice]:
    rows = max(1, STACKED // dims(shape))
    return [slice(start, min(count, start + rows)) for start in range(0, count, rows)]


def _groups(count: int, shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows that go through the network together: one at first, then a twelfth of those before."""
    start, most = 0, _most(shape)
    while start < count:
        size = min(1 + start // 12, most, count - start)
        yield slice(start, start + size)
        start += size


def _first_call(chain: Chain, group: int) -> int:
    """The number of a group's first call: each has two a step, and one for the prior."""
    return group * 2 * (len(chain) + 1)


def _values(chain: Chain, i: int, numbers: np.ndarray) -> np.ndarray:
    return chain.alphabets[i].values(numbers)
