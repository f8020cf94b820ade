"""Weighted paths: unbiased redrawing, evidence against closed forms, groups on their own."""

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from oracles import CorrelatedReverse, GaussianReverse, conditioned, f64, law_of, normals
from undiffuse.conditions import Classes
from undiffuse.distributions import Normal
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.posteriors import (
    Annealed,
    Constant,
    Flat,
    Known,
    LogDensity,
    Matched,
    Noisy,
    Odds,
    Product,
    Replaced,
    Tweedie,
)
from undiffuse.random import Streams, keyed
from undiffuse.samplers import DDIM, Ancestral, Particles, Resampled, evidence, last, reverse, sample, start
from undiffuse.samplers.particles import systematic
from undiffuse.schedules import ConstantFraction, Linear, grids

MEAN, COV, UNIT = f64(0.3, -0.2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double(), torch.eye(2).double()
CHAIN, GRID = Gaussian(Linear(1e-3, 0.3, steps=20)), grids.uniform(8)
MODEL = CorrelatedReverse(CHAIN, MEAN, COV)
Y, SECOND = f64(1.0, 0.2), torch.tensor([False, True])
NOISY, KNOWN = Noisy(Y, 0.7), Known(f64(0.0, 1.0), SECOND)
LAW = law_of(MODEL, 2, GRID)
SEEN = conditioned(*LAW, UNIT, Y, 0.49 * UNIT)
HELD = conditioned(*LAW, UNIT[1:], f64([1.0]), torch.zeros(1, 1).double())


def test_redrawing_keeps_expected_counts():
    """Of every particle K w_k copies on average over u, and never more than one away from it."""
    weights = torch.tensor([[0.5, 0.0, 0.1, 0.4], [0.0, 0.25, 0.25, 0.5], [1.0, 0.0, 0.0, 0.0]]).double()
    u = (torch.arange(1000).double() + 0.5) / 1000
    counts = torch.stack(
        [(systematic(weights, at.expand(3, 1))[..., None] == torch.arange(4)).sum(1) for at in u]
    ).double()
    torch.testing.assert_close(counts.mean(0), 4 * weights, rtol=0, atol=2e-3)
    assert ((counts - 4 * weights).abs() < 1).all()
    chosen = systematic(weights, torch.zeros(3, 1).double())
    assert (weights.gather(1, chosen) > 0).all()  # not even at the end is one drawn that has no weight


@pytest.mark.parametrize(("factor", "exact"), [(NOISY, SEEN), (KNOWN, HELD)], ids=["noisy", "known"])
def test_an_exact_twist_has_no_variance(factor, exact):
    found = evidence(MODEL * factor, (2,), generator=keyed(0), particles=16, groups=3, grid=GRID)
    assert found.log_evidence == pytest.approx(float(exact[2]), abs=1e-5)
    assert found.se < 1e-5 and found.size == pytest.approx(1, abs=1e-5) and found.x_0.shape == (48, 2)


DIAGONAL = GaussianReverse(CHAIN, MEAN, f64(0.4, 2.5))
MILD = Noisy(Y, 1.5)  # of a sharper one the constant rule's weights have no variance: its chain is too narrow
INEXACT = {
    "constant": Constant(DIAGONAL, MILD),
    "annealed": Annealed(DIAGONAL, MILD),
    "flat": Matched(DIAGONAL, MILD, Flat(3.0)),
    "log density": DIAGONAL * LogDensity(MILD.log),
    "constant, correlated": Constant(MODEL, MILD),
    "flat, correlated": Matched(MODEL, MILD, Flat()),
    "known, flat": Matched(MODEL, KNOWN, Flat()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INEXACT)
def test_weights_make_any_rule_right(name: str):
    """Evidence within 3 standard errors, and the posterior's mean and covariance."""
    product = INEXACT[name]
    mean, cov = law_of(product.model, 2, GRID)
    y, a, noise = (f64([1.0]), UNIT[1:], 0.0) if "known" in name else (Y, UNIT, 2.25)
    mean, cov, log_z = conditioned(mean, cov, a, y, noise * torch.eye(len(y)).double())
    found = evidence(product, (2,), generator=keyed(name), particles=100, groups=16, grid=GRID)
    assert abs(found.log_evidence - float(log_z)) < 3 * found.se and 1e-5 < found.se < 0.1
    x, spread = found.x_0.double().view(16, 100, 2), cov.diagonal().clamp(min=0).sqrt()
    off = x.mean(1).std(0) / 4  # between groups
    assert ((x.mean((0, 1)) - mean).abs() <= 4 * off + 1e-9).all()
    assert ((x.flatten(0, 1).std(0) - spread).abs() <= 0.12 * spread + 1e-6).all()


def test_the_error_is_that_of_the_groups_estimates():
    product = INEXACT["constant"]
    runs = [
        evidence(product, (2,), generator=keyed(i), particles=32, groups=8, grid=grids.uniform(3))
        for i in range(12)
    ]
    z = torch.tensor([run.log_evidence for run in runs])
    claimed = torch.tensor([run.se for run in runs]).square().mean().sqrt()
    assert 0.5 < float(z.std() / claimed) < 1.8
    with pytest.raises(ValueError, match="at least two"):
        evidence(product, (2,), generator=keyed(0), groups=1)


def test_a_group_does_not_know_how_many_there_are():
    two, five = (
        evidence(INEXACT["constant"], (2,), generator=keyed(3), particles=32, groups=n, grid=GRID)
        for n in (2, 5)
    )
    assert torch.equal(two.log_z, five.log_z[:2]) and torch.equal(two.x_0, five.x_0[:64])
    assert len(set(five.log_z.tolist())) == 5


def walked(product: Product, groups: range, sampler: Particles) -> tuple[Tensor, Tensor]:
    rows = range(groups.start * sampler.particles, groups.stop * sampler.particles)
    streams = Streams("walk", rows=rows)
    x_1 = start(product, torch.zeros(len(rows), 2).double(), streams)
    walk = reverse(product, x_1, sampler=sampler, grid=GRID, generator=streams)
    return last(walk)


def test_groups_walked_together_are_groups_walked_alone():
    """Redrawing stays within a group; what is returned has equal weights."""
    product, sampler = INEXACT["constant"], Particles(16)
    x, cloud = walked(product, range(1, 4), sampler)
    for g in range(3):
        alone, its = walked(product, range(g + 1, g + 2), sampler)
        torch.testing.assert_close(x[16 * g : 16 * g + 16], alone, rtol=0, atol=1e-12)
        torch.testing.assert_close(cloud.log_z[g : g + 1], its.log_z, rtol=0, atol=1e-10)
    assert (cloud.log_w == 0).all() and (cloud.size > 1).all() and (cloud.size < 16).all()
    assert all(len(group.unique(dim=0)) < 16 for group in x.view(3, 16, 2))


def test_the_threshold_says_when():
    """At 0 none is drawn anew before the end; the evidence is right whenever it is done."""
    product, log_z = (
        INEXACT["constant"],
        float(conditioned(*law_of(DIAGONAL, 2, GRID), UNIT, Y, 2.25 * UNIT)[2]),
    )
    for threshold in (0.0, 1.0):
        found = evidence(
            product, (2,), generator=keyed(1), particles=200, groups=16, grid=GRID, threshold=threshold
        )
        assert abs(found.log_evidence - log_z) < 3 * found.se


def test_refusals():
    for held in (Constant(MODEL, KNOWN), Replaced(DIAGONAL, KNOWN)):
        with pytest.raises(ValueError, match="paths have no weight: use Matched"):
            evidence(held, (2,), generator=keyed(0))
    with pytest.raises(ValueError, match="a model alone"):
        evidence(MODEL, (2,), generator=keyed(0))
    for bad in (1, 0, -3):
        with pytest.raises(ValueError, match=f"particles={bad}"):
            Particles(bad)
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="threshold="):
            Particles(4, bad)
    with pytest.raises(ValueError, match="5 rows are no whole number of groups of 4"):
        next_of(MODEL * NOISY, 5)


def next_of(product: Product, rows: int) -> Tensor:
    streams = Streams(0, rows=range(rows))
    x_1 = start(product, torch.zeros(rows, 2).double(), streams)
    *_, (_, x) = reverse(product, x_1, sampler=Particles(4), grid=GRID, generator=streams)
    return x


def test_what_cannot_be_is_said():
    never = LogDensity(lambda x: 0 * x.sum(1) - torch.inf)
    with pytest.raises(FloatingPointError, match="weight 0: the observation is impossible"):
        next_of(Constant(MODEL, never), 4)


class Isotropic(ReverseProcess):
    """The exact prediction of correlated data, with steps as narrow as if x_0 were known: the usual model."""

    def __init__(self, exact: CorrelatedReverse) -> None:
        super().__init__()
        self.exact, self.kernel = exact, exact.kernel

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.exact.predict(x_t, t)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Normal:
        return self.kernel.bridge(self.predict(x_t, t), x_t, s, t)

    def decode(self, x_t: Tensor, t: Tensor) -> Normal:
        return Normal(self.predict(x_t, t), f64(1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("model", [MODEL, Isotropic(MODEL)], ids=["correlated", "isotropic"])
def test_going_back_and_forth_mends_what_replacing_misses(model: ReverseProcess):
    """x_2 = 1 known at rho = 0.9: N(0.3 + 0.9 * 1.2, 0.19) is right; x_2 is held exactly, however often."""
    product, n, grid = Replaced(model, KNOWN), 2_000, grids.uniform(20)
    right, off = 0.3 + 0.9 * 1.2, []
    for times in (1, 3, 12):
        x = sample(
            product, (n, 2), generator=keyed("back"), sampler=Resampled(times), grid=grid, block=n
        ).double()
        assert (x[:, 1] == 1).all()
        off.append(abs(float(x[:, 0].mean()) - right))
    assert off[0] > 0.15 and off[1] < off[0] and off[2] < 0.4 * off[0], off


def test_resampled_once_is_ancestral():
    for product in (Replaced(DIAGONAL, KNOWN), MODEL * NOISY):
        one, other = (
            sample(product, (5, 2), generator=keyed(2), sampler=sampler, grid=GRID)
            for sampler in (Resampled(1), Ancestral())
        )
        assert torch.equal(one, other)


@pytest.mark.parametrize("mask", [torch.zeros(2).bool(), torch.ones(2).bool()], ids=["none", "all"])
@pytest.mark.parametrize("rule", [Constant, Annealed, Replaced, Matched])
@pytest.mark.parametrize("model", [MODEL, DIAGONAL], ids=["correlated", "diagonal"])
def test_nothing_and_everything_known(model: ReverseProcess, rule: type[Product], mask: Tensor):
    product = rule(model, Known(Y, mask))
    x, base = (sample(m, (5, 2), generator=keyed(2), grid=GRID).double() for m in (product, model))
    if mask.any():
        assert torch.equal(x, Y.expand(5, 2))
        torch.testing.assert_close(product.predict(x, f64(0.3)), Y.expand(5, 2), rtol=0, atol=1e-9)
    else:
        torch.testing.assert_close(x, base, rtol=0, atol=1e-6 if rule is Matched else 0)
        torch.testing.assert_close(
            product.predict(x, f64(0.3)), model.predict(x, f64(0.3)), rtol=0, atol=1e-12
        )


class Labelled(torch.nn.Module):
    """Logits, or numbers, that depend on a label."""

    conditions: ClassVar = {"label": Classes(3)}

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return 0.3 * x_t + torch.sin(t)[:, None] + label[:, None]


def test_a_condition_composes_with_a_factor():
    """`model.given(label) * factor`: labels and observations (B, ...) are those of the rows, one by one."""
    labels, value, x_t = torch.tensor([0, 2, 1, 2]), normals(4, 2, seed=1), normals(4, 2)
    t, s = f64(0.6), f64(0.3)
    bits = (value > 0).double()
    cases = [
        (Denoiser(Labelled(), CHAIN), x_t, lambda v: Noisy(v, 0.4), value),
        (Denoiser(Labelled(), CHAIN), x_t, lambda v: Known(v, SECOND.expand(v.shape)), value),
        (Denoiser(Labelled(), Binomial(ConstantFraction())), (x_t > 0).double(), Odds, value),
        (
            Denoiser(Labelled(), Binomial(ConstantFraction())),
            (x_t > 0).double(),
            lambda v: Known(v, v > 0),
            bits,
        ),
    ]
    for model, x, made, seen in cases:
        whole = model.given(labels) * made(seen)
        for i in range(4):
            alone = model.given(labels[i]) * made(seen[i : i + 1])
            for at in (
                lambda m, x: m.step(x, t, s).mean,
                lambda m, x: m.predict(x, t),
                lambda m, x: m.decode(x, t).mean,
            ):
                torch.testing.assert_close(at(whole, x)[i], at(alone, x[i : i + 1])[0], rtol=0, atol=1e-12)
        assert not torch.allclose(whole.predict(x, t), (model.given(0) * made(seen)).predict(x, t))


def test_rows_of_a_product_are_those_of_its_model():
    """Labels of rows reach the steps, and the rule keeps its spread."""
    model = GaussianReverse(CHAIN, MEAN, f64(0.4, 2.5))
    asked = []
    model.rows = lambda index: asked.append(index.tolist()) or model
    product = Matched(model, NOISY, Flat(2.0)).rows(torch.tensor([1, 0]))
    assert asked == [[1, 0]] and isinstance(product, Matched)
    assert isinstance(product.spread, Flat) and product.spread.var == 2.0 and product.factor is NOISY


def test_what_is_known_stays_known_where_a_belief_is_not_solved_to_the_end():
    """One product with the Jacobian of 40 values does not solve for what is known; the prediction has it."""
    mask, value = torch.arange(40) % 3 == 0, normals(1, 40)
    model = GaussianReverse(CHAIN, normals(40), normals(40).exp())
    product = Matched(model, Known(value, mask.expand(1, 40)), Tweedie(1))
    assert torch.equal(product.predict(normals(5, 40), f64(0.5))[:, mask], value[:, mask].expand(5, -1))
    x = sample(product, (5, 40), sampler=DDIM(), grid=GRID, generator=keyed("known"), block=5)
    assert torch.equal(x[:, mask], value[:, mask].expand(5, -1).to(x))
