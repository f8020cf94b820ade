"""Rows of columns of several kinds: their terms, a base without a network, cells given and left out."""

import math

import pytest
import torch
from torch import Tensor

from oracles import f64, normals
from undiffuse import terms
from undiffuse.bases import ColumnsBase, columns, fit_columns
from undiffuse.bases.columns import Cells
from undiffuse.bounds import nelbo
from undiffuse.conditions import Given
from undiffuse.distributions import Columns
from undiffuse.kernels import Categorical, Gaussian, Mixed
from undiffuse.marginals import Marginals
from undiffuse.mixed import CELLS, UNSURE, MixedDenoiser
from undiffuse.objectives import Cells as CellsObjective
from undiffuse.objectives.cells import patterns
from undiffuse.random import Streams, keyed
from undiffuse.schedules import ConstantFraction, LogLinear

SCHEDULE = LogLinear(9, -6)
NAN = math.nan


class Zeros(torch.nn.Module):
    """A network that says nothing."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x.new_zeros(len(x), 2 * x.shape[1])


def table(n: int, seed: int = 0) -> Tensor:
    """Raw rows: continuous, hundredths with many zeros, a bit, one of three, whole numbers of few."""
    random = keyed("table", seed)
    a = torch.randn(n, generator=random, dtype=torch.float64)
    b = torch.relu(0.8 * a + 0.6 * torch.randn(n, generator=random, dtype=torch.float64))
    c = (torch.rand(n, generator=random) < torch.sigmoid(2 * a)).double()
    d = torch.randint(0, 3, (n,), generator=random).double()
    e = (2 * a).round().clamp(-2, 2)
    return torch.stack([a.exp(), (100 * b).round() / 100, c, d, e], 1)


COUNTS, STEPS, NUMBERS = [0, 0, 2, 3, 0], [0.0, 0.01, 1.0], [0, 1, 4]
RAW = table(3000)
MAPS = Marginals.fit(RAW[:, NUMBERS], STEPS)


def encoded(raw: Tensor) -> Tensor:
    x_0 = raw.clone()
    x_0[:, NUMBERS] = MAPS.encode(raw[:, NUMBERS])
    return x_0.float()


BASE = fit_columns(encoded(RAW), COUNTS, MAPS)
KERNEL = Mixed(SCHEDULE, COUNTS)
MODEL = MixedDenoiser(Zeros(), KERNEL, BASE)


def bound(model: MixedDenoiser, x_0: Tensor, steps: int) -> Tensor:
    grid = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    with torch.no_grad():
        return nelbo(model, x_0, grid=grid, generator=Streams("tables", rows=range(len(x_0)))).total


def only(x_0: Tensor, *columns: int) -> Tensor:
    """These columns, the others left out."""
    found = torch.full_like(x_0, NAN)
    found[:, list(columns)] = x_0[:, list(columns)]
    return found


# What a column is alone


def test_levels_have_probabilities_and_others_a_density():
    rows = RAW[:1].repeat(40_000, 1)[:, NUMBERS]
    for column, values in ((1, torch.arange(-10_000, 30_000) / 100), (2, torch.arange(-20, 20).double())):
        rows = RAW[:1].repeat(len(values), 1)[:, NUMBERS]
        rows[:, column] = values.double()
        assert float(MAPS.log_prob(rows)[:, column].exp().sum()) == pytest.approx(1, abs=1e-9)
    x = torch.linspace(1e-9, 200, 400_001, dtype=torch.float64)
    rows = RAW[:1].repeat(len(x), 1)[:, NUMBERS]
    rows[:, 0] = x
    assert float(torch.trapezoid(MAPS.log_prob(rows)[:, 0].exp(), x)) == pytest.approx(1, abs=1e-4)


def test_atoms_have_their_own_shares():
    values, counts = torch.unique(RAW[:, 4], return_counts=True)
    rows = RAW[: len(values)][:, NUMBERS].clone()
    rows[:, 2] = values
    assert (MAPS.log_prob(rows)[:, 2].exp() - counts / len(RAW)).abs().max() < 2e-3
    assert float((RAW[:, 1] == 0).double().mean()) > 0.3  # a spike among many levels
    rows[:, 1] = 0.0
    assert MAPS.log_prob(rows)[0, 1].exp() == pytest.approx(float((RAW[:, 1] == 0).double().mean()), abs=2e-3)


def test_values_come_back():
    z = MAPS.encode(RAW[:, NUMBERS])
    assert (MAPS.decode(z) - RAW[:, NUMBERS]).abs().max() < 1e-12
    assert (MAPS.decode(z.float()) - RAW[:, NUMBERS])[:, 1:].abs().max() < 1e-12
    order = torch.argsort(RAW[:, NUMBERS], dim=0, stable=True)
    assert bool((z.gather(0, order).diff(dim=0) >= 0).all())  # rises
    again = Marginals.from_state(MAPS.state())
    assert all(torch.equal(a, b) for a, b in zip(MAPS.buffers(), again.buffers(), strict=True))


@pytest.mark.parametrize("damage", [{"step": -1.0}, {"knots": [0.0]}, {"scores": [1.0, 0.0]}, {"step": NAN}])
def test_what_is_no_map_is_refused(damage):
    state = {"knots": [0.0, 1.0], "scores": [0.0, 1.0], "step": 0.0, "low": 0.0, "atoms": []} | damage
    with pytest.raises(ValueError):
        Marginals.from_state([state])


# Terms


def test_a_rows_terms_are_those_of_its_columns():
    s, t = f64(0.3), f64(0.4)
    x_0 = encoded(RAW[:50])
    x_t = KERNEL.marginal(x_0, t).sample(keyed("x_t"))
    kernels = [Gaussian(SCHEDULE), Gaussian(SCHEDULE), None, None, Gaussian(SCHEDULE)]
    kernels[2:4] = [Categorical(ConstantFraction(), k) for k in (2, 3)]
    guess = encoded(RAW[50:100])
    found = KERNEL.bridge(x_0, x_t, s, t).kl(KERNEL.bridge(guess, x_t, s, t))
    for i, kernel in enumerate(kernels):
        p, q = (kernel.bridge(x[:, [i]], x_t[:, [i]], s, t) for x in (guess, x_0))
        assert torch.allclose(found[:, [i]], q.kl(p), rtol=1e-5, atol=1e-6)


def test_what_is_left_out_costs_nothing_and_changes_nothing():
    x_0 = encoded(RAW[:30])
    holes = torch.rand(30, 5, generator=keyed("holes")) < 0.4
    gone = x_0.masked_fill(holes, NAN)
    s, t = f64(0.2), f64(0.25)
    x_t = KERNEL.marginal(gone, t).sample(keyed("noise"))
    assert torch.equal(x_t.isnan(), holes)
    law = MODEL.step(x_t, t, s)
    cost = KERNEL.bridge(gone, x_t, s, t).kl(law)
    assert (cost[holes] == 0).all() and bool(cost.isfinite().all()) and float(cost[~holes].abs().min()) >= 0
    assert isinstance(law, Columns) and torch.equal(law.sample(keyed("draw")).isnan(), holes)
    other = x_0.clone()
    other[holes] = 1.0  # whatever it is
    assert torch.equal(bound(MODEL, gone, 5), bound(MODEL, other.masked_fill(holes, NAN), 5))


def test_gradients_are_finite_with_holes():
    network = torch.nn.Linear(KERNEL.feature_shape((5,))[0], 2 * KERNEL.feature_shape((5,))[0])
    network.forward = lambda x, t: torch.nn.functional.linear(x, network.weight, network.bias)
    x_0 = encoded(RAW[:40])
    x_0[::2, 1], x_0[1::3, 3] = NAN, NAN
    objective = CellsObjective(grid=torch.arange(1, 11, dtype=torch.float64) / 10)
    objective(MixedDenoiser(network, KERNEL, BASE), x_0, keyed("loss")).mean().backward()
    assert bool(network.weight.grad.isfinite().all()) and float(network.weight.grad.abs().max()) > 0


# What a base without a network says


@pytest.mark.parametrize("columns", [(2,), (3,), (2, 3)])
def test_symbols_have_their_frequencies_exactly(columns):
    row = only(encoded(RAW[:1]), *columns).repeat(4000, 1)
    found = bound(MODEL, row, 6)
    exact = -float(BASE.log_prob(row[:1]))
    assert abs(float(found.mean()) - exact) < 4 * float(found.std()) / 4000**0.5


@pytest.mark.parametrize(("column", "off"), [(0, 0.03), (1, 0.12), (4, 0.04)])
def test_a_column_of_numbers_costs_what_it_does_alone(column, off):
    x_0 = only(encoded(table(500, seed=1)), column)
    found, exact = bound(MODEL, x_0, 400), -BASE.log_prob(x_0)
    less = found - exact
    error = float(less.std()) / 500**0.5
    assert -4 * error < float(less.mean()) < off + 4 * error


def test_what_is_given_tells_of_the_others():
    rho = 0.8
    a = normals(1500, 1)[:, 0]
    raw = torch.stack([a, rho * a + 0.6 * torch.randn(1500, generator=keyed("b"), dtype=torch.float64)], 1)
    maps = Marginals.fit(raw, [0.0, 0.0])
    x_0 = maps.encode(raw).float()
    model = MixedDenoiser(Zeros(), Mixed(SCHEDULE, [0, 0]), fit_columns(x_0, [0, 0], maps))
    joint, first = bound(model, x_0, 300), bound(model, only(x_0, 0), 300)
    second = bound(model.told(Given({CELLS: only(x_0, 0)})), only(x_0, 1), 300)
    exact = 0.5 * math.log(2 * math.pi * math.e * 0.36)
    assert float(second.mean()) == pytest.approx(exact, abs=0.1)
    assert float((joint - first - second).mean()) == pytest.approx(0, abs=0.05)  # the chain rule
    assert float((bound(model, only(x_0, 1), 300) - second).mean()) > 0.3
    alone = model.base.log_prob(x_0) + model.base.log_copula(x_0, keyed("d"))
    assert float(joint.mean()) == pytest.approx(-float(alone.mean()), abs=0.05)


def test_a_belief_is_that_of_a_normal_law(monkeypatch):
    monkeypatch.setattr(columns, "ODD", 1e-300)  # that no cell is wrong
    base = ColumnsBase(
        torch.tensor([0, 0]),
        f64([[1, 0.6], [0.6, 1]]),
        torch.zeros(2),
        Marginals.fit(normals(500, 2), [0.0, 0.0]),
        [],
    )
    kernel, t = Mixed(SCHEDULE, [0, 0]), f64(0.5)
    alpha, sigma = Gaussian(SCHEDULE).alpha_sigma(t)
    x = normals(7, 2)
    none = torch.zeros(7, 2, dtype=torch.bool)
    found = base.belief(Cells(x, none, none), t, kernel)
    cov = (
        base.corr - base.corr @ torch.linalg.inv(base.corr + (sigma / alpha) ** 2 * torch.eye(2)) @ base.corr
    )
    mean = x / alpha @ torch.linalg.inv(base.corr + (sigma / alpha) ** 2 * torch.eye(2)) @ base.corr
    assert torch.allclose(found.mean, mean, atol=1e-10)
    assert torch.allclose(found.std.square(), cov.diagonal().expand(7, 2), atol=1e-10)
    given = torch.tensor([[True, False]]).expand(7, 2)
    out = ~given
    found = base.belief(Cells(x, given, out), t, kernel)
    assert torch.allclose(found.mean[:, 1], 0.6 * x[:, 0], atol=1e-5)
    assert torch.allclose(found.std[:, 1], f64(0.8).expand(7), atol=1e-5)


def test_a_symbol_tells_of_numbers():
    """Two kinds whose numbers are apart: by the kind that is given, and less so by one on its way."""
    kind = (torch.rand(4000, generator=keyed("kind")) < 0.3).double()
    raw = torch.stack([torch.randn(4000, generator=keyed("n"), dtype=torch.float64) + 1.5 * kind, kind], 1)
    maps = Marginals.fit(raw[:, :1], [0.0])
    x_0 = torch.cat([maps.encode(raw[:, :1]), kind.unsqueeze(1)], 1)
    base, kernel = fit_columns(x_0, [0, 2], maps), Mixed(SCHEDULE, [0, 2])
    cells, first = torch.tensor([[0.0, 0.0], [0.0, 1.0]]), torch.tensor([[True, False]]).expand(2, 2)
    told = base.belief(Cells(cells, ~first, first), f64(0.5), kernel).mean[:, 0]
    means = torch.stack([x_0[kind == k, 0].mean() for k in (0, 1)])
    assert torch.allclose(told, means, atol=0.08)
    none = torch.zeros_like(first)
    for t, share in ((0.05, 0.9), (0.5, 0.4), (0.95, 0.0)):
        found = base.belief(Cells(cells, none, first), f64(t), kernel).mean[:, 0]
        apart = float((found[1] - found[0]) / (means[1] - means[0]))
        assert share <= apart < (0.05 if not share else 1.05), (t, apart)


def test_wide_tables_have_columns_that_stand_alone():
    raw = normals(300, 70) + normals(300, 1)
    maps = Marginals.fit(raw, [0.0] * 70)
    base, kernel, t = (
        fit_columns(maps.encode(raw), [0] * 70, maps),
        Mixed(SCHEDULE, [0] * 70),
        f64(0.5),
    )
    none = torch.zeros(4, 70, dtype=torch.bool)
    keep = float(SCHEDULE.keep(t))
    found = base.belief(Cells(raw[:4] / 4, none, none), t, kernel)
    assert base.alone and torch.allclose(found.mean, keep**0.5 * raw[:4] / 4, atol=0.05)
    assert (base.log_copula(maps.encode(raw), keyed("draw")) == 0).all()
    assert not fit_columns(maps.encode(raw[:, :70]), [0] * 70, maps).corr.isnan().any()


def test_a_wrong_cell_is_believed():
    """One that the others contradict, at a noise that leaves no doubt of it."""
    maps = Marginals.fit(normals(500, 2), [0.0, 0.0])
    base = ColumnsBase(torch.tensor([0, 0]), f64([[1, 0.999], [0.999, 1]]), torch.zeros(2), maps, [])
    kernel, t, none = Mixed(SCHEDULE, [0, 0]), f64(0.2), torch.zeros(1, 2, dtype=torch.bool)
    x = f64([[-0.5, 0.5]]) * Gaussian(SCHEDULE).level(t).alpha
    found = base.belief(Cells(x, none, none), t, kernel)
    assert torch.allclose(found.mean, f64([[-0.5, 0.5]]), atol=0.05)
    assert float(found.std.max()) < 0.1


def test_atoms_are_weighed_by_bayes():
    """A column of few values alone: E[x_0 | x_t] is that of its levels."""
    maps = Marginals.fit(RAW[:, [4]], [1.0])
    base = ColumnsBase(torch.tensor([0]), torch.eye(1).double(), torch.zeros(1), maps, [])
    kernel, t = Mixed(SCHEDULE, [0]), f64(0.55)
    alpha, sigma = (float(each) for each in Gaussian(SCHEDULE).alpha_sigma(t))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(1)
    none = torch.zeros(9, 1, dtype=torch.bool)
    found = base.belief(Cells(x, none, none), t, kernel)
    shares = torch.special.ndtr(maps.high_ends[0]) - torch.special.ndtr(maps.low_ends[0])
    weight = shares * torch.exp(-0.5 * ((x / alpha - maps.places[0]) * alpha / sigma) ** 2)
    mean = (weight * maps.places[0]).sum(1) / weight.sum(1)
    assert torch.allclose(found.mean[:, 0], mean, atol=2e-2)


# Given cells


def test_samples_have_what_is_given():
    from undiffuse import samplers

    told = only(encoded(RAW[:64]), 0, 3)
    model = MODEL.told(Given({CELLS: told}))
    grid = torch.arange(1, 41, dtype=torch.float64) / 40
    found = samplers.sample(model, (64, 5), generator=keyed("s"), grid=grid, sampler=samplers.Ancestral())
    assert torch.equal(found[:, [0, 3]], told[:, [0, 3]]) and bool(found.isfinite().all())
    apart = samplers.sample(MODEL, (64, 5), generator=keyed("s"), grid=grid, sampler=samplers.Ancestral())
    near = lambda x: torch.corrcoef(torch.stack([x[:, 4], told[:, 0]]))[0, 1]  # noqa: E731
    assert near(found) > 0.6 > abs(near(apart))  # whole numbers go with the first column
    everything = MODEL.told(Given({CELLS: encoded(RAW[:4])}))
    whole = samplers.sample(everything, (4, 5), generator=keyed("w"), grid=grid, sampler=samplers.Ancestral())
    assert torch.equal(whole, encoded(RAW[:4]))


def test_what_is_given_costs_nothing():
    x_0 = encoded(RAW[:30])
    model, s, t = MODEL.told(Given({CELLS: only(x_0, 0, 3)})), f64(0.4), f64(0.5)
    rest = only(x_0, 1, 2, 4)
    assert torch.equal(terms.prior(model, x_0), terms.prior(model, rest))
    whole, some = (terms.step(model, x, s, t, keyed("noise")) for x in (x_0, rest))
    assert torch.equal(whole, some) and float(whole.min()) > 0
    everything = MODEL.told(Given({CELLS: x_0}))
    assert (terms.step(everything, x_0, s, t, keyed("noise")) == 0).all()


def test_patterns_are_of_known_cells_and_every_kind():
    x_0 = encoded(table(4000, seed=2))
    x_0[:, 1] = NAN
    given, out = patterns(x_0, keyed("patterns"), 0.5)
    assert not bool(given[:, 1].any()) and not bool((given & out).any())
    free = ~(given | out).any(1)
    assert 0.5 < float(free.double().mean()) < 0.62  # half of them, and those that nothing fell on
    assert float(out.any(1).double().mean()) > 0.15 and float(given.double().mean()) > 0.15
    assert not bool(patterns(x_0, keyed("patterns"), 1.0)[0].any())


def test_the_prior_is_where_chains_end():
    assert float(terms.prior(MODEL, encoded(RAW[:200])).mean()) < 0.01


@pytest.mark.parametrize("columns", [[], [1], [0, -2], [5000]])
def test_columns_that_are_none_are_refused(columns):
    with pytest.raises(ValueError, match="columns"):
        Mixed(SCHEDULE, columns)


class Certain(torch.nn.Module):
    """A network that is sure that every symbol is the last."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([x.new_zeros(len(x), x.shape[1]), x.new_zeros(len(x), x.shape[1])], 1) + 1e3 * (
            torch.arange(2 * x.shape[1]).remainder(3) == 2
        )


