"""Binary heartbeats: the sequences of the first diffusion paper, with their exact log-likelihood.

    x_i = 1 if i mod period = phase else 0,   phase ~ U{0, ..., period - 1}

There are `period` sequences, all equally likely: log2 p(x) = -log2(period), which is -2.322 bits for
the period of 5 of the paper.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from undiffuse.data.source import Source, Splits
from undiffuse.random import keyed


class Heartbeat(Source):
    """Sequences of bits with a one in every `period`-th bin; nothing but the phase is random.

    Reference: J. Sohl-Dickstein, E. Weiss, N. Maheswaranathan and S. Ganguli, Deep Unsupervised
    Learning using Nonequilibrium Thermodynamics, ICML 2015, section 3.1.2.

    Args:
        train: number of training sequences.
        test: number of test sequences.
        length: bins of a sequence.
        period: bins from one beat to the next.
        seed: other seeds give other sequences of the same law.

    Raises:
        ValueError: if a count is not positive, the period is below 2, or the length no multiple of it.
    """

    source: ClassVar[str] = "generated; the binary heartbeat of Sohl-Dickstein et al. (2015)"
    licence: ClassVar[str] = "none needed: generated"
    about: ClassVar[str] = "sequences (20,), 2 levels; 10,000 + 10,000 unless told; exact probabilities"

    def __init__(
        self, train: int = 10_000, test: int = 10_000, length: int = 20, period: int = 5, seed: int = 0
    ) -> None:
        if train < 1 or test < 1:
            raise ValueError(f"train={train} and test={test} must both be at least 1 sequence")
        if period < 2:
            raise ValueError(f"period={period} must be at least 2 bins; try data.period=5")
        if length < period or length % period:
            raise ValueError(
                f"length={length} must be a multiple of period={period}, so that all sequences have as "
                f"many ones; try data.length={4 * period}"
            )
        self.train, self.test, self.seed = train, test, seed
        self.length, self.period = length, period

    def load(self) -> Splits:
        """Draw the phases."""
        return Splits(self._draw("train", self.train), self._draw("test", self.test), levels=2)

    def patterns(self) -> Tensor:
        """Every sequence there is, row i with phase i: uint8 ``(period, length)``."""
        return torch.eye(self.period, dtype=torch.uint8).repeat(1, self.length // self.period)

    @property
    def entropy_bits(self) -> float:
        """Entropy of a sequence, log2(period), in bits: no model needs fewer on average."""
        return math.log2(self.period)

    def _draw(self, name: str, n: int) -> Tensor:
        phases = torch.randint(self.period, (n,), generator=keyed(self.seed, "heartbeat", name))
        return self.patterns()[phases]
