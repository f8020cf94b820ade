"""Widths by context: the functions, their fit, and that a chain's planned cost is the bound with them."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from compressors import exact, gaussian, unet
from oracles import f64, normals
from undiffuse import bounds, terms
from undiffuse.bounds.contexts import ROUNDS, decoder_scale, squared_error
from undiffuse.codec.rounding import DIGITS, STEEP
from undiffuse.distributions import Discretized
from undiffuse.kernels import Gaussian, Universal
from undiffuse.model import Denoiser
from undiffuse.parameterizations import Contextual, ContextualDecoder, DiscretizedDecoder, Hats, NormalDecoder
from undiffuse.parameterizations.context import SOFT
from undiffuse.random import keyed
from undiffuse.schedules import Linear, grids

X = torch.cat([f64(-3.0, -1.0, -0.9999, 0.0, 0.2, 1.0, 1.5), torch.linspace(-1, 1, 301).double()]).view(2, -1)


@pytest.mark.parametrize("knots", [1, 2, 3, 17])
def test_hats_are_linear_between_knots(knots):
    values = normals(knots, seed=knots)
    u = np.arctanh(X.clamp(-1, 1).numpy() / (1 + SOFT)) / np.arctanh(1 / (1 + SOFT))
    expected = np.interp(u, np.linspace(-1, 1, knots), values.numpy()) if knots > 1 else 0 * u + float(values)
    assert np.allclose(Hats(X, knots)(values), expected, rtol=1e-12, atol=1e-12)
    by_row = torch.stack([values, 2 * values])
    assert np.allclose(Hats(X, knots)(by_row), expected * [[1], [2]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("knots", [1, 2, 9])
def test_hats_sum_to_one_and_their_sums_are_adjoint(knots):
    hats, x, values = Hats(X, knots), normals(*X.shape), normals(knots, seed=1)
    assert torch.allclose(hats(torch.ones(knots)), torch.ones_like(X))
    assert float(hats.sums(x) @ values) == pytest.approx(float((hats(values) * x).sum()))


def test_what_is_no_number_stays_none():
    assert Hats(f64(torch.nan, 0.5).view(2, 1), 5)(torch.zeros(5)).isnan().tolist() == [[True], [False]]


def test_the_last_digits_of_a_prediction_are_those_of_its_width():
    """Far below what rounding takes for a close call, even for knots a thousandfold apart."""
    x, knots = 1 - torch.logspace(-9, 0, 4001).double().view(1, -1), 10.0 * (torch.arange(17) % 2)
    here, there = (0.5 * Hats(each, 17)(knots) for each in (x, x * (1 + 1e-15)))
    assert (there - here).abs().max() * np.log(2) * 2**DIGITS < STEEP / 2


def criterion(knots: Tensor, hats: Hats, away: Tensor) -> float:
    """Twice what a normal law of these variances costs, but for a constant."""
    log_f = hats(knots) * np.log(2)
    return float((log_f + away.square() * (-log_f).exp()).sum())


def case(seed: int, sure: float) -> tuple[Tensor, Tensor]:
    """Predictions, and errors that grow with the distance from the ends."""
    x = (3 * normals(40, 50, seed=seed)).tanh()
    return x, ((1 - x.square()).clamp(min=1e-9) ** sure) * normals(40, 50, seed=seed + 1)


@pytest.mark.parametrize("sure", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("knots", [1, 2, 8, 64])
def test_contexts_are_never_worse_than_one_variance(knots, sure, monkeypatch):
    """After every number of rounds, and each lowers what there is."""
    x, away = case(knots, sure)
    hats, fixed = Hats(x, knots), criterion(away.square().mean().log2().expand(1), Hats(x, 1), away)
    one = fixed
    for rounds in (1, 2, 5, ROUNDS, 40):
        monkeypatch.setattr("undiffuse.bounds.contexts.ROUNDS", rounds)
        found = criterion(squared_error(hats, away), hats, away)
        assert found <= one + 1e-9 * abs(one) and found <= fixed + 1e-9 * abs(fixed)
        one = found + 2 * knots  # but for the mean that is counted once more at every knot
    if sure == 3.0 and knots >= 8:
        assert found < fixed - 0.5 * away.numel()


def test_one_knot_is_the_mean():
    x, away = case(0, 0.5)
    assert squared_error(Hats(x, 1), away).item() == pytest.approx(float(away.square().mean().log2()))
    assert squared_error(Hats(x, 3), torch.zeros_like(x)).isfinite().all()


def test_known_variances_are_found():
    x, knots = (3 * normals(400, 500)).tanh(), f64(-8.0, -3.0, -1.0, -4.0, -9.0)
    hats = Hats(x, 5)
    away = (0.5 * hats(knots)).exp2() * normals(400, 500, seed=1)
    found = squared_error(hats, away)
    assert torch.allclose(found, knots, atol=0.05)
    least = criterion(found, hats, away)
    for k, by in itertools.product(range(5), (0.2, -0.2)):
        assert criterion(found + by * torch.eye(5)[k], hats, away) > least


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("t", [0.05, 0.3, 1.0])
def test_a_decoder_is_never_worse_than_its_own_width(levels, t):
    kernel, decoder = Gaussian(Linear(1e-3, 0.3, steps=20)), DiscretizedDecoder(levels)
    x_0, away = case(3, 1.0)
    x = ((x_0 + away + 1) * (levels - 1) / 2).round().clamp(0, levels - 1) * 2 / (levels - 1) - 1
    error = squared_error(Hats(x_0, 9), x - x_0)
    knots, loss = decoder_scale(decoder, error, x_0, x, f64(t), kernel)
    own = -decoder(x_0, x_0, f64(t), kernel).log_prob(x).sum()
    assert loss.sum() <= own
    assert torch.equal(loss, -ContextualDecoder(decoder, knots)(x_0, x_0, f64(t), kernel).log_prob(x))


def test_a_decoders_rounding_counts():
    """Levels that are the rounded truth: the variance found is that before rounding."""
    kernel, decoder, std = Gaussian(Linear(1e-3, 0.3, steps=20)), DiscretizedDecoder(256), 0.006
    x_0 = 0.9 * (2 * torch.rand(300, 500, generator=keyed("x")).double() - 1)
    x = Discretized(x_0, f64(std), 256).sample(keyed("levels"))
    knots, _ = decoder_scale(decoder, squared_error(Hats(x_0, 1), x - x_0), x_0, x, f64(0.2), kernel)
    width = ContextualDecoder(decoder, knots).width(x_0, f64(0.2), kernel)
    assert width.mean() == pytest.approx(std, rel=0.01)


def planned(model: Denoiser, found: bounds.Costs, places: tuple[int, ...]) -> tuple[Denoiser, Tensor]:
    """The model with the widths found, and its grid."""
    grid, knots = found.grid[list(places)], found.knots(places)
    wide = model.under(model.kernel)
    wide.variance, wide.decoder = Contextual(grid, knots), ContextualDecoder(model.decoder, knots[0])
    return wide, grid


@pytest.mark.parametrize("kernel", [Gaussian, Universal])
@pytest.mark.parametrize("knots", [1, 2, 9])
def test_a_planned_cost_is_the_bound(knots, kernel, monkeypatch):
    """To the last digits where x_t is the same."""
    eps = normals(6, 1, 4, 4)

    def noisy(model, x_0, t, generator):
        alpha, sigma = model.kernel.alpha_sigma(t)
        return alpha * x_0 + sigma * eps

    monkeypatch.setattr(terms, "noisy", noisy)
    model = gaussian(kernel=kernel(Linear(1e-3, 0.3, steps=20)))
    x = ((normals(6, 1, 4, 4, seed=2).clamp(-2, 2) + 2) * 63).round() * 2 / 255 - 1
    (found,) = bounds.costs(model, x, grid=grids.uniform(7), generator=keyed(0), knots=[knots])
    for chain in found.best(5):
        wide, grid = planned(model, found, chain.places)
        total = bounds.nelbo(wide, x, grid=grid, generator=keyed(1)).total.mean()
        assert chain.nats == pytest.approx(float(total), rel=1e-10)


@pytest.mark.parametrize("make", [gaussian, unet, exact])
def test_contexts_lower_the_costs(make):
    model = make()
    shape = {gaussian: (50, 1, 5, 5), unet: (30, 1, 8, 8), exact: (200, 8)}[make]
    levels = model.decoder.levels
    x = ((normals(*shape) + 1) * (levels - 1) / 2).round().clamp(0, levels - 1) * 2 / (levels - 1) - 1
    one, many = bounds.costs(model.double(), x, grid=grids.uniform(9), generator=keyed(0), knots=[1, 9])
    assert (many.first <= 1.003 * one.first).all()
    there = one.steps.isfinite()
    assert (many.steps[there] <= 1.001 * one.steps[there]).all()
    for i, j in itertools.combinations(range(9), 2):
        exactly = one.gains[i, j].exp2() * one.errors[j].exp2()  # D/2 log(v* / v_q)
        assert one.steps[i, j] == pytest.approx(float(x[0].numel() / 2 * torch.log1p(exactly)), rel=1e-9)


def test_what_has_no_contexts_is_refused():
    x, grid = 2 * torch.rand(4, 3).double() - 1, grids.uniform(3)
    continuous = gaussian()
    continuous.decoder = NormalDecoder()
    for model, wrong in ((gaussian(variance="free"), "learned"), (continuous, "knots=2")):
        with pytest.raises(ValueError, match=wrong):
            bounds.costs(model, x, grid=grid, generator=keyed(0), knots=[2])
    wide = gaussian()
    wide.variance = Contextual(grid, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="single steps"):
        wide.step(x, grid[2], grid[0])
