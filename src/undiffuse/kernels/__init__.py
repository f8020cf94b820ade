"""Kernels: what the forward process is, one per file."""

from undiffuse.kernels.base import Kernel
from undiffuse.kernels.binomial import Binomial
from undiffuse.kernels.categorical import Absorbing, Categorical
from undiffuse.kernels.discrete import Discrete
from undiffuse.kernels.gaussian import Bridge, Gaussian, Level
from undiffuse.kernels.mixed import Group, Mixed
from undiffuse.kernels.universal import Universal

KERNELS: dict[str, type[Kernel]] = {
    "gaussian": Gaussian,
    "universal": Universal,
    "binomial": Binomial,
    "categorical": Categorical,
    "absorbing": Absorbing,
    "mixed": Mixed,
}

__all__ = [
    "KERNELS",
    "Absorbing",
    "Binomial",
    "Bridge",
    "Categorical",
    "Discrete",
    "Gaussian",
    "Group",
    "Kernel",
    "Level",
    "Mixed",
    "Universal",
]
