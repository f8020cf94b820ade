"""Bounds on the log-likelihood and on entropies: nats inside, bits outside."""

from undiffuse.bounds.chains import Best, Costs, costs, follow
from undiffuse.bounds.entropy import StepEntropies, step_entropies
from undiffuse.bounds.evaluate import Beside, Partial, Report, blocks, evaluate
from undiffuse.bounds.nelbo import Nelbo, nelbo
from undiffuse.bounds.optimal import check_fixed, optimal_variance, widened
from undiffuse.bounds.progressive import Progressive, progressive, receive

__all__ = [
    "Beside",
    "Best",
    "Costs",
    "Nelbo",
    "Partial",
    "Progressive",
    "Report",
    "StepEntropies",
    "blocks",
    "check_fixed",
    "costs",
    "evaluate",
    "follow",
    "nelbo",
    "optimal_variance",
    "progressive",
    "receive",
    "step_entropies",
    "widened",
]
