"""Finite data and mixtures: the perfect denoiser in closed form (O5), and what its bound must be (O6)."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from oracles import Replay, f64, normals, trapezoid
from undiffuse.bounds import nelbo
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import MixtureDenoiser
from undiffuse.parameterizations import X0, DiscretizedDecoder, Forward, NormalDecoder, Posterior
from undiffuse.random import keyed
from undiffuse.samplers import DDIM, Ancestral, reverse
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids

KERNEL = Gaussian(Linear())
MEANS = f64(1.0, 0.0, -1.0, 0.5, -0.2, -1.0).reshape(3, 2)
WEIGHTS = f64(0.5, 0.3, 0.2)


def direct(x, keep, std):
    """E[x_0 | x_t] by the formulas of O5, in numpy, and log q(x_t)."""
    m, w, x = MEANS.numpy(), WEIGHTS.numpy(), x.numpy()[:, None]
    var = keep * std**2 + 1 - keep
    log = np.log(w) - ((x - keep**0.5 * m) ** 2).sum(-1) / (2 * var) - np.log(2 * np.pi * var)
    r = np.exp(log - logsumexp(log, 1, keepdims=True))
    each = m + keep**0.5 * std**2 / var * (x - keep**0.5 * m)
    return (r[..., None] * each).sum(1), logsumexp(log, 1)


@pytest.mark.parametrize("std", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("t", [0.001, 0.1, 0.5, 1.0])
def test_mixture_denoiser_is_the_formula(std, t):
    x, network = 2 * normals(50, 2), MixtureDenoiser(KERNEL, MEANS, std, 7 * WEIGHTS)
    expected, _ = direct(x, KERNEL.schedule.keep(f64(t)).item(), std)
    found = network(x, f64(t).expand(50))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    assert network(x.float(), f64(t).expand(50).float()).dtype == torch.float32


@pytest.mark.parametrize("std", [0.0, 0.3])
def test_mixture_denoiser_is_the_score(std):
    """Tweedie: (alpha E[x_0|x_t] - x_t) / sigma^2 = grad log q(x_t), here by differences."""
    t, h = f64(0.4), 1e-5
    x, keep = normals(20, 2), KERNEL.schedule.keep(t).item()
    predicted = MixtureDenoiser(KERNEL, MEANS, std, WEIGHTS)(x, t.expand(20))
    score = (keep**0.5 * predicted - x) / (1 - keep)
    for i in range(2):
        step = h * torch.eye(2).double()[i]
        slope = (direct(x + step, keep, std)[1] - direct(x - step, keep, std)[1]) / (2 * h)
        np.testing.assert_allclose(score[:, i], slope, rtol=1e-6, atol=1e-6)


def test_equal_weights_are_the_default():
    a = MixtureDenoiser(KERNEL, MEANS, 0.1)(normals(5, 2), f64(0.5).expand(5))
    b = MixtureDenoiser(KERNEL, MEANS, 0.1, torch.ones(3))(normals(5, 2), f64(0.5).expand(5))
    assert torch.equal(a, b)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(None), ConstantFraction()])
@pytest.mark.parametrize("grid", [grids.uniform(1), grids.uniform(7), grids.strided(1000, 20)])
@pytest.mark.parametrize("sampler", [DDIM(), DDIM(1.0)])
def test_one_point_is_hit_however_few_the_steps(schedule, grid, sampler):
    kernel, point = Gaussian(schedule), f64(0.7, -3.0).reshape(1, 2)
    model = Denoiser(MixtureDenoiser(kernel, point, 0.0), kernel, X0(), decoder=NormalDecoder(1e-9))
    *_, (_, x) = reverse(model, 3 * normals(9, 2), sampler=sampler, grid=grid, generator=keyed(0))
    torch.testing.assert_close(x, point.expand(9, 2))


def test_one_step_of_ddim_to_a_point_is_a_straight_line_in_noise():
    """x_s = alpha_s x_0 + sigma_s eps with the eps of x_t: eps does not change on the way."""
    point = f64(0.5).reshape(1, 1)
    model = Denoiser(MixtureDenoiser(KERNEL, point, 0.0), KERNEL, X0())
    walk = reverse(model, normals(5, 1), sampler=DDIM(), grid=grids.strided(1000, 9), generator=keyed(0))
    noise = []
    for t, x in list(walk)[:-1]:
        alpha, sigma = KERNEL.alpha_sigma(f64(t))
        noise.append((x - alpha * point) / sigma)
    for eps in noise[1:]:
        torch.testing.assert_close(eps, noise[0], rtol=1e-6, atol=1e-9)


def test_the_bound_of_one_point_is_its_prior_term():
    """Data at one point, predicted exactly: no step costs anything."""
    point = f64(0.7, -0.2).reshape(1, 2)
    model = Denoiser(MixtureDenoiser(KERNEL, point, 0.0), KERNEL, X0())
    bound = nelbo(model, point.expand(4, 2), grid=grids.strided(1000, 9), generator=keyed(0))
    assert bound.steps.abs().max() < 1e-9
    keep = KERNEL.schedule.keep(f64(1.0)).item()
    expected = 0.5 * (keep * point.square().sum().item() - 2 * keep - 2 * math.log1p(-keep))
    assert bound.prior[0].item() == pytest.approx(expected, rel=1e-9)


def two_points(T: int, variance=None, thin: int | None = None) -> tuple[float, torch.Tensor]:
    """The bound of a perfect denoiser on {-1, 1}, integrated over x_t by the trapezoid rule."""
    kernel = Gaussian(Linear(0.1 / T, 20 / T, steps=T))
    grid = grids.strided(T, thin) if thin else grids.uniform(T)
    eps, w = trapezoid()
    network = MixtureDenoiser(kernel, f64(-1.0, 1.0).reshape(2, 1), 0.0)
    model = Denoiser(network, kernel, X0(), variance, DiscretizedDecoder(2))
    x_0 = torch.ones(len(eps), 1, dtype=torch.float64)  # -1 costs the same, by symmetry
    bound = nelbo(model, x_0, grid=grid, generator=Replay(eps[:, None]))
    assert abs(w @ bound.decode) < 1e-6
    return (w @ bound.total).item(), w @ bound.steps


@pytest.mark.parametrize(("T", "value"), [(100, 0.744237), (4000, 0.694326), (1000, 0.697889)])
def test_two_points(T, value):
    assert two_points(T)[0] == pytest.approx(value, abs=2e-6)


@pytest.mark.slow
def test_finer_chains_bound_tighter_towards_the_entropy():
    values = [two_points(1000, thin=k)[0] for k in (10, 30, 100, 300)]
    assert all(a > b for a, b in pairwise(values))
    assert values[-1] > math.log(2)
    excess = [two_points(T)[0] - math.log(2) for T in (250, 500, 1000)]
    assert excess[0] / excess[1] == pytest.approx(2, rel=0.1)
    assert excess[1] / excess[2] == pytest.approx(2, rel=0.1)


def test_each_step_is_snr_lost_times_the_least_error():
    """E KL = (SNR_s - SNR_t) mmse(SNR_t) / 2, mmse(g) = 1 - E tanh(g - sqrt(g) z)."""
    schedule, (z, w) = Linear(1e-3, 0.2, steps=100), trapezoid()
    snr = schedule.logsnr(grids.uniform(100)).exp()
    mmse = 1 - torch.tanh(snr[:, None] - snr[:, None].sqrt() * z) @ w
    steps = two_points(100)[1]
    torch.testing.assert_close(steps, 0.5 * (snr[:-1] - snr[1:]) * mmse[1:], rtol=1e-7, atol=1e-10)


def test_the_wider_variance_costs_more_here():
    assert two_points(100, Forward())[0] > two_points(100, Posterior())[0] + 0.01


MIXTURE = f64(1.5, 0.0, -1.0, 1.0, -0.5, -1.5).reshape(3, 2)


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(), DDIM(1.0)], ids=["ancestral", "ddim", "eta=1"])
def test_a_mixture_in_the_plane_is_sampled(sampler):
    n, std, kernel = 4000, 0.2, Gaussian(Cosine(None))
    grid = grids.logsnr(kernel.schedule, 150, first=1e-3)
    model = Denoiser(MixtureDenoiser(kernel, MIXTURE, std, WEIGHTS), kernel, X0())
    *_, (_, x) = reverse(model, normals(n, 2), sampler=sampler, grid=grid, generator=keyed(1))
    owner = torch.cdist(x, MIXTURE).argmin(1)
    for k in range(3):
        mine, weight = x[owner == k], WEIGHTS[k]
        count = len(mine)
        assert abs(count / n - weight) < 5 * (weight * (1 - weight) / n) ** 0.5
        assert ((mine.mean(0) - MIXTURE[k]).abs() < 5 * std / count**0.5).all()
        cov = torch.cov(mine.T) / std**2
        assert ((cov.diagonal() - 1).abs() < 5 * (2 / count) ** 0.5 + 0.04).all()  # 0.04: 150 steps
        assert cov[0, 1].abs() < 5 / count**0.5
