"""Laws of distributions, by quadrature or enumeration on every example."""

import math

import pytest
import torch
from examples import DISTRIBUTIONS
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oracles import f64, normals
from undiffuse.data.space import Levels
from undiffuse.distributions import Bernoulli, Categorical, Discretized, Normal
from undiffuse.random import Streams, keyed

EVERY = pytest.mark.parametrize("p", DISTRIBUTIONS, ids=lambda p: type(p).__name__)


def support(p):
    """Points (N, 1) or (N, B) and weights of the sum or integral over everything that can happen."""
    if isinstance(p, Normal):
        z = torch.linspace(-14, 14, 2001, dtype=torch.float64)[:, None]
        return p.loc + p.var.sqrt() * z, p.var.sqrt() * (28 / 2000)
    values = f64(0.0, 1.0) if isinstance(p, Bernoulli) else p.values
    return values[:, None].expand(-1, 3), 1.0


def prob(p, x):
    return p.log_prob(x).exp()


def expect(p, f):
    """Sum or integral of p f; f may be infinite where p is zero."""
    x, w = support(p)
    return torch.where(prob(p, x) > 0, w * prob(p, x) * f(x), 0.0).sum(0)


def other(p):
    """A second distribution of p's family and support."""
    if isinstance(p, Normal):
        return Normal(p.loc + 0.3, 1.5 * p.var)
    if isinstance(p, Categorical):
        return Categorical(p.logits.roll(1, 0) + torch.arange(len(p.values)) * 0.1, p.values)
    if isinstance(p, Bernoulli):
        return p.tilt(f64(0.3))
    return Discretized(p.loc - 0.1, 1.3 * p.std, p.levels)


@EVERY
def test_probabilities_sum_to_one(p):
    torch.testing.assert_close(expect(p, torch.ones_like), torch.ones(3).double())


@EVERY
def test_mean_is_the_expectation(p):
    assert p.mean.shape == (3,)
    torch.testing.assert_close(p.mean, expect(p, lambda x: x), rtol=1e-9, atol=1e-9)


@EVERY
def test_entropy_is_the_expected_surprise(p):
    assert p.entropy().shape == (3,)
    torch.testing.assert_close(p.entropy(), expect(p, lambda x: -p.log_prob(x)))


@EVERY
def test_kl_is_the_expected_log_ratio(p):
    q = other(p)
    expected = expect(p, lambda x: p.log_prob(x) - q.log_prob(x))
    torch.testing.assert_close(p.kl(q), expected, rtol=1e-7, atol=1e-10)
    assert (p.kl(q) >= -1e-15).all() and p.kl(q).shape == (3,)  # rounding apart
    assert not torch.allclose(p.kl(q), q.kl(p))


@EVERY
def test_kl_to_itself_is_zero(p):
    assert torch.equal(p.kl(p), torch.zeros(3, dtype=torch.float64))


@EVERY
@pytest.mark.parametrize("g", [0.0, 0.7, -2.0])
def test_tilt_is_the_renormalised_product(p, g):
    tilted, (x, _) = p.tilt(torch.full((3,), g).double()), support(p)
    log_z = expect(p, lambda x: torch.exp(g * x)).log()
    seen = p.log_prob(x) > -600
    expected = p.log_prob(x) + g * x - log_z
    torch.testing.assert_close(tilted.log_prob(x)[seen], expected[seen], rtol=1e-7, atol=1e-7)


@EVERY
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0, 1.8])
def test_blend_is_the_renormalised_geometric_mean(p, weight):
    q, (x, w) = other(p), support(p)
    found = p.blend(q, weight)
    log = torch.where(
        p.log_prob(x).isneginf(), -torch.inf, weight * p.log_prob(x) + (1 - weight) * q.log_prob(x)
    )
    log_z = (log + torch.as_tensor(w).log()).logsumexp(0)
    seen = (p.log_prob(x) > -300) & (q.log_prob(x) > -300)
    torch.testing.assert_close(found.log_prob(x)[seen], (log - log_z)[seen], rtol=1e-6, atol=1e-6)


def test_blends_that_are_none_are_refused():
    narrow, wide = Normal(f64(0.0), f64(1.0)), Normal(f64(1.0), f64(3.0))
    assert narrow.blend(wide, 2.0).var == pytest.approx(0.6)
    with pytest.raises(ValueError, match=r"weight=2.0.*nearer to 1"):
        wide.blend(narrow, 2.0)
    with pytest.raises(TypeError, match="blends"):
        narrow.blend(DISTRIBUTIONS[0], 0.5)
    never = Bernoulli(f64(1.0, 0.5), f64(0.0, 0.5))
    assert never.blend(Bernoulli(f64(0.5, 1.0), f64(0.5, 0.0)), 3.0).one.tolist() == [1.0, 0.0]


