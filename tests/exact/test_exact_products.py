"""Products of a model and a factor: Gaussian ones by exact recursions (O9), known elements bit for bit."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from oracles import Constant as Said
from oracles import GaussianReverse, conditioned, f64, law_of, normals
from undiffuse import bounds
from undiffuse.distributions import Normal
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import DiscretizedDecoder
from undiffuse.posteriors import Annealed, Constant, Known, Linearised, Noisy, Odds, Product
from undiffuse.posteriors import Linear as Measurement
from undiffuse.posteriors.operators import Matrix
from undiffuse.random import Streams, keyed
from undiffuse.samplers import Ancestral, reverse, sample, start
from undiffuse.schedules import Betas, ConstantFraction, Cosine, Linear, Schedule, grids

MEAN, VAR = f64(0.3, -1.0, 0.0), f64(0.4, 1.0, 2.5)
ONES = torch.ones(4, 2).double()
Y, STD = f64(1.0, 0.2, -3.0), 0.7
CHAINS = pytest.mark.parametrize(
    ("schedule", "steps"),
    [(Linear(1e-3, 0.3, steps=20), 20), (Cosine(None), 7), (ConstantFraction(), 12), (Betas([0.7]), 1)],
    ids=["linear", "cosine", "constant fraction", "one step"],
)


def times(mean: Tensor, var: Tensor, y: Tensor, std: float, power: float = 1.0) -> tuple[Tensor, Tensor]:
    """V' = (1/V + p/s^2)^-1, mu' = V' (mu/V + p y/s^2)."""
    new = 1 / (1 / var + power / std**2)
    return new * (mean / var + power * y / std**2), new


def moved(mean: Tensor, var: Tensor, y: Tensor, std: float, power: float = 1.0) -> tuple[Tensor, Tensor]:
    """The same to first order, eq. 61: mu' = mu + V p (y - mu)/s^2, V' = V."""
    return mean + var * power * (y - mean) / std**2, var


def law_after(
    schedule: Schedule,
    grid: Tensor,
    mean: Tensor,
    var: Tensor,
    y: Tensor,
    std: float,
    power: Callable[[float], float] = lambda t: 1.0,
    by: Callable[..., tuple[Tensor, Tensor]] = times,
) -> tuple[Tensor, Tensor]:
    """Mean and variance of x_0 of the perturbed chain, written out: every step is affine in x_t."""
    m, v = by(torch.zeros_like(mean), torch.ones_like(var), y, std, power(1.0))  # p(x_T) r
    keep = [*schedule.keep(grid).flip(0), f64(1.0)]
    powers = [power(float(s)) for s in grid.flip(0)[1:]] + [1.0]
    for (keep_t, keep_s), p_s in zip(pairwise(keep), powers, strict=True):
        s_t, s_s = keep_t * var + 1 - keep_t, keep_s * var + 1 - keep_s
        kept = keep_t / keep_s
        slope, width = kept.sqrt() * s_s / s_t, (1 - kept) * s_s / s_t
        shift = keep_s.sqrt() * mean - slope * keep_t.sqrt() * mean
        shift, new = by(shift, width, y, std, p_s)
        slope = (by(slope, width, 0 * y, std, p_s))[0]  # the part that depends on x_t
        m, v = slope * m + shift, slope**2 * v + new
    return m, v


