"""Bounds on the log-likelihood and on entropies: nats inside, bits outside."""

from undiffuse.bounds.chains import Best, Costs, costs, follow
from undiffuse.bounds.control import LinearControl
from undiffuse.bounds.curve import Curve, curve_of
from undiffuse.bounds.drawing import Control, Drawing
from undiffuse.bounds.elements import elements
from undiffuse.bounds.entropy import StepEntropies, step_entropies
from undiffuse.bounds.evaluate import Beside, Partial, Report, blocks, evaluate
from undiffuse.bounds.nelbo import Nelbo, nelbo
from undiffuse.bounds.optimal import check_fixed, optimal_variance, widened
from undiffuse.bounds.pilot import Plan, plan
from undiffuse.bounds.progressive import Progressive, progressive, receive
from undiffuse.bounds.weighted import log_weight, weighted

__all__ = [
    "Beside",
    "Best",
    "Control",
    "Costs",
    "Curve",
    "Drawing",
    "LinearControl",
    "Nelbo",
    "Partial",
    "Plan",
    "Progressive",
    "Report",
    "StepEntropies",
    "blocks",
    "check_fixed",
    "costs",
    "curve_of",
    "elements",
    "evaluate",
    "follow",
    "log_weight",
    "nelbo",
    "optimal_variance",
    "plan",
    "progressive",
    "receive",
    "step_entropies",
    "weighted",
    "widened",
]
