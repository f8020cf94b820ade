"""Samplers: one step each, and one loop."""

from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.ddim import DDIM
from undiffuse.samplers.evidence import Evidence, evidence
from undiffuse.samplers.interpolate import interpolate, mix
from undiffuse.samplers.langevin import Langevin
from undiffuse.samplers.loop import last, like_of, place, reverse, sample, start, trajectory
from undiffuse.samplers.onward import onward
from undiffuse.samplers.particles import Particles
from undiffuse.samplers.resampled import Resampled
from undiffuse.samplers.share import check_share, share

SAMPLERS: dict[str, type[Sampler]] = {
    "ancestral": Ancestral,
    "ddim": DDIM,
    "langevin": Langevin,
    "resampled": Resampled,
}

__all__ = [
    "DDIM",
    "SAMPLERS",
    "Ancestral",
    "Evidence",
    "Langevin",
    "Particles",
    "Resampled",
    "Sampler",
    "check_share",
    "evidence",
    "interpolate",
    "last",
    "like_of",
    "mix",
    "onward",
    "place",
    "reverse",
    "sample",
    "share",
    "start",
    "trajectory",
]
