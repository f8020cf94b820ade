"""Parameterizations: network output <-> x_0; variances and decoders: how wide a reverse step is."""

from undiffuse.parameterizations.base import (
    X0,
    Affine,
    Clipped,
    Eps,
    Logit,
    Mean,
    Numbers,
    Parameterization,
    Perturbed,
    Score,
    V,
)
from undiffuse.parameterizations.context import Contextual, ContextualDecoder, Hats
from undiffuse.parameterizations.decoder import (
    Decoder,
    DiscretizedDecoder,
    FixedDecoder,
    LearnedDecoder,
    NormalDecoder,
    SymbolDecoder,
)
from undiffuse.parameterizations.residual import Residual, ResidualLogit, ResidualVariance, beginning_at
from undiffuse.parameterizations.variance import (
    Forward,
    Free,
    Interpolated,
    Posterior,
    Sigmoid,
    Table,
    Variance,
)

PARAMETERIZATIONS: dict[str, type[Parameterization]] = {
    "eps": Eps,
    "x0": X0,
    "v": V,
    "score": Score,
    "mean": Mean,
    "perturbed": Perturbed,
    "logit": Logit,
    "clipped": Clipped,
    "residual": Residual,
    "residual-logit": ResidualLogit,
}
VARIANCES: dict[str, type[Variance]] = {
    "posterior": Posterior,
    "forward": Forward,
    "interpolated": Interpolated,
    "free": Free,
    "sigmoid": Sigmoid,
    "table": Table,
    "residual": ResidualVariance,
}
DECODERS: dict[str, type[Decoder]] = {
    "normal": NormalDecoder,
    "discretized": DiscretizedDecoder,
    "symbols": SymbolDecoder,
    "fixed": FixedDecoder,
    "learned": LearnedDecoder,
}

__all__ = [
    "DECODERS",
    "PARAMETERIZATIONS",
    "VARIANCES",
    "X0",
    "Affine",
    "Clipped",
    "Contextual",
    "ContextualDecoder",
    "Decoder",
    "DiscretizedDecoder",
    "Eps",
    "FixedDecoder",
    "Forward",
    "Free",
    "Hats",
    "Interpolated",
    "LearnedDecoder",
    "Logit",
    "Mean",
    "NormalDecoder",
    "Numbers",
    "Parameterization",
    "Perturbed",
    "Posterior",
    "Residual",
    "ResidualLogit",
    "ResidualVariance",
    "Score",
    "Sigmoid",
    "SymbolDecoder",
    "Table",
    "V",
    "Variance",
    "beginning_at",
]
