"""Bounds on the log-likelihood and on entropies: nats inside, bits outside."""

from undiffuse.bounds.entropy import StepEntropies, count_entropy_calls, step_entropies
from undiffuse.bounds.estimate import Estimate
from undiffuse.bounds.evaluate import Report, blocks, count_calls, evaluate
from undiffuse.bounds.nelbo import Nelbo, nelbo

__all__ = [
    "Estimate",
    "Nelbo",
    "Report",
    "StepEntropies",
    "blocks",
    "count_calls",
    "count_entropy_calls",
    "evaluate",
    "nelbo",
    "step_entropies",
]
