"""Kernels: what the forward process is, one per file."""

from undiffuse.kernels.base import Kernel
from undiffuse.kernels.gaussian import Bridge, Gaussian

KERNELS: dict[str, type[Kernel]] = {"gaussian": Gaussian}

__all__ = ["KERNELS", "Bridge", "Gaussian", "Kernel"]
