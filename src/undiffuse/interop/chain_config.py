"""A Gaussian chain as the scheduler_config.json of a diffusers DDPMScheduler.

Their step number i = 0 .. T-1 is our time t = (i + 1)/T, and their alphas_cumprod[i] our keep_t; their
tables are these numbers rounded to float32. Their last step gives the mean, ours draws from the decoder.

| there                                   | here                                          |
|-----------------------------------------|-----------------------------------------------|
| linear, scaled_linear, sigmoid          | linear, quadratic, sigmoid with steps=T       |
| squaredcos_cap_v2                       | cosine with steps=T                           |
| trained_betas, rescale_betas_zero_snr   | betas                                         |
| epsilon, v_prediction, sample           | eps, v, x0; in `clipped` if clip_sample       |
| fixed_small(_log), fixed_large          | posterior, forward                            |
| learned_range                           | interpolated                                  |
"""

from typing import Any

import torch
from torch import Tensor

from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import PARAMETERIZATIONS, VARIANCES, Clipped, Parameterization
from undiffuse.schedules import Betas, Cosine, Schedule, log_kept
from undiffuse.schedules.grids import uniform
from undiffuse.schedules.rates import Rates

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
VARIANCE_TYPES = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "forward",
    "learned_range": "interpolated",
}
RATES = {"linear": "linear", "scaled_linear": "quadratic", "sigmoid": "sigmoid"}
COSINE = {"offset": 0.008, "max_beta": 0.999}  # of squaredcos_cap_v2


def config_of(model: Denoiser, grid: Tensor) -> dict[str, Any]:
    """Config of the model's chain on `grid` (T,). Raises ValueError naming the part without counterpart."""
    if not isinstance(model.kernel, Gaussian):
        raise _no(f"kernel={type(model.kernel).__name__.lower()}", "only Gaussian chains go there")
    if len(grid) < 2 or not torch.equal(grid, uniform(len(grid))):
        raise _no("grid", "only the T steps of grid.kind=uniform go there")
    prediction, limit = _prediction(model.parameterization)
    if prediction == "epsilon" and _rates(model.kernel.schedule, grid)[-1].float() == 1:
        raise _no("parameterization=eps with a last rate of 1 in float32", "train with v")
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": len(grid),
        **_schedule_config(model.kernel.schedule, grid),
        "variance_type": _key(VARIANCE_TYPES, _kind(model.variance, VARIANCES), "variance"),
        "prediction_type": prediction,
        "clip_sample": limit is not None,
        "clip_sample_range": limit or 1.0,
        "thresholding": False,
        "rescale_betas_zero_snr": False,
        "timestep_spacing": "leading",
        "steps_offset": 0,
    }


def _schedule_config(schedule: Schedule, grid: Tensor) -> dict[str, Any]:
    """A schedule by its name there if it has one, else by its rates."""
    steps, names = len(grid), {value: key for key, value in RATES.items()}
    named: dict[str, Any] = {"trained_betas": None}
    if isinstance(schedule, Rates) and schedule.steps == steps:
        name = names[type(schedule).__name__.lower()]
        return named | {"beta_schedule": name, "beta_start": schedule.start, "beta_end": schedule.end}
    if isinstance(schedule, Cosine) and schedule.steps == steps and _usual(schedule):
        return named | {"beta_schedule": "squaredcos_cap_v2"}
    return {"trained_betas": _rates(schedule, grid).tolist()}


def _usual(schedule: Cosine) -> bool:
    return {"offset": schedule.offset, "max_beta": schedule.max_beta} == COSINE


@torch.no_grad()
def _rates(schedule: Schedule, grid: Tensor) -> Tensor:
    """1 - keep_i / keep_{i-1} on the grid, keep_0 = 1, whatever the schedule has at t = 0."""
    if isinstance(schedule, Betas) and schedule.steps == len(grid):
        return schedule.betas
    logsnr = schedule.logsnr(grid)
    before = torch.cat([torch.full((1,), torch.inf, dtype=torch.float64), logsnr[:-1]])
    return -torch.expm1(log_kept(before, logsnr))


def _prediction(parameterization: Parameterization) -> tuple[str, float | None]:
    """prediction_type, and the range of clipping if there is any."""
    limit = None
    if isinstance(parameterization, Clipped):
        low, limit = parameterization.low, parameterization.high
        if low != -limit:
            raise _no(f"clipped to [{low:g}, {limit:g}]", "there it is [-c, c]")
        parameterization = parameterization.of
    return _key(PREDICTIONS, _kind(parameterization, PARAMETERIZATIONS), "parameterization"), limit


def _kind(part: object, group: dict[str, Any]) -> str:
    return next((kind for kind, made in group.items() if type(part) is made), type(part).__name__)


def _key(names: dict[str, str], kind: str, what: str) -> str:
    """Their name for this kind."""
    for theirs, ours in names.items():
        if ours == kind:
            return theirs
    raise _no(f"{what}={kind}", f"only {', '.join(dict.fromkeys(names.values()))} go there")


def _no(what: str, remedy: str) -> ValueError:
    return ValueError(f"{what}: diffusers has no counterpart; {remedy}")
