"""Tables, noising and targets against diffusers."""

import pytest
import torch
from diffusers import DDPMScheduler
from peers import OPTIONS, T, ddpm, kernel_of, time

from oracles import Replay, normals
from undiffuse.parameterizations import Eps, V
from undiffuse.schedules import Cosine, Linear, Quadratic, Sigmoid

TABLES = {
    "linear": lambda steps, **ends: Linear(steps=steps, **ends),
    "scaled_linear": lambda steps, **ends: Quadratic(steps=steps, **ends),
    "sigmoid": lambda steps, **ends: Sigmoid(steps=steps, **ends),
    "squaredcos_cap_v2": lambda steps, **_: Cosine(steps),
}


@pytest.mark.parametrize("steps", [7, 50, 1000])
@pytest.mark.parametrize("name", TABLES)
def test_tables(name, steps):
    """To float32, in which diffusers keeps its tables (its products lose a digit more)."""
    peer = DDPMScheduler(num_train_timesteps=steps, beta_schedule=name, beta_start=2e-4, beta_end=0.03)
    ours = TABLES[name](steps, start=2e-4, end=0.03)
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    beta = ours.beta(t - 1 / steps, t)
    torch.testing.assert_close(beta.float(), peer.betas, rtol=5e-4, atol=1e-7)
    torch.testing.assert_close(ours.keep(t).float(), peer.alphas_cumprod, rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("name", TABLES)
def test_add_noise_is_the_marginal(name):
    peer, index = ddpm(beta_schedule=name), torch.tensor([0, 1, 17, T - 1])
    x_0, eps = normals(4, 2, 3, 3), normals(4, 2, 3, 3, seed=1)
    q = kernel_of(peer).marginal(x_0, time(index))
    torch.testing.assert_close(q.sample(Replay(eps)), peer.add_noise(x_0, eps, index), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", TABLES)
def test_targets_are_noise_and_velocity(name):
    peer, index = ddpm(beta_schedule=name), torch.tensor([0, 1, 17, T - 1])
    x_0, eps = normals(4, 5), normals(4, 5, seed=1)
    x_t, kernel, t = peer.add_noise(x_0, eps, index), kernel_of(peer), time(index)
    velocity = peer.get_velocity(x_0, eps, index)
    torch.testing.assert_close(V().target(x_0, x_t, t, kernel), velocity, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(Eps().target(x_0, x_t, t, kernel), eps, rtol=1e-9, atol=1e-9)


def test_index_and_time_agree():
    """Off by one would show in every test above; here it is by itself."""
    peer = DDPMScheduler(**OPTIONS)
    kernel = kernel_of(peer)
    keep = kernel.schedule.keep(time(torch.arange(T))).float()
    torch.testing.assert_close(keep, peer.alphas_cumprod, rtol=1e-5, atol=1e-8)
    assert kernel.schedule.keep(time(-1)) == 1
