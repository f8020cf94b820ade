"""Examples in memory: their levels, and what would give a plausible wrong number."""

import math
from typing import Any

import torch
from torch import Tensor

from undiffuse.data.continuous import check_continuous
from undiffuse.data.space import check_levels
from undiffuse.diffusion.containers import tensor_of
from undiffuse.kernels import Binomial, Gaussian, Kernel
from undiffuse.schedules import ConstantFraction, LogLinear

NATURAL = {torch.bool: 2, torch.uint8: 256}  # levels that a type of whole numbers implies


def examples_of(data: Any, levels: int | None) -> tuple[Tensor, int | None]:
    """Raw examples (N, *shape) and the number of their levels, None if they are continuous.

    Raises:
        TypeError: for what is no data.
        ValueError: for whole numbers of unknown levels, or numbers that have no density: those that are
            whole, that repeat, or go in steps.
    """
    raw = tensor_of(data)
    if raw.ndim < 2 or not len(raw):
        raise ValueError(f"data of shape {tuple(raw.shape)}: give (N, D), (N, C, L) or (N, C, H, W)")
    levels = NATURAL.get(raw.dtype) if levels is None else check_levels(levels)
    if levels is None:
        if not raw.is_floating_point():
            raise ValueError(f"data of type {raw.dtype}: say how many levels they have, levels=K for 0..K-1")
        check_continuous(raw, "data")
        return raw, None
    if raw.is_floating_point() and not bool((raw == raw.round()).all()):
        raise ValueError(f"levels={levels}: the data are not whole numbers")
    low, high = (int(end) for end in raw.long().aminmax())
    if low < 0 or high >= levels:
        raise ValueError(f"levels={levels}: the data have values {low} to {high}, levels are 0..{levels - 1}")
    raw = raw.to(torch.uint8 if levels <= 256 else torch.int32)
    return (raw[:, None] if raw.ndim == 3 else raw), levels


def first_logsnr(levels: int) -> float:
    """The log-SNR where a chain of levels begins: the noise is 0.63 times as wide as they are apart in x_0.

    What is finer than a level is left to the discretised decoder.
    """
    return round(2 * math.log(levels - 1) + 0.92, 2)


def fitting_kernel(levels: int | None) -> Kernel:
    """Bits lose their value, numbers are drowned in noise that begins about as wide as a level."""
    if levels == 2:
        return Binomial(ConstantFraction())
    return Gaussian(LogLinear(8.0 if levels is None else first_logsnr(levels), -7.0))
