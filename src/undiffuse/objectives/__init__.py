"""Objectives: one differentiable number an example; weights; how times are drawn."""

from undiffuse.objectives.base import Objective
from undiffuse.objectives.cells import Cells
from undiffuse.objectives.continuous import Continuous
from undiffuse.objectives.distilled import Distilled, Teacher
from undiffuse.objectives.hybrid import Hybrid
from undiffuse.objectives.simple import Simple
from undiffuse.objectives.times import Importance, Independent, Stratified, Times
from undiffuse.objectives.variational import Variational
from undiffuse.objectives.weights import SNR, MinSNR, Truncated, Weight

OBJECTIVES: dict[str, type[Objective]] = {
    "simple": Simple,
    "variational": Variational,
    "hybrid": Hybrid,
    "continuous": Continuous,
    "distilled": Distilled,
    "cells": Cells,
}
TIMES: dict[str, type[Times]] = {
    "independent": Independent,
    "stratified": Stratified,
    "importance": Importance,
}
WEIGHTS: dict[str, type[Weight]] = {"min-snr": MinSNR, "truncated": Truncated, "snr": SNR}

__all__ = [
    "OBJECTIVES",
    "SNR",
    "TIMES",
    "WEIGHTS",
    "Cells",
    "Continuous",
    "Distilled",
    "Hybrid",
    "Importance",
    "Independent",
    "MinSNR",
    "Objective",
    "Simple",
    "Stratified",
    "Teacher",
    "Times",
    "Truncated",
    "Variational",
    "Weight",
]
