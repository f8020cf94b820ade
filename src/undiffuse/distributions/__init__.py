"""Distributions: one exponential family per file, a frozen dataclass of tensors."""

from undiffuse.distributions.base import Distribution
from undiffuse.distributions.bernoulli import Bernoulli
from undiffuse.distributions.categorical import Categorical
from undiffuse.distributions.correlated import Correlated
from undiffuse.distributions.discretized import Discretized
from undiffuse.distributions.normal import Normal
from undiffuse.distributions.rotated import Rotated
from undiffuse.distributions.uniform import Smoothed, Uniform

__all__ = [
    "Bernoulli",
    "Categorical",
    "Correlated",
    "Discretized",
    "Distribution",
    "Normal",
    "Rotated",
    "Smoothed",
    "Uniform",
]
