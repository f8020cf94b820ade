"""Reverse steps and whole walks against diffusers' DDPM and DDIM, at the same noise.

diffusers draws its noise from a torch.Generator in the network's dtype; a float64 generator of ours in the
same state draws the same numbers, and `Replay` hands them to the library.

Where diffusers differs, and is not followed:
- its DDIM takes the previous index to be `index - T // steps` whatever its list says, so "linspace"
  (and any number of steps that does not divide T) goes to other times than it names; shown below;
- its last DDPM step, to the data, is the mean, where this library samples its decoder; compared as the mean.
"""

import pytest
import torch
from diffusers import DDPMScheduler
from peers import OPTIONS, T, ddim, ddpm, kernel_of, time
from torch import nn

from oracles import Replay, normals
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, Eps, Forward, Interpolated, Posterior, V
from undiffuse.samplers import DDIM, Ancestral, reverse
from undiffuse.schedules import grids

PREDICTIONS = {"epsilon": Eps, "v_prediction": V, "sample": X0}
VARIANCES = {"fixed_small": Posterior, "fixed_large": Forward, "learned_range": Interpolated}
EXACT = {"rtol": 1e-10, "atol": 1e-10}
PREDICTION = pytest.mark.parametrize("prediction", PREDICTIONS)


class Network(nn.Module):
    """Something smooth of x_t and t; twice the channels if asked for."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x_t, t):
        t = t.view(-1, *[1] * (x_t.ndim - 1))
        out = 0.6 * torch.sin(2 * x_t + t) - 0.3 * t * x_t
        return torch.cat([out, torch.cos(x_t - 3 * t)], 1) if self.outputs == 2 else out


def model_of(scheduler, prediction: str, variance: str = "fixed_small") -> Denoiser:
    kind = VARIANCES[variance]()
    return Denoiser(Network(1 + kind.learned), kernel_of(scheduler), PREDICTIONS[prediction](), kind)


def draws(count: int, shape: tuple[int, ...], dtype=torch.float64) -> list[torch.Tensor]:
    """What diffusers will draw from a generator seeded with 3."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator, dtype=dtype).double() for _ in range(count)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@PREDICTION
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("index", [1, 2, 25, T - 1])
def test_one_ddpm_step(prediction, variance, index):
    peer = ddpm(prediction_type=prediction, variance_type=variance)
    peer.set_timesteps(T)
    model, x_t, t = model_of(peer, prediction, variance), normals(3, 2, 4, 4), time(index)
    out = model.network(x_t, t.expand(3))
    step, theirs = model.step(x_t, t, time(index - 1)), peer.step(out, index, x_t, generator())
    (noise,) = draws(1, (3, 2, 4, 4))
    var = peer._get_variance(index, out.chunk(2, 1)[-1])
    var = var.exp() if variance == "learned_range" else var  # diffusers keeps the log of that one
    torch.testing.assert_close(step.var.expand_as(x_t), var.expand_as(x_t), rtol=1e-9, atol=0)
    torch.testing.assert_close(step.mean + step.var.sqrt() * noise, theirs.prev_sample, **EXACT)
    torch.testing.assert_close(model.predict(x_t, t), theirs.pred_original_sample, **EXACT)


def ddpm_walk(peer, model, x, dtype):
    """diffusers' loop, with our network."""
    rng = generator()
    for index in peer.timesteps:
        out = model.network(x, time(index).to(dtype).expand(len(x)))
        yield x
        x = peer.step(out, int(index), x, generator=rng).prev_sample
    yield x


