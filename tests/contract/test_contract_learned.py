"""Laws of objectives that learn the schedule: of infinitely many steps, and of a table of rates."""

import math
from copy import deepcopy

import pytest
import torch
from examples import small_model
from torch.nn.functional import softplus

from oracles import At, GaussianDenoiser, Replay, f64, normals, plane
from undiffuse import terms
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import Continuous, Independent, Variational
from undiffuse.parameterizations import X0
from undiffuse.random import keyed
from undiffuse.schedules import Learned, LearnedBetas, Linear, LogLinear, Schedule, grids

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


class Unaware(Schedule):
    """Another schedule's numbers without their gradient: what a network knows of them."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def logsnr(self, t):
        return self.of.logsnr(t).detach()


def bent(pieces=4):
    """A learned schedule that is not straight, in float64."""
    made = Learned(3.0, -3.0, pieces).double()
    with torch.no_grad():
        made.raw.copy_(normals(pieces, seed=7))
    return made


def small_chain():
    """A model of two numbers whose network, an exact denoiser, does not move with its schedule; its terms."""
    kernel, grid = Gaussian(bent()), grids.uniform(9)
    network = GaussianDenoiser(Gaussian(deepcopy(kernel.schedule)), f64(0.5, -1.0), f64(0.3, 2.0))
    network.requires_grad_(False)
    objective, eps = Continuous(At(f64(0.03, 0.2, 0.45, 0.7, 0.8, 0.99)), grid), normals(6, 2, seed=1)
    return Denoiser(network, kernel, X0()), objective, normals(6, 2), eps


def test_what_lies_between_the_ends_has_the_gradient_of_the_square():
    """Of each term in bits per dimension, while both ends stay where they are; finite differences."""
    model, objective, x, eps = small_chain()
    schedule, first = model.kernel.schedule, objective.first
    ends = schedule.logsnr(torch.stack([first, f64(1.0)])).detach()
    objective(model, x, Replay(eps)).mean().backward()

    def square(change):
        """The mean square of the middle once `raw` moved and the ends were put back."""
        other = deepcopy(model)
        inner = other.kernel.schedule
        with torch.no_grad():
            inner.raw += change
            u = (inner.top - inner.logsnr(first)) / softplus(inner.span)
            span = (ends[0] - ends[1]) / (1 - u)
            inner.span.copy_(span.expm1().log())
            inner.top.copy_(ends[0] + span * u)
            torch.testing.assert_close(inner.logsnr(torch.stack([first, f64(1.0)])), ends)
            whole = objective(other, x, Replay(eps)) * 2 * math.log(2)
            x_1 = terms.noisy(other, x, first, Replay(eps))
            middle = whole - terms.prior(other, x) - terms.decode(other, x, x_1, first)
        return (middle / (2 * math.log(2))).square().mean()

    for i in range(4):
        h = 1e-5 * torch.eye(4, dtype=torch.float64)[i]
        slope = float(square(h) - square(-h)) / 2e-5
        assert schedule.raw.grad[i].item() == pytest.approx(slope, rel=1e-6, abs=1e-9)
    assert schedule.raw.grad.abs().min() > 1e-3


def test_the_ends_have_the_gradient_of_the_bound():
    model, objective, x, eps = small_chain()
    schedule = model.kernel.schedule
    objective(model, x, Replay(eps)).mean().backward()
    for parameter in (schedule.top, schedule.span):
        values = []
        for h in (1e-5, -2e-5):
            with torch.no_grad():
                parameter += h
                values.append(float(objective(model, x, Replay(eps)).mean()))
        with torch.no_grad():
            parameter += 1e-5
        assert parameter.grad.item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def test_nothing_of_an_objective_stays_on_the_schedule():
    """Another objective's gradient, of another batch, is what it is without a continuous one before."""
    model, objective, x, eps = small_chain()
    fresh, other = deepcopy(model), Variational(grid=grids.uniform(9))
    objective(model, x, Replay(eps)).mean().backward()
    model.zero_grad()
    for each in (model, fresh):
        other(each, x[:4], keyed(0)).mean().backward()
    assert fresh.kernel.schedule.raw.grad.any()
    for name, parameter in fresh.kernel.named_parameters():
        assert torch.equal(dict(model.kernel.named_parameters())[name].grad, parameter.grad)


@pytest.mark.slow
def test_a_learned_schedule_lowers_the_spread_and_keeps_the_bound():
    """Training nothing but what lies between the ends: the mean stays, the variance falls."""
    kernel = Gaussian(Learned(6.0, -6.0, 16))
    objective = Continuous(Independent(), grids.uniform(50))
    network = GaussianDenoiser(Gaussian(Unaware(kernel.schedule)), f64(0.0), f64(4e-2))
    model = Denoiser(network, kernel, X0())
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
    for grid in (None, grids.uniform(1)):
        with pytest.raises(ValueError, match="grid"):
            Continuous(grid=grid)
    bits = Denoiser(torch.nn.Identity(), Binomial(LogLinear()))
    with pytest.raises(ValueError, match="Gaussian"):
        Continuous(grid=grids.uniform(20))(bits, X, keyed(0))


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
