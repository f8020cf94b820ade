"""Laws of the times of a batch: uniform on their own, low in discrepancy, as often as terms are large."""

import math

import pytest
import torch
from examples import TIMES, each

from oracles import f64
from undiffuse.objectives import Importance, Independent, Stratified
from undiffuse.objectives.times import times_at
from undiffuse.random import keyed


@pytest.mark.parametrize("times", **each(TIMES))
def test_positions_are_uniform_on_their_own(times):
    draws = torch.stack([times.draw(4, keyed("times", i)) for i in range(3000)])
    assert draws.shape == (3000, 4) and draws.dtype == torch.float64
    assert draws.min() >= 0 and draws.max() < 1
    for power in (1, 2):  # moments of every times_at in the batch
        exact = 1 / (power + 1)
        sd = (1 / (2 * power + 1) - exact**2) ** 0.5
        assert ((draws.pow(power).mean(0) - exact).abs() < 5 * sd / 3000**0.5).all()


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_stratified_covers_every_stratum(count):
    for seed in range(20):
        u = Stratified().draw(count, keyed(seed))
        assert sorted((u * count).long().tolist()) == list(range(count))
    pair = [Independent().draw(2, keyed(seed)).diff().item() for seed in range(200)]
    assert min(map(abs, pair)) < 0.05


def seen(times, rms, draws=400):
    """The times after they saw terms of this root mean square, as a function of u."""
    for i in range(draws):
        u = times.draw(64, keyed("learn", i))
        times.balance(u, rms(u) * (1 - 2 * (torch.arange(64) % 2)))
    return times


def test_importance_draws_as_often_as_terms_are_large():
    times = seen(Importance(10, floor=0.1), lambda u: 1 + 9 * (u >= 0.9))
    expected = 0.1 + 0.9 * torch.tensor([1.0] * 9 + [10.0]).double() / 1.9
    torch.testing.assert_close(times.density, expected, rtol=1e-6, atol=0)
    u = torch.cat([times.draw(500, keyed(i)) for i in range(20)])
    share = torch.histc(u, 10, 0, 1) / len(u)
    torch.testing.assert_close(share, expected / 10, rtol=0, atol=1e-3)  # low discrepancy
    inside = (u * 10) % 1
    assert abs(inside.mean() - 0.5) < 0.01 and abs(inside.var() - 1 / 12) < 0.003


def test_importance_is_unbiased_and_lowers_the_spread():
    terms = lambda u: torch.exp(4 * u)  # noqa: E731
    times, exact, n = seen(Importance(20), terms), math.expm1(4) / 4, 20_000
    memory = times.squares.clone()
    u = times.draw(n, keyed("test"))
    weighted = terms(u) / times.density[(u * 20).long()]
    torch.testing.assert_close(times.balance(u, terms(u)), weighted, rtol=1e-12, atol=0)
    assert weighted.mean().item() == pytest.approx(exact, rel=2e-3)  # low discrepancy: far below the s.e.
    uniform = terms(torch.rand(n, generator=keyed(0)).double())
    assert weighted.var() < 0.1 * uniform.var()
    assert not torch.equal(times.squares, memory)


def test_importance_forgets_and_is_restored():
    times = seen(Importance(5, memory=0.9), lambda u: 1 + u)
    again = Importance(5, memory=0.9)
    again.restore(times.state())
    assert torch.equal(again.squares, times.squares) and torch.equal(again.density, times.density)
    seen(times, lambda u: torch.full_like(u, 3.0))
    torch.testing.assert_close(times.squares, torch.full((5,), 9.0).double(), rtol=1e-4, atol=0)
    fresh = Importance(3)
    fresh.restore(Importance(3).state())
    assert fresh.squares.isnan().all() and torch.equal(fresh.density, torch.ones(3).double())
    with pytest.raises(ValueError, match="5 bins, the objective has 3"):
        fresh.restore(times.state())
    for bad in ({"bins": 0}, {"floor": 0.0}, {"floor": 1.5}, {"memory": 1.0}):
        with pytest.raises(ValueError, match=r"bins=.*floor=.*memory="):
            Importance(**bad)


def test_importance_forgets_by_every_term():
    """Two terms of 3 after two of 1, half remembered at each: a quarter of 1, three quarters of 9."""
    times, u = Importance(1, memory=0.5), f64(0.1, 0.2)
    for size in (1.0, 3.0):
        times.learn(torch.stack([u, torch.full_like(u, size)]))
    assert times.squares.item() == pytest.approx(0.25 * 1 + 0.75 * 9)


def test_place():
    grid = f64(0.1, 0.5, 1.0)
    u = f64(0.0, 0.32, 0.34, 0.66, 0.67, 1 - 2**-53)
    assert times_at(grid, u).tolist() == [0.1, 0.1, 0.5, 0.5, 1.0, 1.0]
    continuous = times_at(None, u)
    assert continuous[0] == 1e-4 and continuous[-1] <= 1 and (continuous.diff() > 0).all()
