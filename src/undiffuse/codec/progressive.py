"""Progressive coding: the chain from its noisy end down, one chunk a step, then the data (Ho et al. 2020,
4.3).

Encoder and decoder share x_1 and all further randomness, fixed pseudo-random numbers. From the latents that
have arrived the decoder predicts E[x_0 | x_t], which is what a file that ends there shows; the last chunk is
the data themselves, by the model's last step, so that the whole file is exact.
"""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from undiffuse.codec.alphabet import numbers_of
from undiffuse.codec.chain import Chain, Plan
from undiffuse.codec.chunk import Chunk
from undiffuse.codec.coder import QueueReader, QueueWriter
from undiffuse.codec.method import Method, batches
from undiffuse.codec.rounding import Follower, Recorder, Rounding
from undiffuse.data import Levels
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.random import digest
from undiffuse.tensors import dims
from undiffuse.track import Track

ENDED = 48  # bits that the end of a chunk takes, on average


class Progressive(Method):
    """Sends a draw of every step q(x_s | x_t, x_0) by the model's p(x_s | x_t)."""

    def model(self, model: Denoiser) -> Denoiser:
        """Gaussian chains only."""
        if not isinstance(model.kernel, Gaussian):
            raise ValueError(
                f"a {type(model.kernel).__name__.lower()} chain has no pictures on the way to send: compress "
                "symbols without --lossy"
            )
        return super().model(model)

    def beside(
        self, model: Denoiser, shape: tuple[int, ...], plan: Plan, base: Tensor, nats: Tensor
    ) -> float:
        """What the coder needs to end every chunk."""
        return ENDED * len(plan.places)

    @abstractmethod
    def send(
        self, chain: Chain, i: int, x: Tensor, x_0: Tensor, out: QueueWriter, rounding: Rounding, call: int
    ) -> Tensor:
        """Write a draw of state i - 1, given state i and the data (B, *shape); return it."""

    @abstractmethod
    def receive(
        self, chain: Chain, i: int, x: Tensor, read: QueueReader, rounding: Rounding, call: int
    ) -> Tensor:
        """Read the same draw."""

    def encode(self, chain: Chain, numbers: np.ndarray, track: Track) -> list[Chunk]:
        """A chunk for each state from T - 1 down to 0."""
        x_0, x, chunks = chain.tensor(chain.alphabets[0].values(numbers)), start(chain, len(numbers)), []
        for i, part in track.over(range(len(chain), 0, -1)):
            out, rounding = QueueWriter(), Recorder()
            for call, rows in part.each(list(enumerate(batches(chain.shape, len(x))))):
                own = chain.rows(rows)
                if i == 1:
                    out.push(own.reverse(1, _array(x[rows]), rounding, call), numbers[rows].ravel())
                else:
                    x[rows] = self.send(own, i, x[rows], x_0[rows], out, rounding, call)
            chunks.append(Chunk(len(x), out.words(), 0, rounding.sides))
        return chunks

    def decode(self, chain: Chain, chunks: list[Chunk], count: int, track: Track) -> np.ndarray:
        """The data, or the prediction at the last state that arrived."""
        x, numbers = start(chain, count), []
        arrived = list(zip(range(len(chain), 0, -1), chunks, strict=False))
        for (i, chunk), part in track.over(arrived):
            read, rounding = QueueReader(chunk.words), Follower(chunk.sides)
            for call, rows in part.each(list(enumerate(batches(chain.shape, count)))):
                own = chain.rows(rows)
                if i == 1:
                    numbers.append(read.pop(own.reverse(1, _array(x[rows]), rounding, call)))
                else:
                    x[rows] = self.receive(own, i, x[rows], read, rounding, call)
            read.end()
        if not numbers:
            all_rows = batches(chain.shape, count)
            numbers = [predicted(chain.rows(rows), len(chunks), x[rows]) for rows in all_rows]
        return np.concatenate(numbers).reshape(count, -1)


def start(chain: Chain, count: int) -> Tensor:
    """x_1, which both sides know."""
    drawn = shared("start").standard_normal((count, dims(chain.shape)))
    return chain.tensor(drawn)


def shared(*key: str | int) -> np.random.Generator:
    """Pseudo-random numbers that both sides know."""
    return np.random.Generator(np.random.Philox(key=digest("und", *key)))


def predicted(chain: Chain, arrived: int, x: Tensor) -> np.ndarray:
    """The nearest levels to E[x_0 | x_t] at the state after so many chunks."""
    with torch.no_grad():
        x_0 = chain.model.predict(x, chain.grid[len(chain) - 1 - arrived])
    return numbers_of(Levels(chain.alphabets[0].ends[1] + 1).decode(x_0))


def _array(x: Tensor) -> np.ndarray:
    return x.cpu().numpy()
