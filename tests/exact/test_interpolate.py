"""Interpolation and shared states on Gaussian data, whose walks back are known; and on bits."""

import pytest
import torch
from torch import Tensor

from oracles import GaussianDenoiser, GaussianReverse, f64, normals
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import MLP
from undiffuse.parameterizations import X0, NormalDecoder
from undiffuse.random import Streams, keyed
from undiffuse.samplers import (
    DDIM,
    Ancestral,
    interpolate,
    mix,
    nearest,
    reverse,
    sample,
    sample_shared,
    trajectory,
)
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids
from watched import reports, watched

C, GRID = 0.4, grids.logsnr(Cosine(None), 24, first=1e-5)
NINE = torch.linspace(0, 1, 9).double()


def exact() -> GaussianReverse:
    return GaussianReverse(Gaussian(Cosine(None)), f64(0.0), f64(C))


def network() -> tuple[Denoiser, tuple[int, ...]]:
    torch.manual_seed(0)
    net = MLP((3,), hidden=16, layers=2)
    torch.nn.init.normal_(net.last.weight, std=0.3)
    return Denoiser(net, Gaussian(Cosine(20))).eval(), (3,)


def between(t: float, shares: Tensor = NINE, n: int = 20_000, model=None, **options) -> Tensor:
    """Of n pairs of numbers 1, -3, up to 500 in one example: (n, points)."""
    wide = min(n, 500)
    a, b = (torch.full((n // wide, wide), end, dtype=torch.float64) for end in (1.0, -3.0))
    options = {"grid": GRID, "generator": keyed(0)} | options
    return interpolate(model or exact(), a, b, t, shares, **options).movedim(1, -1).flatten(0, 1)


@pytest.mark.parametrize("place", [0, 9, 17, 23])
def test_the_law_of_every_mixture(place):
    """x_0 ~ N(k alpha c, k^2 sigma^2 + sigma^2 C / S) with k = alpha C / S, c = (1 - lambda) a + lambda b."""
    n, t, keep = 20_000, float(GRID[place]), Cosine(None).keep(GRID[place])
    x, total = between(t, n=n), keep * C + 1 - keep
    k, middle = keep.sqrt() * C / total, (1 - NINE) * 1.0 + NINE * -3.0
    var = k**2 * (1 - keep) + (1 - keep) * C / total
    assert ((x.mean(0) - k * keep.sqrt() * middle).abs() < 5 * (var / n).sqrt() + 1e-9).all()
    assert ((x.var(0) / var - 1).abs() < 5 * (2 / n) ** 0.5).all()


def test_the_noise_is_one_for_all_points():
    """Both on the way there and back: the walk is affine, so points of a pair lie on a straight line."""
    x = between(float(GRID[15]), n=50)
    line = (1 - NINE) * x[:, :1] + NINE * x[:, -1:]
    torch.testing.assert_close(x, line, rtol=1e-9, atol=1e-9)
    assert x[:, 4].std() > 0.1


def test_the_noise_is_another_for_every_pair():
    a = torch.ones(2, 10_000).double()
    for t in (float(GRID[9]), 1.0):  # most of it on the way there, and on the way back
        x = interpolate(exact(), a, a, t, NINE[:1], grid=GRID, generator=keyed(0))[:, 0]
        assert torch.corrcoef(x)[0, 1].abs() < 5 / 10_000**0.5


def test_without_noise_back_it_is_the_product_formula():
    """DDIM: the ends' noisy states times the factors of the steps."""
    place, keep = 12, Cosine(None).keep(GRID)
    x = between(float(GRID[place]), n=7, sampler=DDIM())
    shares = torch.cat([f64(1.0).reshape(1), keep[: place + 1]])
    s, t = shares[:-1], shares[1:]
    factor = (((s * t).sqrt() * C + ((1 - s) * (1 - t)).sqrt()) / (t * C + 1 - t)).prod()
    gap = factor * keep[place].sqrt() * -4.0  # b - a, the noise being the same
    torch.testing.assert_close(x[:, -1] - x[:, 0], gap.expand(7), rtol=1e-9, atol=0)


def test_from_the_first_latent_the_ends_come_back():
    x = between(1e-5, n=500)
    sd = (1 - Cosine(None).keep(f64(1e-5))).sqrt()
    assert (x[:, 0] - 1).abs().max() < 10 * sd and (x[:, -1] + 3).abs().max() < 10 * sd
    assert (x[:, 4] + 1).abs().max() < 10 * sd < 0.01


def test_from_zero_it_is_the_mixture_and_nothing_is_computed():
    track, told = watched()
    x = between(0.0, n=3, track=track)
    torch.testing.assert_close(x, (1 - 4 * NINE).expand(3, 9))
    assert not told


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(), DDIM(0.7)])
def test_a_point_is_the_same_in_any_company(sampler):
    model, shape = network()
    a, b = normals(5, *shape).float(), normals(5, *shape, seed=1).float()

    def draw(pairs: int, shares: Tensor, **options) -> Tensor:
        options = {"grid": grids.uniform(6), "sampler": sampler, "generator": keyed(3), "block": 16} | options
        return interpolate(model, a[:pairs], b[:pairs], 0.6, shares, **options)

    every = draw(5, NINE)
    assert torch.equal(draw(1, NINE), every[:1]) and torch.equal(draw(5, NINE[:3]), every[:, :3])
    torch.testing.assert_close(draw(2, NINE[[8, 0, 4]]), every[:2, [8, 0, 4]], rtol=0, atol=1e-5)
    assert not torch.equal(draw(1, NINE, generator=keyed(4)), every[:1])
    assert len(every.flatten(0, 1).unique(dim=0)) == 45


def test_every_step_of_every_block_is_reported():
    for n, block in ((1, 4), (2, 4), (3, 1)):
        track, told = watched()
        a = normals(n, 1)
        how = {"grid": GRID, "generator": keyed(0), "block": block}
        interpolate(exact(), a, a, 0.3, NINE[:3], track=track, **how)
        assert reports(told) == -(-3 * n // block) * (nearest(GRID, 0.3) + 1)


def test_bits_are_taken_from_one_or_the_other():
    kernel, shares = Binomial(ConstantFraction()), torch.linspace(0, 1, 21).double()
    n, t = 40_000, f64(0.3)
    ends = [torch.full((1, n), end, dtype=torch.float64) for end in (0.0, 1.0)]
    x, y = (kernel.marginal(end, t).sample(Streams(0, rows=range(1))) for end in ends)
    mixed = mix(kernel, x, y, shares, keyed(1))[0].T
    assert torch.equal(mixed[:, 0], x[0]) and torch.equal(mixed[:, -1], y[0])
    assert ((mixed == 0) | (mixed == 1)).all() and (mixed.diff(dim=1) != 0).sum(1).max() == 1
    rates = [kernel.marginal(end, t).mean[0, 0] for end in ends]
    expected = (1 - shares) * rates[0] + shares * rates[1]
    assert ((mixed.mean(0) - expected).abs() < 5 * 0.5 / n**0.5).all()


def test_bits_walk_back():
    """The network knows the data, which are all ones: whatever the mixture, so is x_0."""

    class Ones(torch.nn.Module):
        def forward(self, x, t):
            return torch.full_like(x, 60.0)

    model = Denoiser(Ones(), Binomial(ConstantFraction()))
    a, b = torch.zeros(2, 4), torch.ones(2, 4)
    x = interpolate(model, a, b, 0.5, NINE.float(), grid=grids.uniform(10), generator=keyed(0))
    assert x.shape == (2, 9, 4) and (x == 1).all()
    assert ((interpolate(model, a, b, 0.0, NINE, generator=keyed(0)) == 1).diff(dim=1) >= 0).all()


def test_samples_of_a_shared_state_correlate_as_much_as_it_says():
    """Cov(x_0, x_0') = Var E[x_0 | x_t] = C^2 alpha^2 / S, and each is a sample of the data."""
    kernel = Gaussian(Linear(steps=None))
    model, grid, n = GaussianReverse(kernel, f64(0.0), f64(C)), grids.uniform(12), 20_000
    for t in (1 / 12, 0.25, 0.5, 1.0):
        keep = kernel.schedule.keep(f64(t))
        x = (
            sample_shared(model, (n // 500, 500), 2, t, grid=grid, generator=keyed(0))
            .movedim(1, -1)
            .flatten(0, 1)
        )
        assert ((x.var(0) / C - 1).abs() < 5 * (2 / n) ** 0.5).all()
        expected = keep * C / (keep * C + 1 - keep)
        assert (torch.corrcoef(x.T)[0, 1] - expected).abs() < 5 / n**0.5


def test_the_shared_state_is_that_of_the_samples():
    kernel, grid = Gaussian(Cosine(None)), grids.uniform(5)
    network = GaussianDenoiser(kernel, f64(0.0), f64(C))
    model = Denoiser(network, kernel, X0(), decoder=NormalDecoder(1e-9))
    x = sample_shared(model, (4, 2), 3, 0.2, grid=grid, generator=keyed(7), first=5)
    states = dict(trajectory(model, (4, 2), generator=keyed(7), grid=grid, first=5))
    predicted = model.predict(states[0.2], f64(0.2))
    torch.testing.assert_close(x, predicted[:, None].expand_as(x), rtol=0, atol=1e-5)


def test_shared_samples_are_the_same_in_any_company():
    model, shape = network()

    def draw(states: int, n: int, first: int = 0, **options) -> Tensor:
        options = {"grid": grids.uniform(6), "generator": keyed(1), "block": 8, "t": 0.5} | options
        return sample_shared(model, (states, *shape), n, first=first, **options)

    every = draw(3, 4)
    assert every.shape == (3, 4, 3) and len(every.flatten(0, 1).unique(dim=0)) == 12
    assert torch.equal(draw(1, 4), every[:1])
    for some, there in ((draw(3, 2), every[:, :2]), (draw(2, 4, first=1), every[1:])):
        torch.testing.assert_close(some, there, rtol=0, atol=1e-5)
    track, told = watched()
    draw(3, 4, track=track)
    assert reports(told) == 4 + 2 * 3  # states from t = 1 to 1/2, then two blocks of three steps


def test_the_loop_starts_where_it_is_told():
    grid = grids.uniform(4)
    walk = list(reverse(exact(), normals(2, 1), sampler=DDIM(), grid=grid, generator=keyed(0), t=0.5))
    assert [t for t, _ in walk] == [0.5, 0.25, 0.0] and torch.equal(walk[0][1], normals(2, 1))
    whole = list(reverse(exact(), normals(2, 1), sampler=DDIM(), grid=grid, generator=keyed(0)))
    again = reverse(exact(), whole[2][1], sampler=DDIM(), grid=grid, generator=keyed(0), t=0.5)
    assert torch.equal(list(again)[-1][1], whole[-1][1])
    for t in (0.4, 0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="t="):
            next(reverse(exact(), normals(2, 1), sampler=DDIM(), grid=grid, generator=keyed(0), t=t))


def test_refusals():
    one, how = normals(1, 1), {"generator": keyed(0), "grid": GRID}
    for t in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="t="):
            interpolate(exact(), one, one, t, NINE, **how)
    with pytest.raises(ValueError, match="one shape"):
        interpolate(exact(), one, normals(2, 1), 0.5, NINE, **how)
    for shares in (f64(0.5), f64(0.0, 1.5), f64(-1.0, 0.5), f64(0.0, float("nan"))):
        with pytest.raises(ValueError, match="shares="):
            interpolate(exact(), one, one, 0.5, shares, **how)
    with pytest.raises(ValueError, match="n=0"):
        sample_shared(exact(), (1, 1), 0, 0.5, **how)
    with pytest.raises(ValueError, match="states=0"):
        sample_shared(exact(), (0, 1), 1, 0.5, **how)
    with pytest.raises(ValueError, match="adds no noise"):
        sample_shared(exact(), (1, 1), 2, 0.5, sampler=DDIM(), **how)
    bits = Denoiser(torch.nn.Identity(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="use ancestral"):
        interpolate(bits, one, one, 0.5, NINE, sampler=DDIM(), **how)
    assert sample(exact(), (1, 1), **how).shape == (1, 1)
