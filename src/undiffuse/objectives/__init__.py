"""Objectives: one differentiable number an example; weights; how times are drawn."""

from undiffuse.objectives.base import Objective
from undiffuse.objectives.continuous import Continuous
from undiffuse.objectives.simple import Simple
from undiffuse.objectives.times import Independent, Stratified, Times
from undiffuse.objectives.variational import Variational
from undiffuse.objectives.weights import MinSNR, Truncated, Weight

OBJECTIVES: dict[str, type[Objective]] = {
    "simple": Simple,
    "variational": Variational,
    "continuous": Continuous,
}
TIMES: dict[str, type[Times]] = {"independent": Independent, "stratified": Stratified}
WEIGHTS: dict[str, type[Weight]] = {"min-snr": MinSNR, "truncated": Truncated}

__all__ = [
    "OBJECTIVES",
    "TIMES",
    "WEIGHTS",
    "Continuous",
    "Independent",
    "MinSNR",
    "Objective",
    "Simple",
    "Stratified",
    "Times",
    "Truncated",
    "Variational",
    "Weight",
]
