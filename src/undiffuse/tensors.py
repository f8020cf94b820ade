"""Shapes: coefficients that depend on time, and sums over everything but the batch.

Times and log-SNRs are float64, 0-d or ``(B,)``, and live on the CPU; data is ``(B, *shape)`` in the
network's precision, anywhere. `like` is the one place where the first meets the second, and `sent` how
it gets there.
"""

import math

import torch
from torch import Tensor
from torch.nn import Module

NARROW = {"mps"}
ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)  # both ends of time


def like(coefficient: Tensor, x: Tensor) -> Tensor:
    """`coefficient`, 0-d or ``(B,)``, in x's dtype and ready to broadcast against x ``(B, *shape)``."""
    if (
        coefficient.ndim == 0
    ):  # on the CPU it multiplies any tensor, and leaves it its dtype: not so its gradient
        return onto(coefficient, x) if coefficient.requires_grad else coefficient
    return onto(coefficient, x).view(-1, *[1] * (x.ndim - 1))


def sent(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """x on the device, in this dtype, without waiting until that is done with what it was given before."""
    dtype = dtype or x.dtype
    x = x.to(widest(device) if dtype == torch.float64 else dtype)
    return x.to(device, non_blocking=device.type != "mps")  # whose copies may read what has changed by then


def fetched(x: Tensor) -> Tensor:
    """x on the host, in float64."""
    return x.cpu().double()  # in this order: see `widest`


def onto(t: Tensor, x: Tensor) -> Tensor:
    """t where x is, and in x's dtype."""
    return sent(t, x.device, x.dtype)


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 where the device has no float64: Apple's."""
    return torch.float32 if device.type in NARROW else torch.float64


def moved(module: Module, device: torch.device) -> Module:
    """The module itself, on the device; what it has in float64 is rounded where that has none."""
    return (module if widest(device) == torch.float64 else module.float()).to(device)


def wide(x: Tensor) -> Tensor:
    """x in the widest floating point that its device has."""
    return x.to(widest(x.device))


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
