"""Samplers: one step each, and one loop."""

from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.counted import Counted
from undiffuse.samplers.evidence import Evidence, evidence
from undiffuse.samplers.exponential import Exponential
from undiffuse.samplers.interpolate import interpolate, mix
from undiffuse.samplers.langevin import Langevin
from undiffuse.samplers.loop import last, like_of, nearest, reverse, sample, start, trajectory
from undiffuse.samplers.particles import Particles
from undiffuse.samplers.resampled import Resampled
from undiffuse.samplers.resuming import sample_from
from undiffuse.samplers.shared import check_shared, sample_shared
from undiffuse.samplers.solvers import DDIM, DEIS, DPMSolver, DPMSolverPP, SASolver, UniPC
from undiffuse.samplers.tuned import Tuner, check_tuned

SAMPLERS: dict[str, type[Sampler]] = {
    "ancestral": Ancestral,
    "ddim": DDIM,
    "dpm-solver": DPMSolver,
    "dpm-solver++": DPMSolverPP,
    "deis": DEIS,
    "unipc": UniPC,
    "sa-solver": SASolver,
    "exponential": Exponential,
    "langevin": Langevin,
    "resampled": Resampled,
    "counted": Counted,
}

__all__ = [
    "DDIM",
    "DEIS",
    "SAMPLERS",
    "Ancestral",
    "Counted",
    "DPMSolver",
    "DPMSolverPP",
    "Evidence",
    "Exponential",
    "Langevin",
    "Particles",
    "Resampled",
    "SASolver",
    "Sampler",
    "Tuner",
    "UniPC",
    "check_shared",
    "check_tuned",
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
