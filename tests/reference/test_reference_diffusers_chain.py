"""The schedulers of diffusers' folders and our chains: the same tables, means and variances."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler
from diffusers.schedulers.scheduling_ddpm import rescale_zero_terminal_snr
from pipelines import TINY, made, saved, x_of
from torch import Tensor

from undiffuse.interop.chain import chain_of
from undiffuse.interop.chain_config import config_of
from undiffuse.kernels import Gaussian
from undiffuse.parameterizations import Clipped, Forward, Interpolated, Posterior, V
from undiffuse.runs import export_run, import_run, load
from undiffuse.samplers import DDIM
from undiffuse.schedules import SCHEDULES
from undiffuse.schedules.grids import uniform

TABLES: dict[str, dict[str, Any]] = {
    "linear": {},
    "linear, 50": {"num_train_timesteps": 50, "beta_start": 1e-3, "beta_end": 0.3},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "squaredcos_cap_v2": {"beta_schedule": "squaredcos_cap_v2"},
    "sigmoid": {"beta_schedule": "sigmoid", "num_train_timesteps": 300},
    "trained": {"trained_betas": [0.1, 0.3, 0.2, 0.5], "num_train_timesteps": 4},
}
EXPORTS = {
    "linear": ["kernel.schedule.kind=linear", "kernel.schedule.end=0.03"],
    "scaled_linear": ["kernel.schedule.kind=quadratic"],
    "squaredcos_cap_v2": [],
    "sigmoid": ["kernel.schedule.kind=sigmoid", "kernel.schedule.start=2e-4"],
    None: ["kernel.schedule.kind=log-linear"],
}
CLIPPED = ["parameterization.kind=clipped", "parameterization.of.kind=v"]
CERTAIN = ["kernel.schedule.kind=betas", "kernel.schedule.betas=[0.1, 0.99999999]", "grid.steps=2"]
VARIANCES = {"fixed_small": Posterior, "fixed_small_log": Posterior, "fixed_large": Forward}


def configured(scheduler: Any) -> dict[str, Any]:
    """The config as its file has it."""
    return dict(scheduler.config) | {"_class_name": type(scheduler).__name__}


def table(config: dict[str, Any]) -> Tensor:
    """Our rates of a scheduler's config."""
    chain = chain_of(config)
    node = chain.node["kernel"]["schedule"]
    schedule = SCHEDULES[node.pop("kind")](**node)
    before = uniform(chain.steps) - 1 / chain.steps
    return schedule.beta(before.clamp(min=0), uniform(chain.steps))


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_theirs(name: str):
    theirs = DDPMScheduler(**TABLES[name])
    torch.testing.assert_close(table(configured(theirs)), theirs.betas.double(), rtol=1e-6, atol=0)


