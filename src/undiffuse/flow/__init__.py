"""The probability flow of Gaussian chains: latents, densities, and likelihoods of levels."""

from undiffuse.flow.density import LogProb, log_prob
from undiffuse.flow.dequantize import Dequantize, dequantized
from undiffuse.flow.likelihood import grid_of, log_probs
from undiffuse.flow.transport import check_flow, transport

__all__ = [
    "Dequantize",
    "LogProb",
    "check_flow",
    "dequantized",
    "grid_of",
    "log_prob",
    "log_probs",
    "transport",
]
