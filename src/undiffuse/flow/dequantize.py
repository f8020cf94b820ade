r"""Levels as densities: noise u within a level, of density q, makes of them numbers y = x + u, and

    log P(x) >= E[log p(x + u) - log q(u)]

is a bound with the density p of the flow. The mean of K such ratios p / q in the place of one makes it
tighter (importance weighted, Burda et al. 2016). In truth it is never above log P; but where log p has a
normal error, as that of random signs, the log of the mean rises by half of its variance at most.

    uniform      q = 1 / (2 h)^d, h half of a level (Theis et al. 2016)
    truncated    normal noise as wide as that of the flow's last state, within the level (Zheng et al. 2023)
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from undiffuse.devices import wide, widest
from undiffuse.random import Generator, uniform
from undiffuse.tensors import total

Dequantize = Literal["truncated", "uniform"]


def check_dequantize(kind: str) -> None:
    """Raise ValueError for a noise that is none."""
    if kind not in get_args(Dequantize):
        raise ValueError(f"dequantize={kind!r}: one of {', '.join(get_args(Dequantize))}")


def dequantized(
    x: Tensor, kind: Dequantize, half: float, width: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """y of levels x (B, *shape), `half` a level from them at most, and log q (B,) in nats.

    `width` is the standard deviation of the truncated noise.
    """
    u = 2 * uniform(tuple(x.shape), generator, widest(x.device), x.device) - 1
    if kind == "uniform":
        return x + (half * u).to(x), total(torch.full_like(wide(x), -math.log(2 * half)))
    within = math.erf(half / width / math.sqrt(2))
    z = math.sqrt(2) * torch.erfinv(u * within)
    log_q = -0.5 * z.square() - math.log(math.sqrt(2 * math.pi) * width * within)
    return x + (width * z).to(x), total(log_q)
