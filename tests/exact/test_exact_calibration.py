"""Calibration of draws whose law is known: what intervals hold, ranks, and scores against oracles."""

import math

import numpy as np
import pytest
import scoringrules
import torch
from scipy import stats
from torch import Tensor

from oracles import normals
from undiffuse.estimate import Estimate
from undiffuse.metrics import calibration
from undiffuse.metrics.calibration import numbers, symbols
from undiffuse.random import keyed
from undiffuse.student import student

N, DRAWS, D = 2000, 39, 3
ALL = torch.ones(N, D, dtype=torch.bool)
ONES = torch.ones(D, dtype=torch.float64)


def judged(draws: Tensor, truth: Tensor, hidden: Tensor = ALL) -> calibration.Numbers:
    found = numbers(draws, truth, hidden, ONES, keyed("ties"))
    assert found is not None
    return found


def test_one_more_draw_lies_where_it_should():
    """Elements of an example are alike, so that examples alone are independent: the errors know."""
    common = normals(N, DRAWS + 1, 1)
    x = common + 0.3 * normals(N, DRAWS + 1, D, seed=1)
    found = judged(x[:, 1:], x[:, 0])
    assert list(found.coverage) == pytest.approx([0.5, 0.8, 0.9, 0.95])
    for share, each in found.coverage.items():
        assert (
            abs(each.mean - share) < 4 * each.se and 0.5 < each.se / math.sqrt(share * (1 - share) / N) < 1.1
        )
        assert found.fair[share] == each  # no ties
    assert len(found.ranks) == 20
    for each in found.ranks:
        assert abs(each.mean - 0.05) < 4 * each.se
    assert sum(each.mean for each in found.ranks) == pytest.approx(1)


@pytest.mark.parametrize(("width", "shift"), [(0.5, 0.0), (2.0, 0.0), (1.0, 1.0)])
def test_the_wrongly_sure_are_found_out(width: float, shift: float):
    """Of a truth at y draws lie below with probability F(y): the rank is binomial."""
    found = judged(width * normals(N, DRAWS, D) + shift, normals(N, D, seed=1))
    y = np.linspace(-8, 8, 4001)
    below = stats.norm.cdf(y, shift, width)
    held = stats.binom.cdf(DRAWS - 2, DRAWS, below) - stats.binom.cdf(1, DRAWS, below)
    exact = float((stats.norm.pdf(y) * held).sum() * (y[1] - y[0]))
    each = found.coverage[0.9]
    assert abs(each.mean - exact) < 4 * each.se and abs(exact - 0.9) > 0.05
    lowest = float((stats.norm.pdf(y) * stats.binom.cdf(1, DRAWS, below)).sum() * (y[1] - y[0]))
    assert abs(found.ranks[0].mean - lowest) < 4 * found.ranks[0].se


def test_levels_are_held_by_their_ends_and_ties_broken_fairly():
    x = normals(N, DRAWS + 1, D).round()
    found = judged(x[:, 1:], x[:, 0])
    assert found.coverage[0.9].mean > 0.95
    for share, each in found.fair.items():
        assert abs(each.mean - share) < 4 * each.se
    assert all(abs(each.mean - 0.05) < 4 * each.se for each in found.ranks)


def test_the_interval_is_that_of_filled_holes():
    from undiffuse.data import Cell
    from undiffuse.diffusion import Filled

    x = normals(50, DRAWS + 1, 1)
    table = Filled(x[:, 1:], torch.ones(50, 1, dtype=torch.bool), (Cell("a", "float64"),))
    for level in calibration.LEVELS:
        low, high = table.interval(level)
        held = (low <= x[:, 0]) & (x[:, 0] <= high)
        found = numbers(x[:, 1:], x[:, 0], torch.ones(50, 1, dtype=torch.bool), ONES[:1], keyed("ties"))
        assert found is not None and found.coverage[level].mean == pytest.approx(float(held.double().mean()))


