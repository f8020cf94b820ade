"""Uniform dequantization: levels become continuous data whose density bounds their probabilities.

    y = k + u,  u ~ U[0, 1):   integral over [k, k+1) of log p(y) dy  <=  log integral of p(y) dy = log P(k)

so the log-density of a continuous model, in these units, is on average a lower bound on the
log-probability of the levels. Values that were rounded to multiples of a width w become continuous by

    y = x + w (u - 1/2):   E -log p(y)  >=  h(Y)  =  H(X) + log w,   and  >=  h(X)  if X has a density.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.rows import Examples, Rows
from undiffuse.data.source import Splits
from undiffuse.random import Generator, Key, Streams, keyed, uniform
from undiffuse.tensors import dims

CHUNK = 2**22  # values that get their noise at a time
TOGETHER = 2048  # values of a block of short rows
BLOCKS = 1024  # of them, drawn at a time


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
    return replace(splits, train=train, test=test, levels=None)


def dithered(splits: Splits, width: Tensor, seed: int = 0) -> Splits:
    """The same examples as float64 x + w (u - 1/2), of which rounding to multiples of w gives x back.

    Noise is keyed by row: the same whether the examples are in memory or not, and whenever they are read.

    Args:
        splits: continuous data.
        width: w, one number or one a feature ``(D,)``, 0 where nothing is added.
        seed: other seeds give other noise.

    Raises:
        ValueError: if there are widths of another number of features.
    """
    if width.ndim and tuple(width.shape) != splits.shape:
        raise ValueError(
            f"spacing: {len(width)} numbers, for examples of shape {splits.shape}; give one number"
        )
    add = partial(_dither, width)
    train, test = (
        _Noisy(examples, seed, name, torch.float64, add)
        for examples, name in ((splits.train, "train"), (splits.test, "test"))
    )
    held = isinstance(splits.train, Tensor)
    return replace(splits, train=train[:] if held else train, test=test[:] if held else test)


def check_width(spacing: float | Sequence[float]) -> Tensor:
    """It in float64. Raises ValueError unless widths are finite, none negative and one positive."""
    width = torch.as_tensor(spacing, dtype=torch.float64)
    if not (width.numel() and bool((width.isfinite() & (width >= 0)).all()) and bool((width > 0).any())):
        raise ValueError(
            f"spacing={spacing}: the distance of neighbouring values, such as data.spacing=0.01, or one "
            "number a feature, 0 where they are continuous"
        )
    return width


@final
@dataclass(frozen=True, eq=False)
class UniformNoise:
    """The noise that makes raw data continuous: k + u of levels, else x + width (u - 1/2)."""

    width: Tensor
    of_levels: bool = False

    def missing(self, raw: Tensor) -> bool:
        """Whether these raw values come without it."""
        return bare(raw, self.width)

    def added(self, raw: Tensor, generator: Generator) -> Tensor:
        """Raw values (B, ...) with it."""
        u = uniform(tuple(raw.shape), generator)
        return _sum(raw, u) if self.of_levels else _dither(self.width, raw, u)


def bare(values: Tensor, width: Tensor) -> bool:
    """Whether all of these values (B, ...) that should have noise of this width are still without it.

    They are multiples of it, up to a rounding of them or of the quotient; where the width is 0 none is due.
    """
    eps = torch.finfo(values.dtype).eps if values.is_floating_point() else 0.0
    steps = (values.double() / width)[(width > 0).expand(values.shape)]
    near = (steps - steps.round()).abs() <= 2 * max(eps, 2**-52) * steps.abs()
    return steps.numel() > 0 and bool(near.all())


def _noisy(levels: Examples, seed: int, name: str) -> Examples:
    if isinstance(levels, Rows):
        return _Noisy(levels, seed, name, torch.float32, _sum)
    generator = keyed(seed, "dequantize", name)
    out = levels.float().flatten()
    for chunk in torch.split(out, CHUNK):
        chunk.copy_(_sum(chunk, uniform(tuple(chunk.shape), generator)))
    return out.reshape(levels.shape)


@final
class _Noisy(Rows):
    """Examples with noise of their own a row, drawn when they are asked for.

    `add` makes values of this dtype of examples and of noise, float64, uniform in [0, 1).
    """

    def __init__(
        self, of: Examples, seed: int, name: str, dtype: torch.dtype, add: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        workers, skipped = (of.workers, of.skipped) if isinstance(of, Rows) else (0, None)
        super().__init__(tuple(of.shape), dtype, workers, skipped)
        self.of, self.seed, self.part, self.add = of, seed, name, add

    def read(self, rows: Sequence[int]) -> Tensor:
        """These rows with their noise."""
        numbers = torch.as_tensor(rows)
        return self.add(
            self.of[numbers], _noise(numbers, self.shape[1:], (self.seed, "dequantize", self.part))
        )

    def order(self) -> Tensor:
        """As they are read fastest without noise."""
        return self.of.order() if isinstance(self.of, Rows) else super().order()


def _noise(rows: Tensor, shape: tuple[int, ...], key: tuple[Key, ...]) -> Tensor:
    """float64, uniform in [0, 1), (len(rows), *shape), of each row by its number.

    Short rows share a stream, a block of them, since each stream is started anew whenever it is read.
    """
    size = dims(shape)
    block = max(1, TOGETHER // max(size, 1))
    found = torch.empty(len(rows), size, dtype=torch.float64)
    numbers, inverse = np.unique((rows // block).numpy(), return_inverse=True)
    which = torch.from_numpy(inverse)
    for begin in range(0, len(numbers), BLOCKS):
        some = numbers[begin : begin + BLOCKS].tolist()
        drawn = uniform((len(some), block, size), Streams(*key, rows=some))
        mine = (which // BLOCKS == begin // BLOCKS).nonzero()[:, 0]
        found[mine] = drawn[which[mine] % BLOCKS, rows[mine] % block]
    return found.view(len(rows), *shape)


def _sum(levels: Tensor, noise: Tensor) -> Tensor:
    """k + u in float32, never rounded up to k + 1."""
    levels = levels.float()
    last = (levels + 1).nextafter(levels)  # the largest float32 below k + 1
    return torch.minimum((levels + noise).float(), last)


def _dither(width: Tensor, values: Tensor, noise: Tensor) -> Tensor:
    """x + w (u - 1/2) in float64."""
    return values.double() + width * (noise - 0.5)