@EVERY
def test_kl_to_a_stranger_is_refused(p):
    stranger = Normal(f64(0.0), f64(1.0))
    stranger = DISTRIBUTIONS[0] if isinstance(p, Normal) else stranger
    with pytest.raises(TypeError, match="KL"):
        p.kl(stranger)


@EVERY
def test_draws_have_the_mean_and_the_variance(p):
    n = 40_000
    x = many(p, n).sample(keyed("draws"))
    assert x.shape == (n, 3)
    var = expect(p, lambda x: (x - p.mean).square())
    fourth = expect(p, lambda x: (x - p.mean).pow(4))
    assert ((x.mean(0) - p.mean).abs() <= 5 * (var / n).sqrt()).all()
    error = (x - p.mean).square().mean(0) - var
    assert (error.abs() <= 5 * ((fourth - var.square()) / n).sqrt() + 1e-12).all()


def many(p, n):
    """p for n rows."""
    if isinstance(p, Categorical):
        return Categorical(p.logits.expand(n, *p.logits.shape), p.values)
    if isinstance(p, Normal):
        return Normal(p.loc.expand(n, 3), p.var)
    if isinstance(p, Bernoulli):
        return Bernoulli(p.one.expand(n, 3), p.zero.expand(n, 3))
    return Discretized(p.loc.expand(n, 3), p.std, p.levels)


DISCRETE = [p for p in DISTRIBUTIONS if not isinstance(p, Normal)]


@pytest.mark.parametrize("p", DISCRETE, ids=lambda p: type(p).__name__)
def test_frequencies(p):
    n, (x, _) = 20_000, support(p)
    draws = many(p, n).sample(keyed("frequencies"))
    share = (draws == x[:, None, :]).double().mean(1)
    assert torch.equal(share.sum(0), torch.ones(3).double())
    exact = prob(p, x)
    assert ((share - exact).abs() <= 5 * (exact * (1 - exact) / n).sqrt() + 1e-9).all()


@EVERY
def test_draws_follow_the_generator_alone(p):
    assert torch.equal(p.sample(keyed(1)), p.sample(keyed(1)))
    streams = p.sample(Streams(1, rows=range(3)))
    assert torch.equal(streams, p.sample(Streams(1, rows=range(3))))
    assert p.sample(keyed(1)).shape == (3,)


@given(
    x=st.floats(-50, 50),
    mean=st.floats(-10, 10),
    std=st.floats(1e-3, 1e3),
)
def test_normal_is_scipy(x, mean, std):
    p, q = Normal(f64(mean), f64(std).square()), stats.norm(mean, std)
    assert p.log_prob(f64(x)).item() == pytest.approx(q.logpdf(x), rel=1e-9, abs=1e-9)
    assert p.entropy().item() == pytest.approx(q.entropy(), rel=1e-9, abs=1e-9)


def test_both_tails_of_a_bit_keep_their_digits():
    """Of a logit of 40 the probability of a zero is 4e-18, which 1 - p loses."""
    p = Bernoulli.of_logits(f64(40.0, -40.0))
    torch.testing.assert_close(p.log_prob(f64(0.0, 1.0)), f64(-40.0, -40.0))
    torch.testing.assert_close(p.tilt(f64(-1.0, 1.0)).log_prob(f64(0.0, 1.0)), f64(-39.0, -39.0))


def test_normal_variances_broadcast_over_the_batch():
    p = Normal(torch.zeros(4, 2, 3), torch.full((4, 1, 1), 2.0))
    for result in (p.entropy(), p.kl(p), p.log_prob(torch.zeros(4, 2, 3)), p.sample(keyed(0))):
        assert result.shape == (4, 2, 3)
    assert p.kl(Normal(p.loc, torch.tensor(2.0))).abs().max() == 0


def test_categorical_takes_the_nearest_value():
    p = Categorical(torch.log(f64(0.1, 0.2, 0.7)), f64(-1.0, 0.0, 2.0))
    x = f64(-9.0, -0.51, -0.49, 0.99, 1.01, 9.0)
    expected = f64(0.1, 0.1, 0.2, 0.2, 0.7, 0.7)
    torch.testing.assert_close(p.log_prob(x).exp(), expected)


def test_categorical_that_is_sure():
    sure = Categorical(f64(-torch.inf, 0.0, -torch.inf), f64(0.0, 1.0, 2.0))
    flat = Categorical(f64(0.0, 0.0, 0.0), f64(0.0, 1.0, 2.0))
    assert sure.entropy() == 0 and sure.mean == 1 and sure.sample(keyed(0)) == 1
    assert sure.kl(flat).item() == pytest.approx(math.log(3)) and flat.kl(sure) == math.inf
    assert sure.log_prob(torch.ones(2, dtype=torch.float32)).tolist() == [0, 0]