@pytest.mark.parametrize("t", [0.002, 0.4])
def test_a_network_that_is_sure_and_wrong_costs_little_more_than_the_base(t: float):
    x_0, when = encoded(RAW)[:200], f64(t)
    x_t = terms.noisy(MODEL, x_0, when, keyed("sure"))
    sure = MixedDenoiser(Certain(), KERNEL, BASE)
    symbols = [2, 3]
    base, found = (-m.decode(x_t, when).log_prob(x_0)[:, symbols] for m in (MODEL, sure))
    assert (found <= base - math.log(UNSURE) + 1e-6).all() and found.max() > base.max() + 1


def test_noise_that_looks_like_another_level_costs_what_that_noise_is():
    """Levels eight widths apart, and five widths out, where the level beside it is nearer."""
    when = f64(0.002)
    noise = float((-0.5 * SCHEDULE.logsnr(when)).exp())
    raw = (normals(4000, 1) / (8 * noise)).round()
    maps = Marginals.fit(raw, [1.0])
    x_0 = maps.encode(raw).float()
    model = MixedDenoiser(Zeros(), Mixed(SCHEDULE, [0]), fit_columns(x_0, [0], maps))
    middle = x_0[(raw[:, 0].abs() < 3)][:200]
    found = -model.decode(middle + 5 * noise, when).log_prob(middle)
    assert 5 < found.max() < 100  # (4 / WRONG)^2 / 2 = 32 nats, and without an end thousands
    assert -model.decode(middle + noise, when).log_prob(middle).mean() < 0.01
