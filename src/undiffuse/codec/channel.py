"""Progressive coding of any Gaussian chain by reverse channel coding (Theis & Ahmed 2022, ordered random
coding).

To send a draw of q, both sides draw the same M candidates from p; the encoder picks number

    j* = argmax_j log q(x_j) - log p(x_j) + g_j,      g_1 >= .. >= g_M Gumbel numbers in falling order

which is nearly a draw of q, and sends it by a law that falls like j^-(1 + 1/(I + 1.6)), I the KL in bits.
That takes about I + log2(I + 1) + 4 bits and 2^I candidates, so a step is cut into blocks of elements with
about `BLOCK` bits each: the constant is paid for every block, which is what this costs beside `universal`.
"""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor

from undiffuse.codec.chain import Chain
from undiffuse.codec.coder import Law, QueueReader, QueueWriter, constriction
from undiffuse.codec.progressive import Progressive, shared
from undiffuse.codec.rounding import Recorder, Rounding
from undiffuse.distributions import Distribution, Normal
from undiffuse.tensors import total

BLOCK = 7.0  # bits that a block is meant to hold
CANDIDATES = 2**12
BITS = 12  # of the fields that say how a batch was cut
EARLY = 2.5  # bits at which ordered picks save half of what a block holds (`_ranked`)
FINE = 4  # places in its table to a bit


class Channel(Progressive):
    """For a chain as it was trained, however many steps; slow, and well above its bound."""

    number = 3

    def cost(self, nats: Tensor) -> Tensor:
        """Every block costs what the rank of its pick does."""
        bits = nats / math.log(2)
        blocks = (bits / BLOCK).ceil().clamp(1, 2**BITS - 1)
        place, table = (bits / blocks).clamp(0, BLOCK) * FINE, _ranked()
        low = place.long().clamp(max=len(table) - 2)
        return math.log(2) * blocks * torch.lerp(table[low], table[low + 1], place - low)

    def send(
        self, chain: Chain, i: int, x: Tensor, x_0: Tensor, out: QueueWriter, rounding: Rounding, call: int
    ) -> Tensor:
        """A pick of the candidates for every block."""
        p = chain.back(i, x).alone()
        q = chain.model.kernel.bridge(x_0, x, *chain.grid[i - 2 : i])
        assert isinstance(p, Normal) and isinstance(q, Normal)
        each = float(total(q.kl(p)).mean()) / math.log(2)  # bits an example
        blocks = int(np.clip(math.ceil(each / BLOCK), 1, min(x[0].numel(), 2**BITS - 1)))
        tenths = int(np.clip(round(10 * each / blocks), 0, 2**BITS - 1))
        out.push(_field(2), np.array([blocks, tenths], np.int32))
        aims = _blocks((q.mean - p.mean) / p.var.sqrt(), blocks)  # of q, in p's units
        ratios = _blocks((q.var / p.var).expand_as(x), blocks, 1.0)
        triples = zip(aims, ratios, _draws(x, blocks, i, call), strict=True)
        picks = [_pick(*each) for each in triples]
        numbers, found = (np.stack(part) for part in zip(*picks, strict=True))
        out.push(_rank(tenths, numbers.size), numbers.astype(np.int32).ravel())
        return _placed(p, found, x)

    def receive(
        self, chain: Chain, i: int, x: Tensor, read: QueueReader, rounding: Rounding, call: int
    ) -> Tensor:
        """The same candidates."""
        p = chain.back(i, x).alone()
        blocks, tenths = (int(number) for number in read.pop(_field(2)))
        if not 1 <= blocks <= x[0].numel():
            raise ValueError(f"{blocks} blocks of {x[0].numel()} elements")
        numbers = read.pop(_rank(tenths, len(x) * blocks)).reshape(len(x), blocks)
        pairs = zip(numbers, _draws(x, blocks, i, call), strict=True)
        found = np.stack([draws[np.arange(blocks), picks] for picks, draws in pairs])
        return _placed(p, found, x)


@cache
def _ranked() -> Tensor:
    """Bits of the rank of a block that holds 0, 1/4, .. `BLOCK` bits I, about.

    -E log p(j) = power E[log2 j] + log2 sum j^-power. Candidates with large Gumbel numbers come first, so
    that E[log2 j] is less than I: I^2 / (I + 2.5) to about a tenth of a bit for I up to 6, by simulation.
    """
    held = torch.arange(int(FINE * BLOCK) + 1, dtype=torch.float64) / FINE
    power, ranks = 1 + 1 / (held + 1.6), torch.arange(1, CANDIDATES + 1, dtype=torch.float64)
    return power * held.square() / (held + EARLY) + (ranks ** -power.unsqueeze(1)).sum(1).log2()


def _draws(x: Tensor, blocks: int, i: int, call: int) -> Iterator[np.ndarray]:
    """Standard normal candidates (blocks, M, width) for every example."""
    width = -(-x[0].numel() // blocks)
    source = shared("candidates", i, call)
    return (source.standard_normal((blocks, CANDIDATES, width), np.float32).astype(np.float64) for _ in x)


def _pick(aim: np.ndarray, ratio: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pick of every block (blocks,), and the candidates picked (blocks, width).

    `aim` and `ratio` (blocks, width) are q's mean and variance in p's units.
    """
    away = np.square(draws - aim[:, None]) / ratio[:, None] - np.square(draws)
    gumbel = -np.log(-np.log(shared("gumbel").random(CANDIDATES)))
    picks = (-0.5 * away.sum(-1) + np.sort(gumbel)[::-1]).argmax(1)
    return picks, draws[np.arange(len(draws)), picks]


def _blocks(x: Tensor, blocks: int, fill: float = 0.0) -> np.ndarray:
    """(B, blocks, width): elements dealt out in turn, `fill` where they do not fill up."""
    flat = x.flatten(1).double().cpu().numpy()
    width = -(-flat.shape[1] // blocks)
    padded = np.pad(flat, ((0, 0), (0, width * blocks - flat.shape[1])), constant_values=fill)
    return padded.reshape(len(flat), width, blocks).swapaxes(1, 2)


def _placed(p: Distribution, found: np.ndarray, x: Tensor) -> Tensor:
    """The draws (B, blocks, width) in p's place and width."""
    assert isinstance(p, Normal)
    flat = found.swapaxes(1, 2).reshape(len(x), -1)[:, : x[0].numel()]
    return p.loc + p.var.sqrt() * torch.from_numpy(np.ascontiguousarray(flat)).to(x).view(x.shape)


def _field(count: int) -> Law:
    """Numbers of `BITS` bits."""
    return Law(constriction().model.Uniform(), (np.full(count, 2**BITS, np.int32),))


def _rank(tenths: int, count: int) -> Law:
    """The law of a pick's place."""
    power = 1 + 1 / (tenths / 10 + 1.6)
    each = Recorder().positive(np.arange(1, CANDIDATES + 1, dtype=np.float64) ** -power, 0)
    return Law(constriction().model.Categorical(each, perfect=False), (count,))
