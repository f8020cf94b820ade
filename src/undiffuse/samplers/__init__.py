"""Samplers: one step each, and one loop."""

from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.ddim import DDIM
from undiffuse.samplers.evidence import Evidence, evidence
from undiffuse.samplers.interpolate import interpolate, mix
from undiffuse.samplers.langevin import Langevin
from undiffuse.samplers.loop import last, like_of, nearest, reverse, sample, start, trajectory
from undiffuse.samplers.particles import Particles
from undiffuse.samplers.resampled import Resampled
from undiffuse.samplers.resuming import sample_from
from undiffuse.samplers.shared import check_shared, sample_shared

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
    "check_shared",
    "evidence",
    "interpolate",
    "last",
    "like_of",
    "mix",
    "nearest",
    "reverse",
    "sample",
    "sample_from",
    "sample_shared",
    "start",
    "trajectory",
]