@PREDICTION
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("indices", [list(range(T)), [0, 3, 4, 20, 41, T - 1]], ids=["all", "strided"])
def test_a_whole_ddpm_walk(prediction, variance, indices):
    """Every latent on the way; the last step is the mean in diffusers, our decoder's mean is x_0-hat."""
    peer, grid = ddpm(prediction_type=prediction, variance_type=variance), time(torch.tensor(indices))
    peer.set_timesteps(timesteps=indices[::-1])
    model, x_1 = model_of(peer, prediction, variance), normals(2, 3, 2, 2)
    noise = Replay(draws(len(grid), (2, 3, 2, 2)))
    ours = list(reverse(model, x_1, sampler=Ancestral(), grid=grid, generator=noise))
    theirs = list(ddpm_walk(peer, model, x_1, torch.float64))
    assert len(ours) == len(theirs) == len(grid) + 1
    for (_, x), y in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.predict(ours[-2][1], grid[0]), theirs[-1], rtol=1e-8, atol=1e-8)


def test_a_walk_in_single_precision():
    """With diffusers' own float32 tables: as near as their rounding allows."""
    peer = DDPMScheduler(**OPTIONS, prediction_type="v_prediction")
    model, x_1 = model_of(peer, "v_prediction"), normals(2, 5).float()
    noise = Replay(draws(T, (2, 5), torch.float32))
    ours = [x for _, x in reverse(model, x_1, sampler=Ancestral(), grid=grids.uniform(T), generator=noise)]
    for x, y in zip(ours[:-1], list(ddpm_walk(peer, model, x_1, torch.float32))[:-1], strict=True):
        assert x.dtype == y.dtype == torch.float32
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5)


@PREDICTION
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10, T])
def test_a_whole_ddim_walk(prediction, eta, steps):
    """ "trailing" spacing of a number that divides T is our uniform grid of that many steps.

    Their last step is x_0-hat; with noise ours is the decoder's, whose mean that is.
    """
    peer = ddim(prediction_type=prediction, timestep_spacing="trailing")
    peer.set_timesteps(steps)
    model, x, rng = model_of(peer, prediction), normals(2, 3), generator()
    grid, noise = grids.uniform(steps), [*draws(steps - 1, (2, 3)), torch.zeros(2, 3)]
    torch.testing.assert_close(time(peer.timesteps).flip(0), grid)
    ours = reverse(model, x, sampler=DDIM(eta), grid=grid, generator=Replay(noise))
    next(ours)
    for index, (_, x_s) in zip(peer.timesteps, ours, strict=True):
        out = model.network(x, time(index).expand(2))
        found = peer.step(out, int(index), x, eta=eta, generator=rng)
        x = found.prev_sample
        torch.testing.assert_close(x_s, x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_leading_steps(eta):
    """ "leading" lists end at index 0 and start below T - 1, so they are no grid; their steps agree."""
    peer = ddim(prediction_type="v_prediction", timestep_spacing="leading")
    peer.set_timesteps(10)
    assert peer.timesteps.tolist() == list(range(45, -1, -5))
    model, x = model_of(peer, "v_prediction"), normals(2, 3)
    for index in range(45, 0, -5):
        out = model.network(x, time(index).expand(2))
        theirs = peer.step(out, index, x, eta=eta, variance_noise=normals(2, 3, seed=1)).prev_sample
        ours, _ = DDIM(eta).step(model, x, time(index), time(index - 5), None, Replay(normals(2, 3, seed=1)))
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_ddim_linspace_of_diffusers_steps_past_its_own_list():
    """From 44 its list goes to 38, but it steps to 39 and calls that 38: we step where the grid says."""
    peer = ddim(prediction_type="sample", timestep_spacing="linspace")
    peer.set_timesteps(10)
    assert peer.timesteps.tolist()[:3] == [49, 44, 38]
    model, x = model_of(peer, "sample"), normals(2, 3)
    theirs = peer.step(model.network(x, time(44).expand(2)), 44, x).prev_sample
    to_38, to_39 = (DDIM().step(model, x, time(44), time(s), None, Replay(x))[0] for s in (38, 39))
    torch.testing.assert_close(theirs, to_39, **EXACT)
    assert (theirs - to_38).abs().max() > 1e-3
