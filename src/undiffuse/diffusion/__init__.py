"""A model bound to raw data, with its space, shape, chain and sampler, and what can be asked of it."""

from undiffuse.diffusion.bases import Bases
from undiffuse.diffusion.calibrated import Calibration
from undiffuse.diffusion.checks import check_range
from undiffuse.diffusion.diffusion import Diffusion
from undiffuse.diffusion.evaluation import Evaluation, evaluate, unmet
from undiffuse.diffusion.exact import Likelihood, check_calls
from undiffuse.diffusion.filled import Filled
from undiffuse.diffusion.observed import (
    Posterior,
    check_seen,
    fill,
    impute,
    known,
    measured,
    noisy,
    operator_for,
    posterior,
    raw_width,
)
from undiffuse.diffusion.output import (
    has_picture,
    save_forming,
    save_frame,
    save_npy,
    save_picture,
    save_rows,
    save_table,
    shared_rows,
)
from undiffuse.diffusion.posterior import METHODS, Way
from undiffuse.diffusion.sheet import save_posterior, save_sheet
from undiffuse.diffusion.walks import Walk, Walks

__all__ = [
    "METHODS",
    "Bases",
    "Calibration",
    "Diffusion",
    "Evaluation",
    "Filled",
    "Likelihood",
    "Posterior",
    "Walk",
    "Walks",
    "Way",
    "check_calls",
    "check_range",
    "check_seen",
    "evaluate",
    "fill",
    "has_picture",
    "impute",
    "known",
    "measured",
    "noisy",
    "operator_for",
    "posterior",
    "raw_width",
    "save_forming",
    "save_frame",
    "save_npy",
    "save_picture",
    "save_posterior",
    "save_rows",
    "save_sheet",
    "save_table",
    "shared_rows",
    "unmet",
]
