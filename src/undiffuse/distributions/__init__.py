"""Distributions: one exponential family per file, a frozen dataclass of tensors."""

from undiffuse.distributions.base import Distribution
from undiffuse.distributions.bernoulli import Bernoulli
from undiffuse.distributions.categorical import Categorical
from undiffuse.distributions.columns import Columns, Part
from undiffuse.distributions.correlated import Correlated
from undiffuse.distributions.discretized import Discretized
from undiffuse.distributions.normal import Normal
from undiffuse.distributions.rotated import Rotated
from undiffuse.distributions.scored import Scored
from undiffuse.distributions.uniform import Smoothed, Uniform

__all__ = [
    "Bernoulli",
    "Categorical",
    "Columns",
    "Correlated",
    "Discretized",
    "Distribution",
    "Normal",
    "Part",
    "Rotated",
    "Scored",
    "Smoothed",
    "Uniform",
]
