"""Laws of objectives that learn the schedule: of infinitely many steps, and of a table of rates."""

import math

import pytest
import torch
from examples import small_model

from oracles import At, GaussianDenoiser, Replay, f64, normals, plane
from undiffuse import terms
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import Continuous, Independent, Variational
from undiffuse.parameterizations import X0
from undiffuse.random import keyed
from undiffuse.schedules import Learned, LearnedBetas, Linear, LogLinear, grids

KERNEL = Gaussian(Linear(1e-3, 0.3, steps=20))
X = normals(8, 3)


def test_continuous_is_the_integrand_of_the_mutual_information():
    """With the exact denoiser of N(m, C) the middle is 1/2 (-dSNR/dt) C / (1 + SNR C) a dimension."""
    kernel, mean, var = Gaussian(LogLinear(4.0, -4.0)), f64(0.5, -1.0, 0.0), f64(0.3, 2.0, 1.0)
    grid, (z, eps, w) = grids.uniform(20), plane(3)
    model = Denoiser(GaussianDenoiser(kernel, mean, var), kernel, X0())
    for u in (0.1, 0.6):
        objective = Continuous(At(f64(u).expand(len(z))), grid)
        x_0, t = mean + var.sqrt() * z, f64(0.05 + 0.95 * u)
        loss = objective(model, x_0, Replay(eps))
        snr = kernel.schedule.logsnr(t).exp()
        middle = 0.95 * 0.5 * 8 * snr * (var / (1 + snr * var)).sum()
        ends = terms.prior(model, x_0) + terms.decode(model, x_0, noisy(kernel, x_0, eps), f64(0.05))
        found = (w @ loss) * 3 * math.log(2) - w @ ends
        torch.testing.assert_close(found, middle, rtol=1e-9, atol=1e-9)


def noisy(kernel, x_0, eps):
    alpha, sigma = kernel.alpha_sigma(f64(0.05))
    return alpha * x_0 + sigma * eps


def test_a_learned_schedule_lowers_the_spread_and_keeps_the_bound():
    """Training nothing but what lies between the ends: the mean stays, the variance falls."""
    kernel = Gaussian(Learned(6.0, -6.0, 16))
    objective = Continuous(Independent(), grids.uniform(50))
    model = Denoiser(GaussianDenoiser(kernel, f64(0.0), f64(4e-2)), kernel, X0())
    schedule, data = kernel.schedule, 0.2 * normals(4000, 1)
    schedule.top.requires_grad_(False), schedule.span.requires_grad_(False)
    before = objective(model, data, keyed("test")).detach()
    optimizer = torch.optim.Adam([schedule.raw], lr=0.05)
    for step in range(150):
        optimizer.zero_grad()
        objective(model, data[:512], keyed("train", step)).mean().backward()
        optimizer.step()
    after = objective(model, data, keyed("test")).detach()
    assert after.var() < 0.85 * before.var()
    error = (before.var() / 4000 + after.var() / 4000).sqrt()
    assert abs(after.mean() - before.mean()) < 4 * error + 0.02


@pytest.mark.parametrize("kernel", [KERNEL, Gaussian(Linear())])
def test_continuous_needs_a_slope(kernel):
    with pytest.raises(ValueError, match="log-linear"):
        Continuous(grid=grids.uniform(20))(small_model(kernel), X, keyed(0))
    with pytest.raises(ValueError, match="grid"):
        Continuous()


def test_learned_rates_have_the_gradient_of_the_bound():
    """Finite differences of the objective with its noise frozen."""
    kernel = Gaussian(LearnedBetas(6, 0.05, -2.0))
    model, objective = small_model(kernel).double(), Variational(grid=grids.uniform(6))
    raw = kernel.schedule.raw
    objective(model, X, keyed(0)).mean().backward()
    for i in range(5):
        values = []
        for h in (1e-5, -1e-5):
            with torch.no_grad():
                raw[i] += h
                values.append(float(objective(model, X, keyed(0)).mean()))
                raw[i] -= h
        slope = (values[0] - values[1]) / 2e-5
        assert raw.grad[i].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)
    assert raw.grad.any()
