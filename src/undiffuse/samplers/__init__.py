"""Samplers: one step each, and one loop."""

from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.ddim import DDIM
from undiffuse.samplers.loop import count_steps, reverse, sample, start, trajectory

SAMPLERS: dict[str, type[Sampler]] = {"ancestral": Ancestral, "ddim": DDIM}

__all__ = [
    "DDIM",
    "SAMPLERS",
    "Ancestral",
    "Sampler",
    "count_steps",
    "reverse",
    "sample",
    "start",
    "trajectory",
]
