"""Parameterizations: network output <-> x_0; variances and decoders: how wide a reverse step is."""

from undiffuse.parameterizations.base import X0, Eps, Mean, Parameterization, V
from undiffuse.parameterizations.decoder import Decoder, DiscretizedDecoder, NormalDecoder
from undiffuse.parameterizations.variance import (
    Forward,
    Free,
    Interpolated,
    Posterior,
    Table,
    Variance,
)

PARAMETERIZATIONS: dict[str, type[Parameterization]] = {"eps": Eps, "x0": X0, "v": V, "mean": Mean}
VARIANCES: dict[str, type[Variance]] = {
    "posterior": Posterior,
    "forward": Forward,
    "interpolated": Interpolated,
    "free": Free,
    "table": Table,
}
DECODERS: dict[str, type[Decoder]] = {"normal": NormalDecoder, "discretized": DiscretizedDecoder}

__all__ = [
    "DECODERS",
    "PARAMETERIZATIONS",
    "VARIANCES",
    "X0",
    "Decoder",
    "DiscretizedDecoder",
    "Eps",
    "Forward",
    "Free",
    "Interpolated",
    "Mean",
    "NormalDecoder",
    "Parameterization",
    "Posterior",
    "Table",
    "V",
    "Variance",
]