@CHAINS
def test_every_distribution_is_the_conjugate_product(schedule, steps):
    exact, grid = GaussianReverse(Gaussian(schedule), MEAN, VAR), grids.uniform(steps)
    product, x_t = Constant(exact, Noisy(Y, STD)), normals(5, 3)
    assert isinstance(product, Product) and product.kernel is exact.kernel
    pairs = [(product.decode(x_t, grid[0]), exact.decode(x_t, grid[0]))]
    pairs += [(product.prior(x_t), exact.prior(x_t))]
    pairs += [(m.step(x_t, grid[-1], grid[0] / 2) for m in (product, exact))]
    for found, base in pairs:
        mean, var = times(base.mean, base.var, Y, STD)
        torch.testing.assert_close(found.mean, mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(found.var.expand_as(var), var, rtol=0, atol=1e-10)


RULES = {  # of how r enters: the product's class, its factor, the power of r at t, one step
    "constant": (Constant, Noisy(Y, STD), lambda t: 1.0, times),
    "annealed": (Annealed, Noisy(Y, STD), lambda t: 1 - t, times),
    "first order": (Constant, Linearised(Noisy(Y, STD)), lambda t: 1.0, moved),
    "annealed, first order": (Annealed, Linearised(Noisy(Y, STD)), lambda t: 1 - t, moved),
}
EVERY_RULE = pytest.mark.parametrize("name", RULES)


@CHAINS
@EVERY_RULE
def test_the_perturbed_chain_is_the_recursion(schedule, steps, name):
    """Mean and variance of x_0, without sampling (O9 a)."""
    (rule, factor, power, by), grid = RULES[name], grids.uniform(steps)
    product = rule(GaussianReverse(Gaussian(schedule), MEAN, VAR), factor)
    mean, var = law_after(schedule, grid, MEAN, VAR, Y, STD, power, by)
    found = law_of(product, 3, grid)
    torch.testing.assert_close(found, (mean, torch.diag(var)), rtol=1e-6, atol=1e-6)


@CHAINS
@EVERY_RULE
def test_the_sampler_draws_the_perturbed_chain(schedule, steps, name):
    """Not the posterior: the law that the recursion gives."""
    n, grid = 2_500, grids.uniform(steps)
    rule, factor, power, by = RULES[name]
    product = rule(GaussianReverse(Gaussian(schedule), MEAN, VAR), factor)
    x = sample(product, (n, 3), generator=keyed("chain"), grid=grid).double()
    mean, var = law_after(schedule, grid, MEAN, VAR, Y, STD, power, by)
    assert ((x.mean(0) - mean).abs() < 4 * (var / n).sqrt()).all()
    assert ((x.var(0) / var - 1).abs() < 4 * math.sqrt(2 / n)).all()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [Linear(steps=None), ConstantFraction()])
def test_a_constant_factor_does_not_lead_to_the_posterior(schedule):
    """N(0, 1) data, y = 1, s = 1: N(2/3, 1/3) in the limit of many steps; the posterior is N(1/2, 1/2)."""
    data, y = (f64([0.0]), f64([1.0])), f64([1.0])
    mean, var = law_after(schedule, grids.uniform(10_000), *data, y, 1.0)
    assert (mean.item(), var.item()) == (pytest.approx(2 / 3, abs=1e-3), pytest.approx(1 / 3, abs=1e-3))
    product = Constant(GaussianReverse(Gaussian(schedule), *data), Noisy(y, 1.0))
    mean, var = law_of(product, 1, grids.uniform(400))
    assert (mean.item(), var.item()) == (pytest.approx(2 / 3, abs=0.01), pytest.approx(1 / 3, abs=0.01))


@pytest.mark.parametrize(
    ("schedule", "mean", "var"), [(ConstantFraction(), 0.462, 0.432), (Linear(steps=None), 0.596, 0.377)]
)
def test_annealing_does_not_either(schedule, mean, var):
    """r^(1 - t): other limits, which depend on the schedule (O9 b)."""
    law = law_after(schedule, grids.uniform(4_000), f64(0.0), f64(1.0), f64(1.0), 1.0, power=lambda t: 1 - t)
    assert (law[0].item(), law[1].item()) == (pytest.approx(mean, abs=2e-3), pytest.approx(var, abs=2e-3))


