"""Laws of evaluation: an example's bound is its own, its parts add up, fewer terms stay unbiased."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from examples import AROUND, VARIANCES, each, small_model
from scipy.stats import t

from oracles import f64, normals
from undiffuse import terms
from undiffuse.bounds import blocks, evaluate, nelbo
from undiffuse.bounds.nelbo import calls
from undiffuse.estimate import Moments
from undiffuse.parameterizations import DiscretizedDecoder, Interpolated
from undiffuse.random import Streams, keyed
from undiffuse.schedules import grids
from undiffuse.student import student
from watched import reports, watched

GRID = grids.strided(20, 6)
DATA = normals(40, 3)


@pytest.mark.parametrize("variance", **each(VARIANCES))
@pytest.mark.parametrize("decoder", **each(AROUND))
def test_the_parts_add_up(variance, decoder):
    model, x = small_model(variance=variance, decoder=decoder), torch.tanh(DATA[:4])
    bound = nelbo(model, x, grid=grids.uniform(20), generator=keyed(0))
    assert bound.prior.shape == bound.decode.shape == bound.total.shape == (4,)
    assert bound.steps.shape == (4, 19)
    for part in (bound.prior, bound.steps, bound.decode, bound.total):
        assert part.dtype == torch.float64 and part.isfinite().all() and not part.requires_grad
    assert (bound.prior >= 0).all() and (bound.steps >= 0).all()
    assert torch.equal(bound.total, bound.prior + bound.steps.sum(1) + bound.decode)
    if isinstance(decoder, DiscretizedDecoder):
        assert (bound.decode >= 0).all()


def test_the_example_alone_decides_its_bound():
    model = small_model()
    for k in (None, 2):
        every = evaluate_totals(model, DATA, k)
        for n in (1, 7, 8, 9, 23):
            assert torch.equal(evaluate_totals(model, DATA[:n], k), every[:n])


def evaluate_totals(model, data, k):
    parts = [bound for _, bound in blocks(model, data, grid=GRID, seed=4, terms=k, block=8)]
    return torch.cat([torch.cat([p.total[:, None], p.steps, p.prior[:, None]], 1) for p in parts])


def test_examples_have_their_own_noise_and_seeds_matter():
    model, same = small_model(), DATA[:1].expand(20, 3)
    a, b = (
        torch.cat([p.total for _, p in blocks(model, same, grid=GRID, seed=seed, block=8)]) for seed in (0, 1)
    )
    assert len(torch.cat([a, b]).unique()) == 40


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("block", [None, 7])
def test_a_report_is_numpy_on_the_same_numbers(k, block):
    model = small_model(variance=Interpolated())
    options = {"grid": GRID, "seed": 2, "terms": k, "block": block, "encode": lambda x: 0.5 * x}
    report, parts = evaluate(model, DATA, **options), list(blocks(model, DATA, **options))
    bits, wider = 1 / (3 * math.log(2)), t.ppf(t.cdf(2, 1e12), 39) / 2

    def agrees(estimate, rows):
        rows = torch.cat(rows).numpy() * bits
        assert estimate.mean == pytest.approx(rows.mean(), rel=1e-12, abs=1e-14)
        assert estimate.se == pytest.approx(wider * rows.std(ddof=1) / 40**0.5, rel=1e-7)

    assert report.examples == 40 and report.terms == (k or 5) and torch.equal(report.grid, GRID)
    agrees(report.total, [p.total for _, p in parts])
    agrees(report.prior, [p.prior for _, p in parts])
    agrees(report.steps, [p.steps.sum(1) for _, p in parts])
    agrees(report.decode, [p.decode for _, p in parts])
    agrees(report.k, [p.k for _, p in parts])
    agrees(report.k_gain, [p.k + terms.null(model, x) for x, p in parts])
    agrees(report.k_entropies, [p.k_entropies for _, p in parts])
    agrees(report.excess, [terms.null(model, x) - 1.5 * math.log(2 * math.pi * math.e) for x, _ in parts])
    agrees(report.gain, [terms.null(model, x) - p.total for x, p in parts])
    steps = torch.cat([p.steps for _, p in parts]).numpy() * bits
    np.testing.assert_allclose(report.per_step, steps.mean(0), rtol=1e-12)
    np.testing.assert_allclose(report.per_step_se, wider * steps.std(0, ddof=1) / 40**0.5, rtol=1e-7)
    together = torch.cat([x for x, _ in parts])
    torch.testing.assert_close(together, 0.5 * DATA)


@pytest.mark.parametrize("count", [2, 3, 10, 47, 1000, 10**6])
def test_the_widening_is_half_a_quantile_of_students_t(count):
    assert student(count) == pytest.approx(t.ppf(t.cdf(2, 1e12), count - 1) / 2, rel=1e-7)
    assert student(1) == math.inf


@pytest.mark.parametrize("count", [2, 3, 6, 30])
def test_two_errors_cover_however_few_examples_there_are(count):
    """Of 20,000 means of normal numbers 95.4 % +- 0.15; with the bare error 70 % would, of two numbers."""
    found = Moments()
    for rows in (2 + normals(count, 20_000)).split(2):
        found.add(rows)
    inside = ((found.mean - 2).abs() < 2 * found.se).double().mean()
    assert abs(inside - 0.9545) < 3.5 * 0.0015


def test_null_is_the_standard_normal():
    expected = 0.5 * (DATA.square() + math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(terms.null(small_model(), DATA), expected)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_fewer_terms_are_unbiased_one_by_one(k):
    model, n = small_model(), 8000
    x = DATA[:1].expand(n, 3)
    every = nelbo(model, x, grid=GRID, generator=keyed(0))
    some = nelbo(model, x, grid=GRID, generator=keyed(1), terms=k)
    assert ((some.steps != 0).sum(1) == k).all()
    for a, b in ((every.steps, some.steps), (every.steps.sum(1), some.steps.sum(1))):
        se = ((a.var(0) + b.var(0)) / n).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() < 5 * se).all()
        assert (se < 0.1 * a.mean(0)).all()
    se = ((every.decode.var() + some.decode.var()) / n).sqrt()
    assert (every.decode.mean() - some.decode.mean()).abs() < 5 * se


def test_one_term_of_every_stretch():
    """T - 1 = 19 steps in 4 stretches: 0-4, 5-9 (10 rounds to even), .., each counted by its length."""
    model, grid = small_model(), grids.uniform(20)
    x = DATA[:1].expand(3000, 3)
    steps = nelbo(model, x, grid=grid, generator=keyed(1), terms=4).steps
    edges = np.linspace(0, 19, 5).round().astype(int)
    for low, high in pairwise(edges):
        hits = (steps[:, low:high] != 0).double()
        assert (hits.sum(1) == 1).all()
        share, size = hits.mean(0), high - low
        assert ((share - 1 / size).abs() < 5 * (1 / size / 3000) ** 0.5).all()


def test_as_many_terms_as_steps_are_all_of_them():
    model = small_model()
    a, b = (nelbo(model, DATA, grid=GRID, generator=keyed(0), terms=k).steps for k in (None, 5))
    assert torch.equal(a, b) and (a != 0).all()


@pytest.mark.parametrize("k", [None, 1, 3, 99])
@pytest.mark.parametrize("length", [1, 2, 6])
def test_every_call_is_reported(k, length):
    model, grid, (track, told) = small_model(), grids.strided(20, length), watched()
    evaluate(model, DATA, grid=grid, terms=k, block=8, track=track)
    assert reports(told) == 5 * calls(grid, k)
    ahead = [b - a for a, b in pairwise(told[""]) if b > a]
    assert max(ahead) - min(ahead) < 1e-9  # all calls are as long


def test_streams_and_generators_serve_alike():
    model = small_model()
    bound = nelbo(model, DATA, grid=GRID, generator=Streams(0, rows=range(40)))
    again = nelbo(model, DATA, grid=GRID, generator=Streams(0, rows=range(40)))
    assert torch.equal(bound.total, again.total)


def test_terms_are_differentiable_and_take_one_time_a_row():
    model = small_model()
    s, t = f64(0.2, 0.5, 0.1), f64(0.4, 1.0, 0.15)
    rows = terms.step(model, DATA[:3], s, t, Streams(0, rows=range(3)))
    for i in range(3):
        one = terms.step(model, DATA[i : i + 1], s[i], t[i], Streams(0, rows=range(i, i + 1)))
        torch.testing.assert_close(one[0], rows[i])
    rows.sum().backward()
    assert model.network.weight.grad.any()


def test_refusals():
    model = small_model()
    with pytest.raises(ValueError, match="at least two"):
        evaluate(model, DATA[:1], grid=GRID)
    with pytest.raises(ValueError, match="terms=0"):
        nelbo(model, DATA, grid=GRID, generator=keyed(0), terms=0)
    with pytest.raises(ValueError, match="grid"):
        nelbo(model, DATA, grid=f64(0.2, 0.7), generator=keyed(0))
