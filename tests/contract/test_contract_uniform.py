"""Laws of the uniform distribution and of a normal one that uniform noise was added to, by quadrature."""

import itertools
import math

import pytest
import torch
from scipy import integrate, stats

from oracles import f64, normals
from undiffuse.distributions import Normal, Smoothed, Uniform
from undiffuse.random import Streams, keyed

NARROW, WIDE = 0.02, 3.0
PAIRS = [(0.0, 1.0, 0.7), (0.3, NARROW**2, 1.0), (-1.0, WIDE**2, 0.1), (0.0, 1e-4, 0.03), (2.0, 1e-12, 1.0)]
SMOOTHED = pytest.mark.parametrize("p", [Smoothed(f64(m), f64(v), f64(w)) for m, v, w in PAIRS], ids=str)


def density(p: Smoothed, x: float) -> float:
    """By scipy, apart from the library."""
    m, s, h = float(p.loc), float(p.var) ** 0.5, float(p.width) / 2
    upper, lower = (x - m + h) / s, (x - m - h) / s
    if lower > 0:
        return (stats.norm.sf(lower) - stats.norm.sf(upper)) / (2 * h)
    return (stats.norm.cdf(upper) - stats.norm.cdf(lower)) / (2 * h)


def integral(p: Smoothed, f) -> float:
    """Of p f, piece by piece between the places where p bends."""
    m, s, h = float(p.loc), float(p.var) ** 0.5, float(p.width) / 2
    bends = sorted({m + side * h + k * s for side in (-1, 1) for k in (-12, -4, 0, 4, 12)})
    pieces = (
        integrate.quad(lambda x: density(p, x) * f(x), a, b, limit=99)[0]
        for a, b in itertools.pairwise(bends)
    )
    return sum(pieces)


@SMOOTHED
def test_smoothed_moments_and_entropy(p):
    assert integral(p, lambda x: 1.0) == pytest.approx(1, abs=1e-9)
    assert integral(p, lambda x: x) == pytest.approx(float(p.mean), abs=1e-8)
    var = float(p.var + p.width.square() / 12)
    assert integral(p, lambda x: (x - float(p.mean)) ** 2) == pytest.approx(var, rel=1e-7)
    found = integral(p, lambda x: -math.log(max(density(p, x), 1e-300)))
    assert p.entropy().item() == pytest.approx(found, abs=2e-6)
    for away in (0.0, 0.4, -1.7):
        x = float(p.loc) + away * (float(p.width) + float(p.var) ** 0.5)
        assert (
            p.log_prob(f64(x)).item() == pytest.approx(math.log(density(p, x)), rel=1e-9, abs=1e-7)
            if density(p, x) > 1e-280
            else True
        )


@SMOOTHED
def test_draws_of_a_smoothed(p):
    n, var = 40_000, float(p.var + p.width.square() / 12)
    x = Smoothed(p.loc.expand(n), p.var, p.width).sample(keyed("draws"))
    assert abs(float(x.mean() - p.mean)) < 5 * (var / n) ** 0.5
    assert abs(float(x.var()) / var - 1) < 5 * (2 / n) ** 0.5


@pytest.mark.parametrize("width", [1.0, 0.6, 2.0])
@pytest.mark.parametrize("shift", [0.0, 1e-3, 0.3, 2.0])
@pytest.mark.parametrize("std", [1e-4, 0.003, 0.05, 0.5, 4.0])
def test_kl_of_a_uniform(shift, std, width):
    """To a smoothed and to a normal, against quadrature cut where the smoothed one bends."""
    q = Uniform(f64(0.0), f64(1.0))
    bends = (shift + side * width / 2 + k * std for side in (-1, 1) for k in (-30, -9, -3, 0, 3, 9, 30))
    cuts = [-0.5, *sorted(b for b in bends if abs(b) < 0.5), 0.5]
    for p in (Smoothed(f64(shift), f64(std**2), f64(width)), Normal(f64(shift), f64(std**2))):
        pieces = (
            integrate.fixed_quad(lambda x, p=p: -p.log_prob(torch.from_numpy(x)).numpy(), *ends, n=60)[0]
            for ends in itertools.pairwise(cuts)
        )
        assert q.kl(p).item() == pytest.approx(sum(pieces), rel=1e-6)
    assert q.entropy() == 0 and Uniform(f64(0.0), f64(2.0)).entropy().item() == pytest.approx(math.log(2))