def test_the_first_order_is_off_by_the_square_of_the_variance():
    """A quarter of the error at half of the variance, in mean and width."""
    off, mean, one = [], f64([[0.5]]), Noisy(f64([2.0]), STD)
    for var in (0.02, 0.01, 0.005):
        exact, first = (factor.times(Normal(mean, f64(var))) for factor in (one, Linearised(one)))
        off.append((abs(float(exact.mean - first.mean)), abs(float(exact.var - first.var))))
    for coarse, fine in pairwise(off):
        assert coarse[0] / fine[0] == pytest.approx(4, rel=0.03)
        assert coarse[1] / fine[1] == pytest.approx(4, rel=0.03)


class Smooth(nn.Module):
    """Some output that depends on every element and on time, once for every channel of the input."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return torch.sin(x_t.roll(1, -1) + t.view(-1, 1, 1) + x_t.mean((1, 2), keepdim=True))


SHAPE = (1, 6)
KERNELS = {
    "normal": (Gaussian(Cosine(None)), None, (-0.3, 2.0)),
    "levels": (Gaussian(Cosine(None)), DiscretizedDecoder(5), (-0.5, 1.0)),
    "bits": (Binomial(ConstantFraction(), 0.2), None, (1.0, 0.0)),
    "symbols": (Categorical(Linear(), 4), None, (3.0, 1.0)),
    "masked": (Absorbing(ConstantFraction(), 3), None, (2.0, 0.0)),
}
EVERY = pytest.mark.parametrize("kind", KERNELS)


def made(kind: str) -> tuple[Denoiser, Tensor]:
    """A model and data it may have: two values in turn, (4, *SHAPE)."""
    kernel, decoder, values = KERNELS[kind]
    return Denoiser(Smooth(), kernel, decoder=decoder), torch.tensor(values).repeat(4, *SHAPE[:-1], 3)


def walk(model, rows: int = 4) -> list[tuple[float, Tensor]]:
    streams = Streams("walk", rows=range(rows))
    x_1 = start(model, torch.zeros(rows, *SHAPE), streams)
    return list(reverse(model, x_1, sampler=Ancestral(), grid=grids.uniform(9), generator=streams))


@EVERY
def test_what_is_known_is_held_and_the_rest_follows_the_model(kind):
    model, value = made(kind)
    mask = (torch.arange(24) % 5 < 3).view(4, *SHAPE)
    product = Constant(model, Known(value, mask))
    states = walk(product)
    for _, x in states:
        assert torch.equal(x[mask], value[mask])
    streams = Streams("walk", rows=range(4))  # the same noise, by hand: the model's own steps at those x_t
    start(model, value, streams)
    for (t, x_t), (s, x_s) in pairwise(states):
        p = model.step(x_t, f64(t), f64(s)) if s else model.decode(x_t, f64(t))
        assert torch.equal(p.sample(streams).float()[~mask], x_s[~mask])
    assert len({tuple(x[~mask].tolist()) for _, x in states}) > 2


@EVERY
def test_knowing_nothing_is_the_identity(kind):
    model, value = made(kind)
    nothing = Known(torch.full_like(value, torch.nan), torch.zeros_like(value).bool())
    for (s, x), (t, y) in zip(walk(model), walk(Constant(model, nothing)), strict=True):
        assert s == t and x.dtype == y.dtype and torch.equal(x, y)


def test_factors_multiply_one_after_the_other():
    """Two observations of x are one with both their weights; a pinned element ignores an observation."""
    exact = GaussianReverse(Gaussian(Cosine(None)), MEAN, VAR)
    twice = Constant(exact, Noisy(Y, STD) * Noisy(Y, STD)).step(normals(5, 3), f64(0.6), f64(0.3))
    once = Constant(exact, Noisy(Y, STD / math.sqrt(2))).step(normals(5, 3), f64(0.6), f64(0.3))
    torch.testing.assert_close(twice.mean, once.mean)
    torch.testing.assert_close(twice.var, once.var)
    mask = torch.tensor([True, False, False])
    pinned = Constant(exact, Known(2 * Y, mask) * Noisy(Y, STD)).step(normals(5, 3), f64(0.6), f64(0.3))
    assert (pinned.sample(keyed(0))[:, 0] == 2 * Y[0]).all()


def test_levels_are_weighed_before_they_are_rounded():
    model, value = made("levels")
    found = Constant(model, Noisy(value, 0.2)).decode(normals(4, *SHAPE), f64(0.3))
    base = model.decode(normals(4, *SHAPE), f64(0.3))
    mean, var = times(base.loc, base.std.square(), value.double(), 0.2)
    torch.testing.assert_close((found.loc, found.std.square().expand_as(var)), (mean, var))
    assert found.levels == 5


def test_the_bound_of_a_product_starts_at_its_prior():
    product = Constant(GaussianReverse(Gaussian(Cosine(None)), MEAN, VAR), Noisy(Y, STD))
    bound = bounds.nelbo(product, normals(4, 3), grid=grids.uniform(3), generator=keyed(0))
    q = product.kernel.marginal(normals(4, 3), f64(1.0))
    expected = q.kl(Normal(*times(f64(0.0), f64(1.0), Y, STD))).sum(1)
    torch.testing.assert_close(bound.prior, expected)


@pytest.mark.parametrize(("rule", "power"), [(Constant, lambda t: 1.0), (Annealed, lambda t: 1 - t)])
def test_the_prediction_is_that_of_the_power_of_the_factor(rule, power):
    """Tweedie's formula for q(x_t) r(x_t)^power: (x_t + sigma^2 d log / d x_t) / alpha; of bits, the odds."""
    exact = GaussianReverse(Gaussian(Linear(1e-3, 0.3, steps=20)), MEAN, VAR)
    for t in f64(0.1, 0.6, 1.0):
        alpha, sigma = exact.kernel.alpha_sigma(t)
        x_t, (m, v) = normals(5, 3).requires_grad_(), exact.law(t)
        log = -0.5 * ((x_t - m).square() / v + power(t) * (x_t - Y).square() / STD**2).sum()
        expected = (x_t + sigma**2 * torch.autograd.grad(log, x_t)[0]) / alpha
        torch.testing.assert_close(rule(exact, Noisy(Y, STD)).predict(x_t.detach(), t), expected.detach())
    odds, bits, x = f64(0.7, -2.0), Denoiser(Said(f64(0.3, 1.0)), Binomial(ConstantFraction(), 0.2)), ONES
    found = rule(bits, Odds(odds)).predict(x, f64(0.6))
    torch.testing.assert_close(found, torch.sigmoid(f64(0.3, 1.0) + power(0.6) * odds).expand(4, 2))


