"""The best variance of a step: closed forms for Gaussian data, and an inequality that never fails."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from oracles import Constant, GaussianDenoiser, Replay, f64, normals, plane
from undiffuse.bounds import evaluate, optimal_variance, widened
from undiffuse.bounds.optimal import spread
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, Forward, Free, Interpolated, Posterior, Table
from undiffuse.random import keyed
from undiffuse.samplers import sample
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids
from watched import reports, watched

CHAIN = Gaussian(Linear(1e-3, 0.3, steps=20))
GRIDS = {"uniform": grids.uniform(20), "thinned": grids.strided(20, 6), "log-snr": grids.logsnr(Linear(), 9)}


class Rough(nn.Module):
    """A prediction that is wrong, and more so for large x_t."""

    def forward(self, x_t, t):
        return 0.7 * torch.sin(2 * x_t) + t[:, None]


@pytest.mark.parametrize("s2", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("schedule", [Linear(1e-3, 0.3, steps=20), Cosine(None)])
def test_gaussian_data_have_the_variance_of_the_exact_step(schedule, grid, s2):
    """v* = Var(x_s | x_t) = beta v_s / v_t, by quadrature; beta itself for N(0, 1)."""
    kernel = Gaussian(schedule)
    model = Denoiser(GaussianDenoiser(kernel, f64(0.0), f64(s2)), kernel, X0())
    z, eps, w = plane(2)
    for s, t in pairwise(grid):
        keep_s, keep_t = kernel.schedule.keep(s), kernel.schedule.keep(t)
        beta = kernel.coefficients(s, t).beta
        exact = beta * (keep_s * s2 + 1 - keep_s) / (keep_t * s2 + 1 - keep_t)
        found = w @ spread(model, s2**0.5 * z, s, t, Replay(eps))
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-12)
        assert s2 != 1 or found.item() == pytest.approx(beta.item(), rel=1e-9)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_table_holds_the_means_of_its_data(grid):
    """8,000 standard normal pairs: beta, but for the spread of a mean of squares."""
    model = Denoiser(GaussianDenoiser(CHAIN, f64(0.0), f64(1.0)), CHAIN, X0())
    table = optimal_variance(model, normals(8000, 2), grid=grid)
    c = CHAIN.coefficients(grid[:-1], grid[1:])
    assert torch.equal(table.grid, grid) and len(table.values) == len(grid)
    error = 4 * (c.beta - c.var) * (2 / 16_000) ** 0.5
    assert ((table.values[1:] - c.beta).abs() < error).all()
    assert (table.values[1:] >= c.var).all() and (table.values[1:] != c.var).all()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_one_point_has_beta_tilde(grid):
    point = f64(0.7, -0.2)
    model = Denoiser(Constant(point), CHAIN, X0(), Forward())
    table = optimal_variance(model, point.expand(9, 2), grid=grid)
    torch.testing.assert_close(table.values[1:], CHAIN.coefficients(grid[:-1], grid[1:]).var)
    found = evaluate(widened(model, table), point.expand(9, 2), grid=grid)
    assert found.per_step.abs().max() < 1e-12


@pytest.mark.parametrize("variance", [Posterior(), Forward(), Table([0.02 * i for i in range(1, 21)])])
@pytest.mark.parametrize("network", [Rough(), GaussianDenoiser(CHAIN, f64(0.0), f64(0.4))])
def test_no_step_on_its_own_data_is_dearer(network, variance):
    """The same data, the same noise: an inequality for every step, whatever the block and the network."""
    model, data = Denoiser(network, CHAIN, X0(), variance), torch.tanh(2 * normals(30, 3))
    options = {"grid": grids.uniform(20), "seed": 5, "block": 8, "encode": lambda x: x - 0.1}
    own = evaluate(model, data, **options)
    table = optimal_variance(model, data, **options)
    best = evaluate(widened(model, table), data, **options)
    assert (best.per_step < own.per_step).all()
    assert best.total.mean < own.total.mean - 1e-4
    assert (best.decode, best.prior) == (own.decode, own.prior)
    for factor in (0.99, 1.01):  # the least there is, and strictly
        other = widened(model, Table.on(table.grid, factor * table.values))
        worse = evaluate(other, data, **options)
        assert (worse.per_step > best.per_step).all()
        cost = (math.log(factor) + 1 / factor - 1) / 2 / math.log(2)  # known, and the same for every step
        torch.testing.assert_close(worse.per_step - best.per_step, torch.full((19,), cost).double())


@pytest.mark.parametrize("steps", [2, 6, 20])
def test_thinned_chains_have_tables_too(steps):
    model, data = Denoiser(Rough(), CHAIN, X0()), normals(30, 3)
    grid = grids.strided(20, steps)
    table = optimal_variance(model, data, grid=grid)
    best = evaluate(widened(model, table), data, grid=grid)
    assert (best.per_step < evaluate(model, data, grid=grid).per_step).all()
    assert sample(widened(model, table), (4, 3), grid=grid, generator=keyed(0)).isfinite().all()
    if steps < 20:
        with pytest.raises(ValueError, match="own chain"):
            evaluate(widened(model, table), data, grid=grids.uniform(20))


def test_blocks_do_not_matter_and_calls_are_one_a_step():
    model, data, (track, told) = Denoiser(Rough(), CHAIN, X0()), normals(20, 3), watched()
    tables = [
        optimal_variance(model, data, grid=grids.uniform(20), block=block, track=part)
        for block, part in zip((8, 20), track.split(3, 1), strict=True)
    ]
    torch.testing.assert_close(tables[0].values, tables[1].values)
    assert reports(told) == 4 * 19


def test_refusals():
    data, grid = normals(4, 3), grids.uniform(20)
    for variance in (Interpolated(), Free()):
        learned = Denoiser(Rough(), CHAIN, X0(), variance)
        with pytest.raises(ValueError, match="learned its own") as error:
            optimal_variance(learned, data, grid=grid)
        assert "\n" not in str(error.value)
        with pytest.raises(ValueError, match="learned its own"):
            widened(learned, Table([0.1]))
    bits = Denoiser(Rough(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="a binomial chain: only Gaussian"):
        optimal_variance(bits, data, grid=grid)
    plain = Denoiser(Rough(), CHAIN, X0())
    for rows, times in ((data, 1), (data[:0], 20)):
        with pytest.raises(ValueError, match="at least two times and one example"):
            optimal_variance(plain, rows, grid=grids.uniform(times))
    with pytest.raises(ValueError, match="3 variances for a grid of 20"):
        Table.on(grid, f64(1.0, 1.0, 1.0))
