"""Samplers on Gaussian data: their maps are linear, so their laws are products and recursions (O11)."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from oracles import GaussianDenoiser, GaussianReverse, Replay, f64, normals
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, Forward, Interpolated, NormalDecoder, Posterior
from undiffuse.random import Streams, keyed
from undiffuse.samplers import DDIM, Ancestral, Sampler, reverse
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids

C = 0.4
SCHEDULES = [Linear(), Linear(steps=None), Cosine(None), ConstantFraction()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES)


def exact_denoiser(schedule, variance=None, decoder=None) -> Denoiser:
    kernel = Gaussian(schedule)
    return Denoiser(GaussianDenoiser(kernel, f64(0.0), f64(C)), kernel, X0(), variance, decoder)


def responses(model, sampler: Sampler, grid: Tensor) -> list[Tensor]:
    """Linear weights of x_1 and of every later noise in x_t, (t, weights), all at once.

    Row i of the batch has a one at draw i and zeros elsewhere, so its x_t is the weight of draw i; the
    variance of x_t for standard normal draws is the sum of squares.
    """
    unit = torch.eye(len(grid) + 1, dtype=torch.float64)[..., None]
    noise = Replay(list(unit[1:]))
    return [x[:, 0] for _, x in reverse(model, unit[0], sampler=sampler, grid=grid, generator=noise)]


def marginal(schedule, t: Tensor) -> Tensor:
    keep = schedule.keep(t)
    return keep * C + 1 - keep


@EVERY
@pytest.mark.parametrize("steps", [1, 2, 13, 100])
def test_ddim_is_the_product_formula(schedule, steps):
    grid = grids.uniform(steps)
    keep = torch.cat([f64(1.0).reshape(1), schedule.keep(grid)])
    s, t = keep[:-1], keep[1:]
    factors = ((s * t).sqrt() * C + ((1 - s) * (1 - t)).sqrt()) / (t * C + 1 - t)
    found = torch.stack(responses(exact_denoiser(schedule), DDIM(), grid))
    expected = torch.cat([f64(1.0).reshape(1), factors.flip(0).cumprod(0)])
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-10, atol=1e-12)
    assert (found[:, 1:] == 0).all()


@pytest.mark.parametrize("schedule", [Linear(steps=None), Cosine(None)])
def test_ddim_errs_half_as_much_with_twice_the_steps(schedule):
    """It has order 1, as it says; the limit of the product is sqrt(S_0 / S_1)."""
    limit = (C / marginal(schedule, f64(1.0))).sqrt()
    errors = []
    for steps in (100, 200, 400, 800):
        grid = grids.logsnr(schedule, steps, first=1e-6)
        errors.append((responses(exact_denoiser(schedule), DDIM(), grid)[-1][0] - limit).abs().item())
    ratios = [a / b for a, b in pairwise(errors)]
    assert all(1.9 < ratio < 2.1 for ratio in ratios)
    assert abs(ratios[-1] - 2) < 0.02 and errors[-1] < 0.01
    assert DDIM().order == round(math.log2(ratios[-1]))


def recursion(schedule, grid: Tensor, variance) -> list[Tensor]:
    """Variances of x_t down the chain, from v = 1 at t = 1, by the textbook DDPM step."""
    keep, v = schedule.keep(grid), f64(1.0)
    out = [v]
    for i in range(len(grid) - 1, 0, -1):
        k_s, k_t = keep[i - 1], keep[i]
        beta = 1 - k_t / k_s
        on_x_0, on_x_t = k_s.sqrt() * beta / (1 - k_t), (1 - beta).sqrt() * (1 - k_s) / (1 - k_t)
        slope = on_x_0 * k_t.sqrt() * C / (k_t * C + 1 - k_t) + on_x_t
        low = beta * (1 - k_s) / (1 - k_t)
        v = slope**2 * v + {Posterior: low, Forward: beta}[type(variance)]
        out.append(v)
    return out


@EVERY
@pytest.mark.parametrize("variance", [Posterior(), Forward()], ids=["posterior", "forward"])
def test_ancestral_is_the_variance_recursion(schedule, variance):
    grid = grids.uniform(12)
    model = exact_denoiser(schedule, variance, NormalDecoder(0.1))
    found = [w.square().sum() for w in responses(model, Ancestral(), grid)]
    expected = recursion(schedule, grid, variance)
    torch.testing.assert_close(torch.stack(found[:-1]), torch.stack(expected), rtol=1e-10, atol=0)
    keep = schedule.keep(grid[0])
    last = (keep.sqrt() * C / (keep * C + 1 - keep)) ** 2 * expected[-1] + 0.1**2
    assert found[-1].item() == pytest.approx(last.item(), rel=1e-10)


@EVERY
def test_ddim_with_all_the_noise_is_ancestral_with_the_posterior_variance(schedule):
    grid, model = grids.uniform(12), exact_denoiser(schedule, Posterior())
    a, b = (list(responses(model, sampler, grid)) for sampler in (DDIM(1.0), Ancestral()))
    for x, y in zip(a[:-1], b[:-1], strict=True):  # DDIM ends without noise
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-8)


@EVERY
def test_ddim_with_some_of_the_noise(schedule):
    """Its noise is eta times the posterior's, and on exact x_0 it keeps the marginal q(x_s | x_0)."""
    model, s, t, eta = exact_denoiser(schedule), f64(0.3), f64(0.8), 0.6
    x, z = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    noise, _ = DDIM(eta).step(model, x, t, s, None, Replay(z))
    var = model.kernel.coefficients(s, t).var
    assert noise.item() ** 2 == pytest.approx((eta**2 * var).item(), rel=1e-9)
    kernel = Gaussian(schedule)
    sure = Denoiser(GaussianDenoiser(kernel, f64(2.0), f64(0.0)), kernel, X0())
    parts = []
    for eps, z in ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)):  # x_t = alpha 2 + sigma eps
        x = kernel.marginal(f64(2.0).reshape(1, 1), t).sample(Replay(f64(eps).reshape(1, 1)))
        parts.append(DDIM(eta).step(sure, x, t, s, None, Replay(f64(z).reshape(1, 1)))[0].item())
    q = kernel.marginal(f64(2.0).reshape(1, 1), s)
    assert parts[2] == pytest.approx(q.mean.item(), rel=1e-9)
    spread = (parts[0] - parts[2]) ** 2 + (parts[1] - parts[2]) ** 2
    assert spread == pytest.approx(q.var.item(), rel=1e-9)


