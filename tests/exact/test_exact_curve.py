"""The curve of mean squared errors against closed forms: chains, their best times, and what samplers lose."""

import itertools

import pytest
import torch
from scipy.optimize import isotonic_regression

from oracles import GaussianDenoiser, f64, mixture, normals
from undiffuse.bounds import Curve, curve_of, nelbo
from undiffuse.bounds.curve import rising
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, LogLinear, grids

KERNEL = Gaussian(LogLinear(6, -8))
MEANS = f64(-1.0, 0.2, 1.0).view(3, 1)
MODEL = mixture(KERNEL, MEANS, 0.15)


def exact(places: int, var: float = 0.3) -> Curve:
    """Of normal data of this variance: mse = 1 / (1 / var + SNR)."""
    grid = grids.logsnr(KERNEL.schedule, places, 1e-3)
    logsnr = KERNEL.schedule.logsnr(grid)
    return Curve(grid, logsnr, 1 / (1 / var + logsnr.exp()), torch.full_like(grid, 1e-6), 1)


def test_of_normal_data():
    model = Denoiser(GaussianDenoiser(KERNEL, f64(0.0), f64(0.3)), KERNEL, X0())
    grid = grids.logsnr(KERNEL.schedule, 12, 1e-3)
    found = curve_of(model, 0.3**0.5 * normals(20_000, 1), grid=grid)
    expected = 1 / (1 / 0.3 + found.logsnr.exp())
    assert ((found.mse - expected).abs() < 4 * found.se).all() and (found.se < 0.02 * expected).all()


def test_what_chains_cost():
    """Is what their bound says, and of more and more steps 1/2 log(1 + 2 u var) between the ends."""
    curve = exact(400)
    ends = 2 * curve.u[[0, -1]]
    limit = 0.5 * torch.log1p(0.3 * ends).diff().abs()
    assert curve.limit == pytest.approx(float(limit), rel=1e-3)
    assert curve.limit < curve.cost(curve.grid) < 1.02 * curve.limit
    model = Denoiser(GaussianDenoiser(KERNEL, f64(0.0), f64(0.3)), KERNEL, X0())
    few = curve.grid[[0, 100, 200, 399]]
    bound = nelbo(model, 0.3**0.5 * normals(40_000, 1), grid=few, generator=keyed("bound")).steps.sum(1)
    assert abs(float(bound.mean()) - curve.cost(few)) < 4 * float(bound.std()) / 200
    assert curve.cost(few, best_variance=True) == pytest.approx(float(limit))  # nothing is lost by one width


@pytest.mark.parametrize("best_variance", [False, True])
def test_dynamic_programming_finds_the_best_of_all(best_variance):
    curve = exact(9)
    for steps in (2, 3, 5):
        every = [(0, *inner, 8) for inner in itertools.combinations(range(1, 8), steps - 2)]
        least = min(curve.cost(curve.grid[list(places)], best_variance) for places in every)
        found = curve.best(steps, best_variance)
        assert curve.cost(found, best_variance) == pytest.approx(least)


def test_equal_increments_are_nearly_the_best():
    """Gaps to infinitely many steps: (int sqrt|mse'|)^2 / 2N in the end, within 3 % of the best chain's."""
    curve = exact(1500)
    asymptote = float((curve.mse.diff() * -curve.u.diff()).sqrt().sum()) ** 2 / 2
    gaps = {}
    for steps in (9, 17, 33):
        near = curve.grid[torch.searchsorted(curve.grid, curve.even(steps)).clamp(max=1499)]
        rule, best = (curve.cost(times) - curve.limit for times in (near, curve.best(steps)))
        even = curve.cost(curve.grid[torch.linspace(0, 1499, steps).round().long()]) - curve.limit
        assert best <= rule < 1.06 * best and even > 1.3 * rule
        gaps[steps] = rule
    assert gaps[33] * 32 == pytest.approx(asymptote, rel=0.1)


def test_the_gap_of_the_bound_is_what_a_held_prediction_loses():
    """L_T - L_inf = sum of int E|D(x_u) - D(x_{u_i})|^2 du over the steps, along the forward process."""
    n, fine = 20_000, 20
    which = torch.randint(3, (n,), generator=keyed("which"))
    x_0 = MEANS[which] + 0.15 * normals(n, 1)
    chain = grids.logsnr(KERNEL.schedule, 6, 1e-3)
    generator, lost = keyed("paths"), 0.0
    for s, t in itertools.pairwise(chain):
        top, bottom = (KERNEL.schedule.logsnr(each).exp() for each in (s, t))
        u = torch.linspace(0, 1, fine + 1, dtype=torch.float64)[:-1] + 0.5 / fine
        u = (bottom + u * (top - bottom)) / 2
        times = grids.invert(KERNEL.schedule, (2 * u).log()).flip(0)
        x = KERNEL.marginal(x_0, times[0]).sample(generator)
        states = [MODEL.predict(x, times[0])]
        for a, b in itertools.pairwise([*times, t]):
            x = KERNEL.transition(x, a, b).sample(generator)
            states.append(MODEL.predict(x, b))
        away = [(state - states[-1]).square().sum(1).mean() for state in states[:-1]]
        lost += float(torch.stack(away).mean() * (top - bottom) / 2)
    grid = grids.logsnr(KERNEL.schedule, 201, 1e-3)
    curve = curve_of(MODEL, x_0, grid=grid)
    gap = curve.cost(curve.grid[::40]) - curve.limit
    assert lost == pytest.approx(gap, rel=0.05)


def test_what_rises_is_pooled():
    y, w = normals(40, seed=2) + torch.linspace(0, 2, 40), 0.5 + normals(40).square()
    expected = isotonic_regression(y.numpy(), weights=w.numpy()).x
    torch.testing.assert_close(rising(y, w), torch.from_numpy(expected))


def test_refusals():
    curve = exact(9)
    for ask in (curve.best, curve.even):
        with pytest.raises(ValueError, match="steps=1: a chain on this curve has 2 to 9 times"):
            ask(1)
    bits = Denoiser(torch.nn.Identity(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="a Binomial kernel is of symbols"):
        curve_of(bits, torch.zeros(2, 3), grid=grids.uniform(3))
