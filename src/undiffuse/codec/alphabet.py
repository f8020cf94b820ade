"""What the states of a chain are for an entropy coder: whole numbers, and laws over them.

    Levels    number k of K levels      x = 2 k / (K - 1) - 1      data of Gaussian chains
    Symbols   symbol k                  x = k                      data and latents of symbols
    Lattice   cell n of width w         x = w n                    latents of Gaussian chains

A normal law over levels or cells is integrated over each, the ends being open; its mean is rounded to a
sixteenth of a cell and its width to ten digits, so that encoder and decoder are told the same (`rounding`).
Probabilities of symbols are rounded to ten digits. What rounding costs is far below a thousandth of a bit.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from undiffuse.codec.coder import Law, Laws, constriction
from undiffuse.codec.rounding import STEEP, Rounding
from undiffuse.distributions import Bernoulli, Categorical, Discretized, Distribution, Normal

FINE = 16  # parts of a cell that a mean is rounded to, unless laws are much narrower than a cell
CELLS = 2**19  # to one side, at most
TAILS = 10  # standard deviations that a law over cells knows


class Alphabet(ABC):
    """The whole numbers that a state's elements can be, from one of its `ends` to the other."""

    ends: tuple[int, int]

    @abstractmethod
    def values(self, numbers: np.ndarray) -> np.ndarray:
        """x, float64, of the numbers (int32)."""

    @abstractmethod
    def law(self, p: Any, rounding: Rounding, call: int, closed: bool = False) -> Laws:
        """A distribution of x, as one over the numbers, element by element in the order of memory.

        A `closed` one is drawn from, and need not hold every number.
        """


class Numbers(Alphabet):
    """Whole numbers low .. high, for which x = start + step n."""

    def __init__(self, low: int, high: int, start: float, step: float, fine: int = FINE) -> None:
        self.ends, self.start, self.step, self.fine = (low, high), start, step, fine

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """start + step n."""
        return self.start + self.step * numbers

    def law(self, p: Distribution, rounding: Rounding, call: int, closed: bool = False) -> Law:
        """A normal, or a rounded normal, over the numbers."""
        mean, width = self._told(p, rounding, call)
        return Law(constriction().model.QuantizedGaussian(*self.ends), (mean, width))

    def _told(self, p: Distribution, rounding: Rounding, call: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation in steps, rounded."""
        p = p.alone()
        assert isinstance(p, Normal | Discretized)
        std = p.var.sqrt() if isinstance(p, Normal) else p.std
        scale = self.fine / self.step
        mean = rounding(_flat(p.loc) * scale - self.start * scale, 2 * call) / self.fine
        width = rounding.positive(_flat(std) / self.step, 2 * call + 1, STEEP)
        return mean, np.broadcast_to(np.maximum(width, 1e-6), mean.shape).copy()


class Lattice(Numbers):
    """Cells of a continuous latent: very many, of which a law knows those near its mean."""

    def law(self, p: Distribution, rounding: Rounding, call: int, closed: bool = False) -> Law:
        """A normal over the cells within `TAILS` standard deviations; what is farther is written out."""
        mean, width = self._told(p, rounding, call)
        reach = int(min(TAILS * width.max() + 2, CELLS))
        base = np.clip(np.rint(mean), *self.ends).astype(np.int32)
        family = constriction().model.QuantizedGaussian(-reach, reach)
        low, high = self.ends
        written = low - CELLS, high + CELLS  # wherever a base and a reach may lead
        return Law(family, (mean - base, width), base, reach, written, closed)


class Symbols(Alphabet):
    """The numbers of so many symbols."""

    def __init__(self, count: int) -> None:
        self.ends = (0, count - 1)

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers."""
        return numbers.astype(np.float64)

    def law(self, p: Distribution, rounding: Rounding, call: int, closed: bool = False) -> Law:
        """The rarer bit's probability, or that of every symbol."""
        families = constriction().model
        if isinstance(p, Bernoulli):
            one, zero = (_flat(part.expand(p.shape)) for part in (p.one, p.zero))
            rare = rounding.positive(np.minimum(one, zero), 2 * call)
            return Law(families.Bernoulli(perfect=False), (np.where(one <= zero, rare, 1 - rare),))
        assert isinstance(p, Categorical)
        each = rounding.positive(_flat(p.logits.softmax(-1)), 2 * call)
        return Law(families.Categorical(perfect=False), (each.reshape(-1, p.logits.shape[-1]),))


def levels(count: int) -> Numbers:
    """The levels of data."""
    return Numbers(0, count - 1, -1.0, 2 / (count - 1))


def lattice(width: float, reach: float) -> Lattice:
    """Cells of this width that hold everything from -reach to reach.

    Raises ValueError for more than a million of them, which the coder could not tell apart.
    """
    cells = int(np.ceil(reach / width))
    if cells > CELLS:
        raise ValueError(
            f"a step of this chain is only {width:.1e} wide, too fine to code: use fewer steps, or a "
            "schedule that starts at a lower log-SNR"
        )
    return Lattice(-cells, cells, 0.0, width)


def numbers_of(x: Tensor) -> np.ndarray:
    """Whole numbers (int32) in the order of memory."""
    return x.to("cpu", torch.int32).contiguous().flatten().numpy()


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().to("cpu", torch.float64).contiguous().flatten().numpy()
