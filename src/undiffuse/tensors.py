"""Shapes: coefficients that depend on time, and sums over everything but the batch.

Times and log-SNRs are float64, 0-d or ``(B,)``, and live on the CPU; data is ``(B, *shape)`` in the
network's precision, anywhere. `like` is the one place where the first meets the second.
"""

import math

import torch
from torch import Tensor

from undiffuse.devices import onto, widest

ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)  # both ends of time


def like(coefficient: Tensor, x: Tensor) -> Tensor:
    """`coefficient`, 0-d or ``(B,)``, in x's dtype and ready to broadcast against x ``(B, *shape)``."""
    return fit(column(coefficient, x), x)


def column(coefficient: Tensor, x: Tensor) -> Tensor:
    """A 0-d coefficient as it is; (B,) as (B, 1, .., 1) against x (B, *shape)."""
    return coefficient if coefficient.ndim == 0 else coefficient.view(-1, *[1] * (x.ndim - 1))


def fit(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient where x is, in its dtype.

    One of no dimensions stays on the CPU: from there it multiplies any tensor and leaves it its dtype, unless
    it has a gradient, which would be float64.
    """
    return onto(coefficient, x) if coefficient.ndim or coefficient.requires_grad else coefficient


def total(x: Tensor) -> Tensor:
    """Sum of x ``(B, *shape)`` over all dimensions but the first, in float64 (see `wide`): ``(B,)``."""
    return x.flatten(1).sum(1, dtype=widest(x.device))


def dims(shape: tuple[int, ...]) -> int:
    """Number of values in one example of this shape."""
    return math.prod(shape)


def cpu_block(shape: tuple[int, ...]) -> int:
    """Examples of this shape that a CPU computes together: a power of two, 8 to 1024, about 4096 values."""
    fitting = 4_096 // max(dims(shape), 1)
    return int(min(1024, max(8, 2 ** max(fitting, 1).bit_length() // 2)))
