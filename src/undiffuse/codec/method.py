"""What a way of coding examples with a chain can do; one a file beside this one."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from undiffuse.codec.chain import Chain, Plan
from undiffuse.codec.chunk import Chunk
from undiffuse.codec.container import PROGRESSIVE
from undiffuse.kernels import Gaussian, Universal
from undiffuse.model import Denoiser
from undiffuse.tensors import cpu_block
from undiffuse.track import Track


class Method(ABC):
    """Examples' numbers (N, D), int32, to chunks and back. `number` names it in files."""

    number: int
    candidates = 64  # times of the chain that its best ones are chosen from

    def model(self, model: Denoiser) -> Denoiser:
        """The model whose chain is coded, of normal steps. ValueError for one that cannot be coded so."""
        if isinstance(model.kernel, Universal):
            return model.under(Gaussian(model.kernel.schedule))
        return model

    @property
    def progressive(self) -> bool:
        """Whether the first chunks are good for something without the rest."""
        return self.number in PROGRESSIVE

    def cost(self, nats: Tensor) -> Tensor:
        """Nats that a step takes, sent, whose divergence is so many, on average."""
        return nats

    @abstractmethod
    def beside(
        self, model: Denoiser, shape: tuple[int, ...], plan: Plan, base: Tensor, nats: Tensor
    ) -> float:
        """Bits, about, that a file on this plan takes beside its header and what its examples cost.

        `nats` (k,) are those of the data, and of every step from the data up.
        """

    @abstractmethod
    def encode(self, chain: Chain, numbers: np.ndarray, track: Track) -> list[Chunk]:
        """The chunks."""

    @abstractmethod
    def decode(self, chain: Chain, chunks: list[Chunk], count: int, track: Track) -> np.ndarray:
        """The numbers of `count` examples. Of the first chunks alone, if it is progressive, what they say
        best.

        Raises ValueError for chunks that no encoder made.
        """


def batches(shape: tuple[int, ...], count: int) -> list[slice]:
    """The rows that go through the network together."""
    size = cpu_block(shape)
    return [slice(start, min(count, start + size)) for start in range(0, count, size)]