def test_scores_are_those_of_another_package():
    x, y = normals(40, DRAWS, D), normals(40, D, seed=1)
    scale = torch.tensor([1.0, 2.0, 0.5]).double()
    found = numbers(x, y, ALL[:40], scale, keyed("ties"))
    assert found is not None
    theirs = scoringrules.crps_ensemble(y.numpy(), x.numpy(), m_axis=1, estimator="fair") / scale.numpy()
    assert found.crps.mean == pytest.approx(theirs.mean(), rel=1e-9)
    rows = theirs.mean(1)
    assert found.crps.se == pytest.approx(rows.std(ddof=1) / 40**0.5 * student(40), rel=1e-6)
    unbiased = DRAWS / (DRAWS - 1)
    spread = np.array([[np.linalg.norm(a - b) for a in each for b in each] for each in (x / scale).numpy()])
    away = np.linalg.norm((x / scale).numpy() - (y / scale).numpy()[:, None], axis=2).mean(1)
    assert found.energy.mean == pytest.approx((away - 0.5 * unbiased * spread.mean(1)).mean(), rel=1e-9)


def test_crps_of_few_draws_is_unbiased():
    y = torch.full((N, D), 0.7, dtype=torch.float64)
    found = judged(normals(N, 3, D), y)
    phi, cdf = math.exp(-0.245) / math.sqrt(2 * math.pi), 0.5 * (1 + math.erf(0.7 / math.sqrt(2)))
    exact = 0.7 * (2 * cdf - 1) + 2 * phi - 1 / math.sqrt(math.pi)
    assert abs(found.crps.mean - exact) < 4 * found.crps.se and found.crps.se < 0.02


def test_what_is_not_hidden_does_not_count():
    hidden = torch.rand(N, D, generator=keyed("hidden")) < 0.3
    x, y = normals(N, DRAWS, D), normals(N, D, seed=1)
    wrong = x.masked_fill(~hidden.unsqueeze(1), 1e9)
    found, same = judged(x, y, hidden), judged(wrong, y.masked_fill(~hidden, math.nan), hidden)
    assert vars(found) == vars(same) and found.count == int(hidden.sum())
    assert numbers(x, y, torch.zeros_like(hidden), ONES, keyed("ties")) is None
    with pytest.raises(ValueError, match="at least two of both"):
        numbers(x[:, :1], y, hidden, ONES, keyed("ties"))


def test_symbols_by_their_shares():
    """Of symbols with probabilities of their own: Brier's score is 1 - sum p^2, unbiased for ten draws."""
    p = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    many = 5 * N
    draws = torch.multinomial(p, 11 * many, replacement=True, generator=keyed("symbols")).view(many, 11, 1)
    found = symbols(draws[:, 1:].double(), draws[:, 0].double(), torch.ones(many, 1, dtype=torch.bool))
    assert found is not None
    assert abs(found.brier.mean - float(1 - p.square().sum())) < 4 * found.brier.se
    assert abs(found.truth.mean - float(p.square().sum())) < 4 * found.truth.se
    sure = symbols(draws[:N, :1].expand(N, 10, 1).double(), draws[:N, 0].double(), ALL[:, :1])
    assert sure is not None and sure.brier.mean == 0 and sure.truth.mean == 1
    assert sure.reliability[0][0] == 1


def test_shares_that_are_true_as_often_lie_on_the_line():
    p = torch.rand(N * 10, generator=keyed("p"), dtype=torch.float64)
    u = torch.rand(N * 10, 201, generator=keyed("u"), dtype=torch.float64)
    hits = (u < p.unsqueeze(1)).double().unsqueeze(-1)
    found = symbols(hits[:, 1:], hits[:, 0], torch.ones(N * 10, 1, dtype=torch.bool))
    assert found is not None and len(found.reliability) == 10
    for share, each in found.reliability:
        assert abs(each.mean - share) < 4 * each.se + 0.01


def test_ranks_that_are_uniform_have_uniform_p_values():
    """Of elements that go together, too: as many examples, however alike their elements are."""
    found = []
    for seed in range(60):
        common = normals(200, DRAWS + 1, 1, seed=seed)
        x = common + 0.2 * normals(200, DRAWS + 1, D, seed=1000 + seed)
        found.append(judged(x[:, 1:], x[:, 0], ALL[:200]).uniform)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    x = normals(200, DRAWS + 1, D)
    assert judged(0.5 * x[:, 1:], x[:, 0], ALL[:200]).uniform < 1e-6


@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_p_value_is_that_of_chi_squared(count):
    """Of independent ranks, by scipy: as many bins as there are."""
    shares = np.random.default_rng(count).multinomial(1000, np.full(count, 1 / count)) / 1000
    se = np.sqrt(1 / count * (1 - 1 / count) / 1000)
    bins = [Estimate(float(share), float(se)) for share in shares]
    assert calibration._uniform(bins, 1000) == pytest.approx(stats.chisquare(1000 * shares).pvalue, rel=1e-9)
