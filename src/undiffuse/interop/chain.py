"""The scheduler_config.json of a diffusers DDPMScheduler or DDIMScheduler as the parts of a recipe.

The inverse of `chain_config`, whose table of names it shares.
"""

from dataclasses import dataclass
from typing import Any

import torch

from undiffuse.interop.chain_config import COSINE, PREDICTIONS, RATES, VARIANCE_TYPES
from undiffuse.interop.config import Config
from undiffuse.schedules import SCHEDULES, Schedule
from undiffuse.schedules.grids import uniform

LONGEST = 10_000  # steps of a chain


@dataclass(frozen=True)
class Chain:
    """Nodes of a recipe, T, the network's outputs per channel, and what is to be said of it."""

    node: dict[str, Any]
    steps: int
    outputs: int
    notes: tuple[str, ...]


def chain_of(values: dict[str, Any]) -> Chain:
    """The chain of a scheduler's config. Raises ValueError naming the key that has no counterpart."""
    config, kind = Config("scheduler", values), values.get("_class_name")
    if kind not in ("DDPMScheduler", "DDIMScheduler"):
        raise ValueError(f"scheduler: {kind!r}: only DDPMScheduler and DDIMScheduler are read")
    ddim = kind == "DDIMScheduler"
    _fixed(config, ddim)
    steps = config.whole("num_train_timesteps", 2, LONGEST, 1000)
    node: dict[str, Any] = {
        "kernel": {"kind": "gaussian", "schedule": _schedule_node(config, steps)},
        "grid": {"kind": "uniform", "steps": steps},
        "variance": {"kind": "posterior" if ddim else _variance(config)},
        "sampler": {"kind": "ddim", "eta": 0.0} if ddim else {"kind": "ancestral"},
    }
    node["parameterization"], notes = _parameterization(config, ddim)
    spacing = config.only("timestep_spacing", ("leading", "linspace", "trailing"), "leading")
    config.done()
    if spacing != "linspace":
        notes += (f"timestep_spacing={spacing}: the {steps:,} steps are the same; --steps thins as linspace",)
    learned = node["variance"]["kind"] == "interpolated"
    return Chain(node, steps, 2 if learned else 1, notes)


def _fixed(config: Config, ddim: bool) -> None:
    """Keys that must stand as they do by default, or mean nothing without others."""
    config.only("thresholding", (False,), False, "dynamic thresholds have no counterpart")
    config.only("steps_offset", (0,), 0, "the chain's steps are 0 to T-1; set it to 0")
    if ddim:
        why = "the last step must end in data; set it to true"
        config.only("set_alpha_to_one", (True,), True, why)
    config.only("predict_epsilon", (True,), True, "write prediction_type")  # before diffusers 0.9
    for key in ("dynamic_thresholding_ratio", "sample_max_value", "tensor_format"):
        config.take(key)  # say nothing here


def _schedule_node(config: Config, steps: int) -> dict[str, Any]:
    """The schedule, of the values of diffusers before their rounding to float32."""
    kind = config.only("beta_schedule", (*RATES, "squaredcos_cap_v2"), "linear")
    start, end = (config.number(f"beta_{key}", 0, 1, d) for key, d in (("start", 1e-4), ("end", 0.02)))
    zero = config.flag("rescale_betas_zero_snr", False)
    node: dict[str, Any]
    if (table := config.take("trained_betas")) is not None:
        node = {"kind": "betas", "betas": _table(config, table, steps)}
    elif kind == "squaredcos_cap_v2":
        node = {"kind": "cosine", "steps": steps, **COSINE}
    else:
        node = {"kind": RATES[kind], "start": start, "end": end, "steps": steps}
    return {"kind": "betas", "betas": _rescaled(_built(node), steps)} if zero else node


def _table(config: Config, table: Any, steps: int) -> list[float]:
    """Given rates, checked."""
    if not isinstance(table, list) or len(table) != steps:
        raise config.refused("trained_betas", table, f"a list of {steps:,} rates is needed")
    one = Config(config.name, {})
    for i, beta in enumerate(table):
        if type(beta) not in (int, float) or not 0 < beta <= 1:
            raise one.refused(f"trained_betas[{i}]", beta, "a rate above 0, at most 1")
    return [float(beta) for beta in table]


def _built(node: dict[str, Any]) -> Schedule:
    """The schedule of such a node."""
    arguments = {key: value for key, value in node.items() if key != "kind"}
    schedule: Schedule = SCHEDULES[node["kind"]](**arguments)
    return schedule


def _rescaled(schedule: Schedule, steps: int) -> list[float]:
    """Rates whose last keeps nothing: sqrt(keep) shifted and scaled (Lin et al. 2024, algorithm 1)."""
    root = schedule.keep(uniform(steps)).sqrt()
    keep = ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()
    return (1 - keep / torch.cat([torch.ones(1, dtype=torch.float64), keep[:-1]])).tolist()


def _variance(config: Config) -> str:
    """How wide a step is: the kind here."""
    why = f"only {', '.join(VARIANCE_TYPES)} are read"
    return VARIANCE_TYPES[config.only("variance_type", tuple(VARIANCE_TYPES), "fixed_small", why)]


def _parameterization(config: Config, ddim: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the network predicts, and a note where clipping is not the same."""
    kind = PREDICTIONS[config.only("prediction_type", tuple(PREDICTIONS), "epsilon")]
    limit = config.number("clip_sample_range", 0, 1e6, 1.0)
    if not config.flag("clip_sample", True):
        return {"kind": kind}, ()
    node = {"kind": "clipped", "of": {"kind": kind}, "low": -limit, "high": limit}
    said = (
        "clip_sample with DDIM: the noise is that of the clipped prediction (use_clipped_model_output=True)"
    )
    return node, (said,) if ddim else ()