def test_a_table_that_ends_in_pure_noise():
    """The same in float64; theirs is in float32, and differs from its own by as much."""
    theirs = DDPMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    betas = table(configured(theirs))
    precise = rescale_zero_terminal_snr(torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    torch.testing.assert_close(betas, precise, rtol=1e-9, atol=0)
    torch.testing.assert_close(betas, theirs.betas.double(), rtol=5e-6, atol=5e-7)
    assert betas[-1] == 1


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_has_our_table(name: str | None, tmp_path: Path):
    run = made(tmp_path, (3, 8, 8), *EXPORTS[name])
    config = config_of(run.model, run.grid)
    assert config.get("beta_schedule") == name
    theirs = DDPMScheduler.from_config(config)
    assert isinstance(run.model.kernel, Gaussian)
    keep = run.model.kernel.schedule.keep(run.grid)
    ours = 1 - keep / torch.cat([torch.ones(1), keep[:-1]])
    torch.testing.assert_close(theirs.betas.double(), ours, rtol=1e-6, atol=0)
    # alphas_cumprod is a product of T float32 numbers
    torch.testing.assert_close(theirs.alphas_cumprod.double(), keep, rtol=3e-4, atol=1e-6)


@pytest.mark.parametrize("steps", ["100", "1000"])
def test_another_number_of_steps_is_a_table(steps: str, tmp_path: Path):
    """A table of 1000 rates on 100 steps is no named schedule of theirs."""
    run = made(tmp_path, (3, 8, 8), f"grid.steps={steps}", "kernel.schedule.steps=1000")
    assert ("beta_schedule" in config_of(run.model, run.grid)) == (steps == "1000")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("variance", [*VARIANCES, "learned_range"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_step_is_theirs(variance: str, prediction: str, clip: float | None, tmp_path: Path):
    """Mean and width of one step: theirs without noise, and with the noise of a known generator."""
    options = {"variance_type": variance, "prediction_type": prediction, "num_train_timesteps": 40}
    options |= {"clip_sample": clip is not None, "clip_sample_range": clip or 1.0}
    layout = TINY | ({"out_channels": 6} if variance == "learned_range" else {})
    theirs = saved(tmp_path / "theirs", layout, **options)
    import_run(tmp_path / "theirs", tmp_path / "run", [])
    model = load(tmp_path / "run").model
    wanted = Interpolated if variance == "learned_range" else VARIANCES[variance]
    assert type(model.variance) is wanted
    assert isinstance(model.parameterization, Clipped) == (clip is not None)
    x, grid = x_of((3, 8, 8)), uniform(40)
    for i in (1, 20, 39):
        with torch.no_grad():
            output = theirs.unet(x, i).sample
            step = model.step(x, grid[i], grid[i - 1])
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
        generator = torch.Generator().manual_seed(3)
        theirs_s = theirs.scheduler.step(output, i, x, generator=generator).prev_sample
        torch.testing.assert_close(theirs_s, step.mean + step.var.sqrt() * noise, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        last = theirs.scheduler.step(theirs.unet(x, 0).sample, 0, x).prev_sample
        torch.testing.assert_close(last, model.predict(x, grid[0]), rtol=1e-5, atol=1e-4)


EPS = ["parameterization.kind=eps"]
HALF = ["parameterization.kind=clipped", "parameterization.low=-0.5", "parameterization.high=0.5"]


@pytest.mark.parametrize(
    ("prediction", "words"),
    [("epsilon", EPS), ("v_prediction", []), ("epsilon", [*HALF, "parameterization.of.kind=eps"])],
)
def test_an_export_steps_as_we_do(prediction: str, words: list[str], tmp_path: Path):
    run = made(tmp_path, (3, 8, 8), *words, "variance.kind=forward", "kernel.schedule.kind=linear")
    theirs = DDPMPipeline.from_pretrained(export_run(run, tmp_path / "theirs"))
    assert theirs.scheduler.config.prediction_type == prediction
    x, grid = x_of((3, 8, 8)), run.grid
    for i in (1, 500, 999):
        with torch.no_grad():
            output, step = theirs.unet(x, i).sample, run.model.step(x, grid[i], grid[i - 1])
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
        generator = torch.Generator().manual_seed(3)
        theirs_s = theirs.scheduler.step(output, i, x, generator=generator).prev_sample
        torch.testing.assert_close(theirs_s, step.mean + step.var.sqrt() * noise, rtol=1e-4, atol=1e-4)


def test_ddim_walks_as_theirs(tmp_path: Path):
    """The whole walk of a DDIM folder, from the same start."""
    scheduler = DDIMScheduler(num_train_timesteps=20, clip_sample=False, beta_end=0.3)
    theirs = saved(tmp_path / "theirs", TINY, scheduler)
    import_run(tmp_path / "theirs", tmp_path / "run", [])
    run = load(tmp_path / "run")
    assert isinstance(run.sampler, DDIM)
    states = run.trajectory(2)
    x = next(states)[1]
    scheduler.set_timesteps(20)
    for i, (_, mine) in zip(scheduler.timesteps, states, strict=True):
        with torch.no_grad():
            x = scheduler.step(theirs.unet(x, i).sample, i, x).prev_sample
        assert float((mine - x).abs().max()) < 1e-3 * float(x.abs().max())


def test_pure_noise_at_the_end_goes_with_v(tmp_path: Path):
    options = {"rescale_betas_zero_snr": True, "num_train_timesteps": 30}
    saved(tmp_path / "v", TINY, prediction_type="v_prediction", **options)
    import_run(tmp_path / "v", tmp_path / "run", [])
    model = load(tmp_path / "run").model
    assert type(model.parameterization) is V
    assert model.kernel.schedule.keep(torch.ones(())) == 0
    saved(tmp_path / "eps", TINY, **options)
    with pytest.raises(ValueError, match="parameterization=eps with a schedule that keeps"):
        import_run(tmp_path / "eps", tmp_path / "none", [])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thresholding": True}, "thresholding=True"),
        ({"steps_offset": 1}, "steps_offset=1"),
        ({"variance_type": "learned"}, "variance_type='learned'"),
        ({"variance_type": "fixed_large_log"}, "variance_type='fixed_large_log'"),
        ({"prediction_type": "flow"}, "prediction_type='flow'"),
        ({"beta_schedule": "laplace"}, "beta_schedule='laplace'"),
        ({"timestep_spacing": "karras"}, "timestep_spacing='karras'"),
        ({"num_train_timesteps": 1.0}, "num_train_timesteps=1.0"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps=1000000000"),
        ({"beta_end": math.nan}, "beta_end=nan"),
        ({"beta_end": "0.02"}, "beta_end='0.02'"),
        ({"trained_betas": [0.1]}, r"trained_betas=\[0.1\]"),
        ({"trained_betas": [0.1, None], "num_train_timesteps": 2}, r"trained_betas\[1\]=None"),
        ({"clip_sample": "yes"}, "clip_sample='yes'"),
        ({"sigma_min": 0.1}, "sigma_min=0.1"),
        ({"_class_name": "DDIMScheduler", "set_alpha_to_one": False}, "set_alpha_to_one=False"),
        ({"_class_name": "EulerDiscreteScheduler"}, "'EulerDiscreteScheduler'"),
    ],
)
def test_what_has_no_counterpart_there_is_refused(change: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=f"scheduler: {words}"):
        chain_of({"_class_name": "DDPMScheduler"} | change)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["grid.kind=strided"], "grid"),
        (["parameterization.kind=mean"], "parameterization=mean"),
        (["variance.kind=free"], "variance=free"),
        (
            [*CLIPPED, "parameterization.low=0"],
            "clipped",
        ),
        (
            [*CERTAIN, "parameterization.kind=eps"],
            "last rate",
        ),
    ],
)
def test_what_has_no_counterpart_here_is_refused(changes: list[str], words: str, tmp_path: Path):
    run = made(tmp_path, (3, 8, 8), *changes)
    with pytest.raises(ValueError, match=f"{words}.*: diffusers has no counterpart"):
        config_of(run.model, run.grid)


def test_defaults_are_those_of_diffusers():
    """A key that does not stand in the file means what diffusers takes it for."""
    for kind in (DDPMScheduler, DDIMScheduler):
        mine = chain_of({"_class_name": kind.__name__})
        assert mine == chain_of(configured(kind()))
    assert mine.node["parameterization"]["of"]["kind"] == "eps"