def test_categorical_probability_is_never_given_to_the_impossible():
    p = Categorical(f64(-torch.inf, 0.0, 0.0, -torch.inf).expand(5000, 4), torch.arange(4.0).double())
    assert set(p.sample(keyed(0)).tolist()) == {1.0, 2.0}


def test_entropy_and_kl_are_differentiable():
    logits = normals(5, 4).requires_grad_()
    p = Categorical(logits, f64(0.0, 1.0, 2.0, 3.0))
    flat = Categorical(torch.zeros(5, 4).double(), p.values)
    (a,) = torch.autograd.grad(p.entropy().sum(), logits, retain_graph=True)
    (b,) = torch.autograd.grad(p.kl(flat).sum(), logits)
    torch.testing.assert_close(a, -b)  # KL to the uniform is log K - entropy
    assert a.abs().max() > 0.01


MASK = torch.tensor([True, False, True])


def pinned(p) -> torch.Tensor:
    """Three values that can happen."""
    return f64(-0.3, 0.7, 4.0) if isinstance(p, Normal) else support(p)[0][[0, 0, -1], 0]


@EVERY
@pytest.mark.parametrize("n", [1, 50])
def test_pinned_elements_are_certain_and_the_others_as_they_were(p, n):
    rows, value = many(p, n), pinned(p)
    q = rows.pin(MASK, value)
    x, before = q.sample(keyed("draws")), rows.sample(keyed("draws"))
    assert q.shape == x.shape == (n, 3) and x.dtype == before.dtype
    assert (x[:, MASK] == value[MASK]).all() and (q.mean[:, MASK] == value[MASK]).all()
    assert torch.equal(x[:, ~MASK], before[:, ~MASK])
    assert torch.equal(q.log_prob(x)[:, ~MASK], rows.log_prob(before)[:, ~MASK])
    if not isinstance(p, Normal):
        assert (q.log_prob(x)[:, MASK] == 0).all() and (q.entropy()[:, MASK] == 0).all()


@EVERY
def test_pinning_nothing_changes_no_bit(p):
    """Not even with a NaN where nothing is known."""
    q = p.pin(~MASK & MASK, torch.full((3,), torch.nan).double())
    assert torch.equal(q.sample(keyed(0)), p.sample(keyed(0)))


def test_pinning_rounds_no_variance():
    """Those of float64 beside means of float32 have their root taken first, pinned or not."""
    for var in torch.linspace(0.1, 1, 50, dtype=torch.float64):
        p = Normal(torch.zeros(3), var)
        assert torch.equal(p.pin(MASK, torch.zeros(3)).sample(keyed(0))[~MASK], p.sample(keyed(0))[~MASK])


@pytest.mark.parametrize("levels", [2, 3, 17, 256, 5000])
def test_a_pinned_level_is_the_one_it_was(levels):
    """In float32, as data are; and of a value between levels it is the nearest."""
    k = torch.arange(levels)
    value = Levels(levels).encode(k.to(torch.uint8 if levels <= 256 else torch.int32))
    exact = 2 * k.double() / (levels - 1) - 1
    wide = Discretized(torch.zeros(levels).double(), f64(1.0), levels)
    mask = torch.ones(levels).bool()
    for wanted in (value, *(exact + 2 * off / (levels - 1) for off in (0.4999, -0.4999))):
        drawn = wide.pin(mask, wanted).sample(keyed(0))
        assert torch.equal(drawn.float(), value)


@EVERY
def test_rows_are_those_of_the_batch(p):
    rows, index = many(p, 5), torch.tensor([4, 0, 0, 2, 3, 1, 1])
    x = rows.sample(keyed("rows"))
    found = rows.rows(index)
    assert found.shape == (7, 3) and torch.equal(found.mean, rows.mean[index])
    assert torch.equal(found.log_prob(x[index]), rows.log_prob(x)[index])


@EVERY
def test_patched_elements_are_the_others(p):
    q, x = other(p), support(p)[0]
    found = p.patch(MASK, q)
    assert found.shape == p.shape
    torch.testing.assert_close(found.log_prob(x), torch.where(MASK, q.log_prob(x), p.log_prob(x)))
    torch.testing.assert_close(found.mean, torch.where(MASK, q.mean, p.mean))
    with pytest.raises(TypeError, match="patched"):
        stranger = Normal(f64(0.0, 0.0, 0.0), f64(1.0))
        p.patch(MASK, DISTRIBUTIONS[0] if isinstance(p, Normal) else stranger)
