"""Bounds on the log-likelihood: nats inside, bits outside."""

from undiffuse.bounds.evaluate import Estimate, Report, blocks, count_calls, evaluate, null
from undiffuse.bounds.nelbo import Nelbo, nelbo

__all__ = ["Estimate", "Nelbo", "Report", "blocks", "count_calls", "evaluate", "nelbo", "null"]