def test_kl_of_a_uniform_to_one_that_is_hardly_smoothed():
    """Each end costs std / w times the integral of -log Phi(z), z > 0: float32 states too."""
    cost = integrate.quad(lambda z: -stats.norm.logcdf(z), 0, 40)[0]
    for dtype, rel in ((torch.float64, 1e-6), (torch.float32, 2e-3)):
        loc, std = torch.tensor([0.7], dtype=dtype), torch.tensor(1e-4, dtype=dtype, requires_grad=True)
        width = torch.tensor(0.25, dtype=dtype)
        found = Uniform(loc, width).kl(Smoothed(loc, std.square(), width))
        assert found.item() == pytest.approx(2 * 1e-4 / 0.25 * cost, rel=rel)
        (slope,) = torch.autograd.grad(found.sum(), std)
        assert slope.item() == pytest.approx(2 / 0.25 * cost, rel=rel)


def test_a_uniform_lies_in_its_interval():
    p = Uniform(f64(1.0, 2.0), f64(0.5))
    assert p.log_prob(f64(1.2, 2.3)).tolist() == pytest.approx([math.log(2), -math.inf])
    assert p.mean.tolist() == [1, 2] and p.shape == (2,)


@pytest.mark.parametrize("std", [0.05, 1.0, 20.0])
def test_universal_quantisation_costs_the_entropy_of_the_noisy_source(std):
    """O12: H[K | U] = h(Y + U') - log2 Delta; at std 1 and Delta 0.7, 2.590538 bits."""
    delta = 0.7

    def given(u: float) -> float:
        k = torch.arange(-400, 401, dtype=torch.float64)
        edges = [stats.norm.cdf(delta * (k + u + side).numpy() / std) for side in (-0.5, 0.5)]
        p = edges[1] - edges[0]
        return float(-(p[p > 0] * torch.tensor(p[p > 0]).log2().numpy()).sum())

    cost = integrate.quad(given, 0, 1, limit=200, epsabs=1e-8)[0]
    entropy = Smoothed(f64(0.0), f64(std**2), f64(delta)).entropy().item() / math.log(2)
    assert cost == pytest.approx(entropy - math.log2(delta), abs=1e-5)
    assert std != 1 or cost == pytest.approx(2.590538, abs=1e-6)


@pytest.mark.parametrize("make", [Uniform, lambda loc, w: Smoothed(loc, w, w)], ids=["uniform", "smoothed"])
def test_rows_and_streams(make):
    p, index = make(normals(5, 3), f64(0.3)), torch.tensor([4, 0, 0])
    assert torch.equal(p.rows(index).mean, p.mean[index])
    drawn = p.sample(Streams(1, rows=range(5)))
    assert drawn.shape == (5, 3) and torch.equal(
        drawn[:2], p.rows(torch.arange(2)).sample(Streams(1, rows=range(2)))
    )


def test_what_they_refuse():
    p, q, mask = Uniform(f64(0.0), f64(1.0)), Smoothed(f64(0.0), f64(1.0), f64(1.0)), torch.tensor(True)
    for each in (p, q):
        for refused in (
            lambda e: e.tilt(f64(1.0)),
            lambda e: e.blend(e, 0.5),
            lambda e: e.pin(mask, mask),
            lambda e: e.patch(mask, e),
        ):
            with pytest.raises(ValueError, match="kernel=gaussian"):
                refused(each)
    with pytest.raises(TypeError, match="KL"):
        p.kl(p)
    with pytest.raises(TypeError, match="KL"):
        q.kl(q)
