"""Bounds on the log-likelihood and on entropies: nats inside, bits outside."""

from undiffuse.bounds.chains import Best, Costs, costs, follow
from undiffuse.bounds.entropy import StepEntropies, count_entropy_calls, step_entropies
from undiffuse.bounds.estimate import Estimate, Moments
from undiffuse.bounds.evaluate import Beside, Partial, Report, blocks, count_calls, evaluate
from undiffuse.bounds.nelbo import Nelbo, nelbo
from undiffuse.bounds.optimal import check_fixed, optimal_variance, widened
from undiffuse.bounds.progressive import Progressive, count_progressive_calls, progressive, receive

__all__ = [
    "Beside",
    "Best",
    "Costs",
    "Estimate",
    "Moments",
    "Nelbo",
    "Partial",
    "Progressive",
    "Report",
    "StepEntropies",
    "blocks",
    "check_fixed",
    "costs",
    "count_calls",
    "count_entropy_calls",
    "count_progressive_calls",
    "evaluate",
    "follow",
    "nelbo",
    "optimal_variance",
    "progressive",
    "receive",
    "step_entropies",
    "widened",
]