@pytest.mark.parametrize("power", [f64(1.0), f64(0.3)])
def test_a_power_of_a_measurement_is_one_with_wider_noise(power):
    """N(y; A x, s^2)^c is N(y; A x, s^2 / c) up to a constant; of many elements the mean."""
    matrix, mean = normals(2, 3, seed=1), normals(4, 3, seed=2)
    found = Measurement(Matrix(matrix), f64(1.0, -0.5), 0.6).times(Normal(mean, VAR), power)
    for row, (ours, width) in zip(
        mean, zip(found.mean, found.root @ found.root.mT, strict=True), strict=True
    ):
        noise = 0.6**2 / float(power) * torch.eye(2).double()
        right, cov, _ = conditioned(row, torch.diag(VAR), matrix, f64(1.0, -0.5), noise)
        torch.testing.assert_close((ours, width), (right, cov))
    many = Normal(normals(2, 40), f64(0.5))
    found = Measurement(lambda x: x[:, :3], torch.ones(3).double(), 0.6).times(many, power)
    gain = float(power) * 0.5 / (float(power) * 0.5 + 0.6**2)
    torch.testing.assert_close(found.mean[:, :3], many.mean[:, :3] + gain * (1 - many.mean[:, :3]))
    torch.testing.assert_close(found.mean[:, 3:], many.mean[:, 3:])
