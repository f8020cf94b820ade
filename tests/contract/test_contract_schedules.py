"""Laws of schedules: what log-SNR may do, and the field's tables at their own grid."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from examples import SCHEDULES, each

from oracles import f64
from undiffuse.random import keyed
from undiffuse.schedules import (
    Betas,
    ConstantFraction,
    Cosine,
    Learned,
    LearnedBetas,
    Linear,
    LogLinear,
    Quadratic,
    Sigmoid,
)

EVERY = pytest.mark.parametrize("schedule", **each(SCHEDULES))
ANYWHERE = torch.rand(500, 2, generator=keyed("times"), dtype=torch.float64).clamp(1e-6, 1 - 1e-6)


@EVERY
def test_log_snr_falls_strictly(schedule):
    near = torch.tensor([1.0, 2.0, 3.0, 10.0, 100.0]).double() * 1e-6
    t = torch.cat([near, ANYWHERE.flatten(), 0.5 + near, 1 - near]).sort().values
    t = t[torch.cat([torch.tensor([True]), t.diff() > 1e-7])]
    logsnr = schedule.logsnr(t)
    assert logsnr.dtype == torch.float64 and logsnr.shape == t.shape
    assert logsnr.isfinite().all()
    assert (logsnr.diff() < 0).all()


@EVERY
def test_beta_is_the_share_of_signal_lost(schedule):
    edges = f64(1e-6, 3e-6, 1e-6, 1 - 1e-6, 1 - 3e-6, 1 - 1e-6, 0.5, 0.500002).view(4, 2)
    s, t = torch.cat([edges, ANYWHERE]).sort(1).values.unbind(1)
    beta, kept = schedule.beta(s, t), schedule.keep(t) / schedule.keep(s)
    assert (beta > 0).all() and (beta <= 1).all()
    torch.testing.assert_close(1 - beta, kept, rtol=1e-10, atol=1e-12)


@EVERY
def test_ends(schedule):
    keep = schedule.keep(f64(0.0, 1.0))
    logsnr = schedule.logsnr(f64(0.0, 1.0))
    assert 0.98 < keep[0] <= 1 and 0 <= keep[1] < keep[0]
    assert not logsnr.isnan().any() and logsnr[0] > logsnr[1]
    assert 0 < schedule.beta(f64(0.0), f64(1.0)) <= 1
    if not isinstance(schedule, LogLinear | Learned):
        assert logsnr[0] == math.inf


@EVERY
def test_one_time_or_many(schedule):
    t = torch.linspace(0, 1, 23, dtype=torch.float64)
    one_by_one = torch.stack([schedule.logsnr(u) for u in t])
    assert one_by_one.shape == (23,)
    torch.testing.assert_close(one_by_one, schedule.logsnr(t), rtol=1e-14, atol=1e-14)
    beta = torch.stack([schedule.beta(s, u) for s, u in pairwise(t)])
    torch.testing.assert_close(beta, schedule.beta(t[:-1], t[1:]), rtol=1e-12, atol=0)
    assert schedule.logsnr(t.float()).dtype == torch.float64


@EVERY
def test_times_outside_are_refused(schedule):
    for t in (-1e-9, 1 + 1e-9, -3.0, 7.0, math.nan):
        for bad in (f64(t), f64(0.5, t)):
            with pytest.raises(ValueError, match=r"\[0, 1\]"):
                schedule.logsnr(bad)


def test_the_noise_share_keeps_its_digits():
    for schedule, t in [(Betas([1e-12, 0.5]), 0.5), (ConstantFraction(), 1e-12)]:
        noise = (-schedule.logsnr(f64(t))).sigmoid()
        assert noise.item() == pytest.approx(1e-12, rel=1e-9, abs=0)


def cosine_rates(T: int, cut: float = 0.999) -> np.ndarray:
    f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], cut)


def unit(T: int) -> np.ndarray:
    return np.arange(T) / max(T - 1, 1)


TABLES = {
    "linear": (Linear, lambda T: 1e-4 + (0.02 - 1e-4) * unit(T)),
    "quadratic": (Quadratic, lambda T: (1e-4**0.5 + (0.02**0.5 - 1e-4**0.5) * unit(T)) ** 2),
    "sigmoid": (Sigmoid, lambda T: 1e-4 + (0.02 - 1e-4) / (1 + np.exp(6 - 12 * unit(T)))),
    "cosine": (Cosine, cosine_rates),
}


@pytest.mark.parametrize("T", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_field(name, T):
    kind, rates = TABLES[name]
    schedule, t = kind(steps=T), torch.arange(1, T + 1, dtype=torch.float64) / T
    assert schedule.steps == T
    np.testing.assert_allclose(schedule.keep(t), np.cumprod(1 - rates(T)), rtol=1e-10)
    np.testing.assert_allclose(schedule.beta(t - 1 / T, t), rates(T), rtol=1e-9)


def test_known_number_of_the_linear_table():
    assert Linear().keep(f64(1.0)).item() == pytest.approx(4.0358e-5, rel=1e-5)


@pytest.mark.parametrize("T", [1, 2, 40, 1000])
def test_constant_fraction(T):
    i = torch.arange(1, T + 1, dtype=torch.float64)
    schedule = ConstantFraction()
    torch.testing.assert_close(schedule.keep(i / T), (T - i) / T, rtol=1e-12, atol=0)
    beta = schedule.beta(((i - 1) / T).clamp(min=0), i / T)
    torch.testing.assert_close(beta, 1 / (T - i + 1), rtol=1e-10, atol=0)
    assert schedule.logsnr(f64(1.0)) == -math.inf and beta[-1] == 1


@pytest.mark.parametrize("kind", [Linear, Quadratic, Sigmoid])
def test_continuous_form_is_the_limit_of_scaled_tables_to_first_order(kind):
    t, limit = f64(0.25, 0.5, 1.0), kind(steps=None)
    errors = []
    for T in (2000, 4000, 8000):
        table = kind(1e-4 * 1000 / T, 0.02 * 1000 / T, steps=T)
        errors.append((table.logsnr(t) - limit.logsnr(t)).abs())
    assert (errors[0] < 0.05).all()
    for coarse, fine in pairwise(errors):
        torch.testing.assert_close(coarse / fine, f64(2.0, 2.0, 2.0), rtol=0.03, atol=0)


@pytest.mark.parametrize("kind", [Linear, Quadratic, Sigmoid])
def test_integral_is_that_of_the_rate(kind):
    u = torch.linspace(0, 1, 11, dtype=torch.float64).requires_grad_()
    schedule = kind(steps=None)
    (slope,) = torch.autograd.grad(schedule.integral(u).sum(), u)
    torch.testing.assert_close(slope, schedule.rate(u.detach()))
    assert schedule.integral(f64(0.0)) == 0


def test_cosine_continuous_is_its_table_but_for_the_cut():
    t = torch.arange(1, 1000, dtype=torch.float64) / 1000
    torch.testing.assert_close(Cosine(None).logsnr(t[:-1]), Cosine(1000).logsnr(t[:-1]))
    expected = np.cos((0.3 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected /= np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert Cosine(None).keep(f64(0.3)).item() == pytest.approx(expected, rel=1e-12)
    assert Cosine(None).keep(f64(1.0)) == 0
    assert Cosine(10, max_beta=0.5).beta(f64(0.9), f64(1.0)).item() == pytest.approx(0.5)


def test_log_linear():
    t = f64(0.0, 0.25, 1.0)
    torch.testing.assert_close(LogLinear(8, -4).logsnr(t), f64(8.0, 5.0, -4.0))


def test_between_grid_times_log_snr_is_linear_and_keep_where_it_must():
    schedule = Betas([0.1, 0.5, 1.0])
    keep = f64(0.9, 0.45)
    a, b = torch.logit(keep)
    assert schedule.logsnr(f64(0.5)).item() == pytest.approx(((a + b) / 2).item())
    assert schedule.keep(f64(1 / 6)).item() == pytest.approx(0.95)
    assert schedule.keep(f64(5 / 6)).item() == pytest.approx(0.225)


@pytest.mark.parametrize("table", [[], [0.0], [0.1, -0.1], [1.0, 0.5], [0.5, 1.01], [math.nan], [[0.1, 0.2]]])
def test_bad_tables_are_refused(table):
    with pytest.raises(ValueError, match=r"betas|rates"):
        Betas(table)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(start=0),
        lambda: Linear(0.3, 0.2),
        lambda: Quadratic(end=1.0),
        lambda: Sigmoid(steps=0),
        lambda: Cosine(steps=0),
        lambda: Cosine(offset=0),
        lambda: Cosine(max_beta=0),
        lambda: LogLinear(1, 1),
        lambda: LearnedBetas(1),
        lambda: LearnedBetas(first=0.0),
        lambda: LearnedBetas(first=0.9, last=0.0),
        lambda: Learned(1.0, 1.0),
        lambda: Learned(pieces=0),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="="):
        make()


def test_learned_rates_are_the_table_of_their_values():
    """The same log-SNR as Betas with these rates, on the grid and off it; beta_1 is not a parameter."""
    made = LearnedBetas(6, first=0.01, last=-4.0)
    even = made.logsnr(torch.arange(1, 7).double() / 6).detach()
    torch.testing.assert_close(even.diff(), torch.full((5,), float(even[1] - even[0])).double())
    with torch.no_grad():
        made.raw.copy_(torch.linspace(-1, 2, 5))
    grid, t = torch.arange(7).double() / 6, torch.linspace(0, 1, 50).double()
    rates = made.beta(grid[:-1], grid[1:])
    assert rates[0].item() == pytest.approx(0.01)
    torch.testing.assert_close(made.logsnr(t), Betas(rates.detach()).logsnr(t))
    assert [name for name, _ in made.named_parameters()] == ["raw"]


@pytest.mark.parametrize("make", [lambda: LearnedBetas(6), lambda: Learned(pieces=5)])
def test_learned_schedules_have_the_gradient_of_finite_differences(make):
    made, t = make().double(), f64(0.0, 1 / 6, 0.3, 0.5, 0.77, 1.0)

    def f() -> torch.Tensor:
        return (made.keep(t) * f64(1.0, 2.0, -1.0, 0.5, 3.0, 1.0)).sum()

    f().backward()
    for parameter in made.parameters():
        grad = parameter.grad.clone()
        assert grad.isfinite().all() and grad.any()
        for i in range(parameter.numel()):
            with torch.no_grad():
                place, h = parameter.view(-1), 1e-6
                place[i] += h
                up = f()
                place[i] -= 2 * h
                down = f()
                place[i] += h
            assert grad.view(-1)[i].item() == pytest.approx(float(up - down) / 2e-6, rel=1e-6, abs=1e-9)


def test_slopes_are_derivatives():
    made = Learned(6.0, -3.0, 4)
    with torch.no_grad():
        made.raw.copy_(f64(0.0, 1.0, -1.0, 0.5))
    for schedule in (made, LogLinear(6.0, -3.0)):
        t, h = f64(0.1, 0.3, 0.6, 0.9), 1e-6
        found = (schedule.logsnr(t + h) - schedule.logsnr(t - h)) / (2 * h)
        torch.testing.assert_close(schedule.slope(t), found, rtol=1e-6, atol=1e-6)


def test_rows_between_can_be_scaled_on_the_way_back():
    """The same numbers; the inner gradient is that of sum_i scale_i f_i, and the ends stay."""
    made, t, scale = Learned(pieces=4).double(), f64(0.2, 0.6, 0.9), f64(1.0, -2.0, 5.0)
    with torch.no_grad():
        made.raw.copy_(f64(0.0, 1.0, -1.0, 0.5))
    for name in ("logsnr", "slope"):
        held = made.between(f64(0.1))
        torch.testing.assert_close(getattr(held, name)(t), getattr(made, name)(t))
        plain = torch.autograd.grad((scale * getattr(held, name)(t)).sum(), made.raw)[0]
        held.row_scale = scale
        found = torch.autograd.grad(getattr(held, name)(t).sum(), made.raw)[0]
        torch.testing.assert_close(found, plain)
    for end in (0.1, 1.0):
        moved = torch.autograd.grad(made.between(f64(0.1)).logsnr(f64(end)), (made.raw, made.top, made.span))
        own = torch.autograd.grad(made.logsnr(f64(end)), (made.top, made.span))
        torch.testing.assert_close(moved[0], torch.zeros(4).double(), rtol=0, atol=1e-14)
        torch.testing.assert_close(moved[1:], own)
