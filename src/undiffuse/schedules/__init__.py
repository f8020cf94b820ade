"""Schedules: time -> log-SNR; and grids, the latent times of a chain."""

from collections.abc import Callable

from undiffuse.schedules import grids
from undiffuse.schedules.base import Schedule, log_kept
from undiffuse.schedules.betas import Betas
from undiffuse.schedules.cosine import Cosine
from undiffuse.schedules.learned import Between, Learned, LearnedBetas
from undiffuse.schedules.rates import Linear, Quadratic, Sigmoid
from undiffuse.schedules.simple import ConstantFraction, LogLinear

SCHEDULES: dict[str, type[Schedule]] = {
    "linear": Linear,
    "quadratic": Quadratic,
    "sigmoid": Sigmoid,
    "cosine": Cosine,
    "betas": Betas,
    "constant-fraction": ConstantFraction,
    "log-linear": LogLinear,
    "learned-betas": LearnedBetas,
    "learned": Learned,
}

GRIDS: dict[str, Callable[..., grids.Grid]] = {
    "uniform": grids.uniform,
    "strided": grids.strided,
    "log-snr": grids.logsnr,
    "times": grids.times,
}

__all__ = [
    "GRIDS",
    "SCHEDULES",
    "Betas",
    "Between",
    "ConstantFraction",
    "Cosine",
    "Learned",
    "LearnedBetas",
    "Linear",
    "LogLinear",
    "Quadratic",
    "Schedule",
    "Sigmoid",
    "grids",
    "log_kept",
]
