"""Bounds from few terms: unbiased, with errors that cover, and a control whose mean is in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from oracles import Nothing, f64, mixture, normals
from undiffuse import terms
from undiffuse.axes import Axes
from undiffuse.bases import Frequencies, GaussianBase
from undiffuse.bounds import Drawing, LinearControl, evaluate, nelbo, plan
from undiffuse.bounds.drawing import stretches
from undiffuse.bounds.pilot import PARTS, taught
from undiffuse.kernels import Categorical, Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import X0
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, LogLinear, grids

KERNEL = Gaussian(LogLinear(6, -6))
GRID = grids.uniform(60)
MODEL = mixture(KERNEL, f64(-1.0, 0.0, 1.0, 1.0).view(2, 2), 0.4)
DATA = f64(-1.0, 0.0, 1.0, 1.0).view(2, 2).repeat(20, 1) + 0.4 * normals(40, 2)


def base() -> GaussianBase:
    """A normal density along axes of its own, not that of the data."""
    turn, _ = torch.linalg.qr(normals(2, 2, seed=3))
    return GaussianBase(f64(0.2, 0.5), f64(1.3, 0.2), Axes.whole(turn))


CONTROL = LinearControl(base(), KERNEL)


class Linear(torch.nn.Module):
    """The denoiser of the base."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return base().predict(torch.zeros_like(x), x, t, KERNEL)


@pytest.mark.parametrize(
    "shares", [(1, 1, 1, 1, 1), (8, 1, 1, 1, 1), (1, 1, 9, 1, 5), (0.01, 1, 0.02, 3, 0.5)]
)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_stretches_are_of_a_step_at_least_and_of_equal_share(shares, count):
    found = stretches(f64(*shares), count).tolist()
    assert found[0] == 0 and found[-1] == 5 and all(a < b for a, b in pairwise(found))
    if len(set(shares)) == 1:
        assert found == torch.linspace(0, 5, count + 1).double().round().long().tolist()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_step_counts_once_on_average(count):
    """Whatever its share: the mean of its weight, over draws, is 1."""
    drawing, rows = Drawing(f64(0.5, 0.05, 0.05, 0.3, 0.1), f64(0.0).expand(5)), 20_000
    seen = torch.zeros(rows, 5, dtype=torch.float64)
    for step, weight in drawing.chosen(count, rows, keyed("weights")):
        seen[torch.arange(rows), step] += weight
    assert ((seen.mean(0) - 1).abs() <= 4 * seen.std(0) / rows**0.5).all()
    assert ((seen > 0).sum(1) == count).all()


def test_a_step_of_a_large_share_is_always_computed():
    drawing = Drawing(f64(0.05, 0.6, 0.05, 0.3), f64(0.0).expand(4))
    picked = [set(step.tolist()) for step, _ in drawing.chosen(3, 500, keyed("large"))]
    assert picked == [{0}, {1}, {2, 3}]


def test_the_control_is_what_a_step_of_a_linear_denoiser_costs():
    model = Denoiser(Linear(), KERNEL, X0())
    for s, t in ((0.2, 0.3), (0.7, 1.0)):
        x_t = terms.noisy(model, DATA, f64(t), keyed("linear"))
        expected = terms.step_from(model, DATA, x_t, f64(s), f64(t))
        torch.testing.assert_close(CONTROL.at(DATA, x_t, f64(s), f64(t)), expected)


def test_its_mean_is_in_closed_form(monkeypatch):
    rows = DATA[:2].repeat_interleave(20_000, 0)
    drawn = [
        CONTROL.at(rows, terms.noisy(MODEL, rows, t, keyed(i)), s, t)
        for i, (s, t) in enumerate(pairwise(GRID[::15]))
    ]
    found = torch.stack(drawn, 1).view(2, 20_000, -1)
    expected = CONTROL.mean(DATA[:2], GRID[::15])
    assert ((found.mean(1) - expected).abs() < 4 * found.std(1) / 20_000**0.5).all()
    monkeypatch.setattr("undiffuse.bounds.control.VALUES", 5)  # two steps at a time
    torch.testing.assert_close(CONTROL.mean(DATA[:2], GRID[::15]), expected)


def test_what_is_linear_is_known_without_draws():
    model = Denoiser(Linear(), KERNEL, X0())
    drawing = Drawing(Drawing.even(59).shares, torch.ones(59, dtype=torch.float64), CONTROL)
    one, two = (nelbo(model, DATA, grid=GRID, generator=keyed(i), terms=2, drawing=drawing) for i in range(2))
    torch.testing.assert_close(one.steps, CONTROL.mean(DATA, GRID))
    torch.testing.assert_close(one.steps, two.steps)


