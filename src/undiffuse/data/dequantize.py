"""Uniform dequantization: levels become continuous data whose density bounds their probabilities.

    y = k + u,  u ~ U[0, 1):   integral over [k, k+1) of log p(y) dy  <=  log integral of p(y) dy = log P(k)

so the log-density of a continuous model, in these units, is on average a lower bound on the
log-probability of the levels.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from undiffuse.data.rows import Examples, Rows
from undiffuse.data.source import Splits
from undiffuse.random import Streams, keyed, uniform

CHUNK = 2**22  # values that get their noise at a time


def dequantized(splits: Splits, seed: int = 0) -> Splits:
    """The same examples as float32 k + u, of which ``floor`` gives back the levels; labels are kept.

    Of examples that are read when asked for, each row has noise of its own, drawn again whenever it is read.
    The width of a level is exactly 1. Float32 leaves u 16 bits when there are 256 levels, 8 when
    there are 65536.

    Reference: L. Theis, A. van den Oord and M. Bethge, A note on the evaluation of generative models,
    ICLR 2016, section 3.1.

    Args:
        splits: data with levels.
        seed: other seeds give other noise.

    Raises:
        ValueError: if the data is continuous already.
    """
    if splits.levels is None:
        raise ValueError("levels=None: this data is continuous already; use it without dequantized()")
    train, test = _noisy(splits.train, seed, "train"), _noisy(splits.test, seed, "test")
    return Splits(train, test, None, splits.train_labels, splits.test_labels, splits.skipped)


def _noisy(levels: Examples, seed: int, name: str) -> Examples:
    if isinstance(levels, Rows):
        return _Noisy(levels, seed, name)
    generator = keyed(seed, "dequantize", name)
    out = levels.float().flatten()
    for chunk in torch.split(out, CHUNK):
        chunk.copy_(_sum(chunk, uniform(tuple(chunk.shape), generator)))
    return out.reshape(levels.shape)


@final
class _Noisy(Rows):
    """Levels with noise, read when asked for."""

    def __init__(self, levels: Rows, seed: int, name: str) -> None:
        super().__init__(levels.shape, torch.float32, levels.workers, levels.skipped)
        self.levels, self.seed, self.part = levels, seed, name

    def read(self, rows: Sequence[int]) -> Tensor:
        """k + u of these rows."""
        levels = self.levels.read(rows).float()
        streams = Streams(self.seed, "dequantize", self.part, rows=rows)
        return _sum(levels, uniform(tuple(levels.shape), streams))


def _sum(levels: Tensor, noise: Tensor) -> Tensor:
    """k + u in float32, never rounded up to k + 1."""
    last = (levels + 1).nextafter(levels)  # the largest float32 below k + 1
    return torch.minimum((levels + noise).float(), last)
