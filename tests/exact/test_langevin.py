"""The corrector on Gaussian data: a linear map of x and noise, so its law is a recursion of two numbers."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from oracles import GaussianDenoiser, GaussianReverse, Replay, f64, normals
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, Forward
from undiffuse.random import keyed
from undiffuse.samplers import Ancestral, Langevin, reverse
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids

MEAN, C = 0.7, 0.4
TIMES = pytest.mark.parametrize("s", [f64(1e-4), f64(0.05), f64(0.3), f64(0.8), f64(1.0)])
SNRS = pytest.mark.parametrize("snr", [0.05, 0.16, 0.6])


def exact(var: float = C, schedule=None, variance=None) -> Denoiser:
    kernel = Gaussian(schedule or Cosine(None))
    return Denoiser(GaussianDenoiser(kernel, f64(MEAN), f64(var)), kernel, X0(), variance)


def law(model: Denoiser, var: float, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """m, S and sigma^2 of q(x_s)."""
    keep = model.kernel.schedule.keep(s)
    return keep.sqrt() * MEAN, keep * var + 1 - keep, 1 - keep


def correct(model, snr: float, x: float | Tensor, s: Tensor, z: float) -> Tensor:
    """One correction of x with the noise z."""
    x = torch.as_tensor(x, dtype=torch.float64).reshape(1, 1)
    return Langevin(snr=snr).correct(model, x, s, Replay(f64(z).reshape(1, 1))).squeeze()


def affine(model, snr: float, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where 0 goes, and the weights of x and of the noise."""
    origin = correct(model, snr, 0.0, s, 0.0)
    return origin, correct(model, snr, 1.0, s, 0.0) - origin, correct(model, snr, 0.0, s, 1.0) - origin


@TIMES
@SNRS
def test_a_correction_follows_the_score(s, snr):
    """Against the score of N(m, S) itself, not by way of x_0-hat."""
    model, x, z = exact(), 1.3, -0.4
    m, total, noise = law(model, C, s)
    rho = math.exp(-2 * snr**2)
    expected = x + (1 - rho) * noise * (m - x) / total + (1 - rho**2) ** 0.5 * noise.sqrt() * z
    torch.testing.assert_close(correct(model, snr, x, s, z), expected, rtol=1e-10, atol=1e-12)


@TIMES
@SNRS
def test_the_mean_is_kept_and_the_variance_loses_what_is_said(s, snr):
    model, h = exact(), -math.expm1(-2 * snr**2)
    m, total, noise = law(model, C, s)
    origin, slope, fresh = affine(model, snr, s)
    w = noise / total
    assert (origin + slope * m - m).abs() < 1e-12
    after = slope.square() * total + fresh.square()
    torch.testing.assert_close(after / total, 1 - h**2 * w * (1 - w), rtol=1e-10, atol=0)
    assert 1 - h**2 / 4 - 1e-12 <= after / total <= 1 + 1e-12


@TIMES
@SNRS
def test_what_it_comes_to_rest_at(s, snr):
    model, h = exact(), -math.expm1(-2 * snr**2)
    m, total, noise = law(model, C, s)
    origin, slope, fresh = affine(model, snr, s)
    w = noise / total
    torch.testing.assert_close(origin / (1 - slope), m, rtol=1e-6, atol=1e-9)
    rest = fresh.square() / (1 - slope.square())
    torch.testing.assert_close(rest, total * (2 - h) / (2 - h * w), rtol=1e-6, atol=1e-12)


@TIMES
@SNRS
def test_noise_around_a_known_point_is_kept_exactly(s, snr):
    model = exact(0.0)
    m, total, _ = law(model, 0.0, s)
    origin, slope, fresh = affine(model, snr, s)
    assert (origin + slope * m - m).abs() < 1e-12
    torch.testing.assert_close(slope.square() * total + fresh.square(), total, rtol=1e-12, atol=1e-15)


