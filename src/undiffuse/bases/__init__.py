"""Bases: densities of the training data with a closed-form denoiser, which models begin at; one per file."""

from undiffuse.bases.base import Base
from undiffuse.bases.columns import ColumnsBase
from undiffuse.bases.columns_fitting import fit_columns
from undiffuse.bases.fitting import fit
from undiffuse.bases.frequencies import Frequencies
from undiffuse.bases.gaussian import GaussianBase
from undiffuse.bases.mixture import MixtureBase
from undiffuse.bases.numbers import Belief, NumberBase
from undiffuse.bases.saved import base_from, tensors_of

__all__ = [
    "Base",
    "Belief",
    "ColumnsBase",
    "Frequencies",
    "GaussianBase",
    "MixtureBase",
    "NumberBase",
    "base_from",
    "fit",
    "fit_columns",
    "tensors_of",
]