@EVERY
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_exact_reverse_keeps_every_marginal(schedule, steps):
    """Started from q(x_1) instead of the prior, the exact chain passes through every q(x_t)."""
    grid = grids.uniform(steps)
    weights = responses(GaussianReverse(Gaussian(schedule), f64(0.0), f64(C)), Ancestral(), grid)
    times = torch.cat([grid.flip(0), f64(0.0).reshape(1)])
    for t, w in zip(times, weights, strict=True):
        w = w * torch.cat([marginal(schedule, grid[-1]).sqrt().reshape(1), torch.ones(len(grid)).double()])
        assert w.square().sum().item() == pytest.approx(marginal(schedule, t).item(), rel=1e-9)


def test_a_learned_variance_is_drawn_with():
    """raw is 1 in the first dimension and -1 in the second: beta here, beta-tilde there."""

    class Both(torch.nn.Module):
        def forward(self, x_t, t):
            return torch.cat([0 * x_t, f64(1.0, -1.0).expand_as(x_t)], 1)

    kernel, s, t = Gaussian(Linear()), f64(0.4), f64(0.5)
    model = Denoiser(Both(), kernel, X0(), Interpolated())
    zero, one = torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    drawn = Ancestral().step(model, zero, t, s, None, Replay(one))[0].square()
    c = kernel.coefficients(s, t)
    torch.testing.assert_close(drawn[0], torch.stack([c.beta, c.var]))


@pytest.mark.slow
def test_float32_follows_float64():
    """The whole chain of 1000 steps in single precision, with the same noise."""
    grid, model = grids.uniform(1000), exact_denoiser(Linear(), decoder=NormalDecoder(0.01))
    ends = []
    for dtype in (torch.float32, torch.float64):
        streams = Streams(0, rows=range(16))
        walk = reverse(model, normals(16, 1).to(dtype), sampler=Ancestral(), grid=grid, generator=streams)
        *_, (_, x) = walk
        assert x.dtype == dtype
        ends.append(x.double())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-4)


def test_noise_is_new_at_every_step():
    model = exact_denoiser(Linear(), Forward())
    walk = list(
        reverse(model, normals(4, 1), sampler=Ancestral(), grid=grids.uniform(30), generator=keyed(0))
    )
    jumps = torch.stack([b - a for (_, a), (_, b) in pairwise(walk[:-1])])[..., 0]
    assert len(jumps.unique()) == jumps.numel()