def test_draws_teach_slopes_and_shares():
    """Of costs 3 C + noise whose width grows along the chain."""
    steps = torch.arange(64).repeat(200)
    known = 1 + normals(len(steps)).square()
    width = 0.1 + (steps >= 32) * 0.9
    cost = 3 * known + width * normals(len(steps), seed=1)
    drawing = taught(
        torch.stack([steps.double(), torch.ones_like(cost), cost, known]), Drawing.even(64, CONTROL)
    )
    assert PARTS == 32 and abs(float(drawing.shares.sum()) - 1) < 1e-12
    torch.testing.assert_close(drawing.slopes, torch.full((64,), 3.0).double(), rtol=0, atol=0.1)
    ratio = (drawing.shares[32:].mean() - 0.1 / 64) / (drawing.shares[:32].mean() - 0.1 / 64)
    assert float(ratio) == pytest.approx(10, rel=0.1)


def test_a_slope_goes_through_the_origin():
    """Of costs 5 + 3 C that of the least squares is 3 + 5 E C / E C^2, no quotient of means."""
    steps, known = torch.zeros(20_000), 1 + normals(20_000).square()
    draws = torch.stack([steps.double(), torch.ones_like(known), 5 + 3 * known, known])
    found = taught(draws, Drawing.even(1, CONTROL)).slopes
    assert float(found[0]) == pytest.approx(3 + 5 * float(known.mean() / known.square().mean()))


def test_a_small_error_takes_more_rounds():
    told = plan(MODEL, DATA, grid=GRID, error=0.03, control=CONTROL)
    how = {"terms": told.terms, "rounds": told.rounds, "drawing": told.drawing}
    assert told.rounds > 2 and evaluate(MODEL, DATA, grid=GRID, **how).noise < 0.045


def symbols() -> tuple[ReverseProcess, Tensor]:
    kernel, chances = (
        Categorical(ConstantFraction(), 3),
        torch.tensor([[0.7, 0.2, 0.1]]).double().expand(4, 3),
    )
    data = torch.multinomial(chances[0], 160, True, generator=keyed("symbols")).view(40, 4).double()
    return Denoiser.on(Frequencies(chances), Nothing(), kernel), data


KINDS = [("numbers", 0.3, 60), ("numbers with a control", 0.1, 200), ("symbols", 0.1, 60)]


@pytest.mark.parametrize(("kind", "error", "times"), KINDS)
def test_the_error_is_what_was_asked_for_and_covers(kind, error, times):
    """Two errors cover the bound of these examples as often as they say, and the error is that asked for."""
    model, data = symbols() if kind == "symbols" else (MODEL, DATA)
    control = CONTROL if "control" in kind else None
    many, grid = 400, grids.uniform(20)
    every = torch.cat([data] * many)
    truth = nelbo(model, every, grid=grid, generator=keyed("truth")).total.view(many, -1).mean(1)
    bits = 1 / (data[0].numel() * math.log(2))
    found, noises = [], []
    for seed in range(times):
        how = {"grid": grid, "seed": seed}
        told = plan(model, data, error=error, control=control, **how)
        report = evaluate(model, data, terms=told.terms, rounds=told.rounds, drawing=told.drawing, **how)
        found.append(report.total.mean)
        noises.append(report.noise)
    away = f64(*found) - truth.mean() * bits
    assert away.mean().abs() < 3.5 * (away.var() / times + truth.var() * bits**2 / many).sqrt()
    assert 0.7 * error < float(f64(*noises).square().mean().sqrt()) < 1.05 * error
    assert (
        abs(float((away.abs() < 2 * f64(*noises)).double().mean()) - 0.954)
        < 3.5 * (0.954 * 0.046 / times) ** 0.5
    )
    assert away.std() < 1.15 * error


def test_control_and_shares_save_calls():
    plain, better = (plan(MODEL, DATA, grid=GRID, error=0.01, control=each) for each in (None, CONTROL))
    assert better.rounds * (better.terms + 1) < 0.8 * plain.rounds * (plain.terms + 1)


@pytest.mark.parametrize("error", [0.0, -1.0, math.inf, math.nan])
def test_an_error_that_is_none_is_refused(error):
    with pytest.raises(ValueError, match=r"error=.*: a positive number of bits per dimension"):
        plan(MODEL, DATA, grid=GRID, error=error)


def test_a_chain_of_one_time_has_a_decoder_alone():
    found = plan(MODEL, DATA, grid=grids.uniform(1), error=0.3)
    how = {"terms": found.terms, "rounds": found.rounds, "drawing": found.drawing}
    report = evaluate(MODEL, DATA, grid=grids.uniform(1), **how)
    assert report.noise < 0.4 and report.per_step.shape == (0,)


def test_so_are_no_rounds():
    with pytest.raises(ValueError, match="rounds=0: at least one"):
        evaluate(MODEL, DATA, grid=GRID, rounds=0)