def test_the_orders_of_the_bias():
    """In h, or snr^2: first for the law at rest, second for one correction."""
    model, s = exact(), f64(0.3)
    total, rest, once = law(model, C, s)[1], [], []
    for snr in (0.08, 0.08 * 2**0.5, 0.16):
        _, slope, fresh = affine(model, snr, s)
        rest.append(1 - (fresh.square() / (1 - slope.square()) / total).item())
        once.append(1 - (slope.square() + fresh.square() / total).item())
    assert all(1.95 < b / a < 2.05 for a, b in pairwise(rest)) and 0 < rest[-1] < 0.025
    assert all(3.8 < b / a < 4.2 for a, b in pairwise(once)) and 0 < once[-1] < 0.0007


def test_short_steps_are_those_of_the_paper():
    """x + e g + sqrt(2 e) z with e = 2 snr^2 sigma^2 (algorithm 5, |z| / |g| = sigma)."""
    model, s, x, z = exact(), f64(0.4), 1.5, 0.8
    m, total, noise = law(model, C, s)
    gaps = []
    for snr in (0.04, 0.02, 0.01):
        e = 2 * snr**2 * noise
        plain = x + e * (m - x) / total + (2 * e).sqrt() * z
        gaps.append((correct(model, snr, x, s, z) - plain).abs().item())
    assert all(7 < a / b < 9 for a, b in pairwise(gaps))  # third order in snr: sqrt(1 - rho^2)


def responses(model, sampler, grid: Tensor, draws: int) -> list[Tensor]:
    """Variance of every x_t: sums of squares of the weights of x_1 and all later noise."""
    unit = torch.eye(draws + 2, dtype=torch.float64)[..., None]  # the last row has no draw: where 0 goes
    noise = Replay([row.reshape(-1, 1) for row in torch.eye(draws + 2, dtype=torch.float64)[1:-1]])
    walk = reverse(model, unit[0], sampler=sampler, grid=grid, generator=noise)
    return [(x[:-1] - x[-1:]).square().sum() for _, x in walk]


@pytest.mark.parametrize("schedule", [Linear(steps=None), Cosine(None), ConstantFraction()])
@pytest.mark.parametrize("corrections", [1, 3])
def test_the_chain_is_the_recursion(schedule, corrections):
    """The exact reverse step, then the corrections, written out."""
    kernel, grid, snr = Gaussian(schedule), grids.uniform(9), 0.3
    model, h = GaussianReverse(kernel, f64(MEAN), f64(C)), -math.expm1(-2 * snr**2)
    found = responses(model, Langevin(corrections, snr), grid, 8 * (1 + corrections) + 1)
    keep, v = schedule.keep(grid), f64(1.0)
    total = keep * C + 1 - keep
    for i in range(8, 0, -1):
        share = keep[i] / keep[i - 1]
        v = share * (total[i - 1] / total[i]) ** 2 * v + (1 - share) * total[i - 1] / total[i]
        w = (1 - keep[i - 1]) / total[i - 1]
        for _ in range(corrections):
            v = (1 - h * w) ** 2 * v + h * (2 - h) * (1 - keep[i - 1])
        torch.testing.assert_close(found[9 - i], v, rtol=1e-9, atol=0)


def test_corrections_mend_a_bad_predictor():
    """Steps that are too wide for their number: the more corrections, the nearer the variance to S."""
    grid, model = grids.uniform(6), exact(variance=Forward())
    total = [law(model, C, t)[1] for t in grid.flip(0)[1:]]

    def error(sampler, draws: int) -> float:
        found = responses(model, sampler, grid, draws)[1:-1]
        return max(abs(float(v / S) - 1) for v, S in zip(found, total, strict=True))

    errors = [error(Ancestral(), 6)] + [error(Langevin(n, 0.3), 5 * (1 + n) + 1) for n in (1, 4, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.2 and errors[-1] < 0.2 * errors[0]


def test_refusals():
    bits = Denoiser(torch.nn.Identity(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="needs a Gaussian kernel, not Binomial"):
        next(reverse(bits, normals(1, 1), sampler=Langevin(), grid=f64(0.5, 1.0), generator=keyed(0)))
    for corrections, snr in ((0, 0.1), (-1, 0.1), (1, 0.0), (1, -1.0), (1, math.nan), (1, math.inf)):
        with pytest.raises(ValueError, match="corrections=" if corrections < 1 else "snr="):
            Langevin(corrections, snr)
