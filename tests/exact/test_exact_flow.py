"""Densities by the probability flow against closed forms: normal data, mixtures, levels; and their errors."""

import math

import pytest
import torch
from torch import Tensor

from oracles import Nothing, f64, normals
from undiffuse.axes import Axes
from undiffuse.bases import GaussianBase, MixtureBase, NumberBase
from undiffuse.flow import dequantized, grid_of, log_prob, log_probs, transport
from undiffuse.flow.density import integral
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import MLP
from undiffuse.posteriors import Guided, Matched, Noisy
from undiffuse.random import Streams, keyed
from undiffuse.samplers import DDIM, Exponential, UniPC
from undiffuse.schedules import ConstantFraction, Cosine, LogLinear
from undiffuse.student import student

KERNEL = Gaussian(LogLinear(10, -8))
GRID = grid_of(KERNEL.schedule, 1e-9, 50)


def blurred(t: Tensor, kernel: Gaussian = KERNEL) -> float:
    """The variance of the noise in x_t / alpha_t."""
    alpha, sigma = kernel.alpha_sigma(t)
    return float((sigma / alpha) ** 2)


def on(base: NumberBase, kernel: Gaussian = KERNEL) -> Denoiser:
    """The exact model of a density, its prior too."""
    return Denoiser.on(base, Nothing(), kernel, learned=False)


def normal(mean: Tensor, cov: Tensor) -> GaussianBase:
    values, vectors = torch.linalg.eigh(cov)
    return GaussianBase(mean, values, Axes.whole(vectors))


def density(base: GaussianBase, x: Tensor, noise: float) -> Tensor:
    """log p of normal data with noise of this variance."""
    axes = base.axes.dense(base.shape, base.var)
    cov = axes @ (base.var + noise).diag() @ axes.mT
    return torch.distributions.MultivariateNormal(base.mean, cov).log_prob(x)


def eight(d: int, var: float) -> MixtureBase:
    """Eight normal densities, with the normal one of their moments, which x_1 is drawn from."""
    means = 0.6 * torch.randn(8, d, generator=keyed("means", d), dtype=torch.float64)
    away, unit = means - means.mean(0), torch.eye(d, dtype=torch.float64)
    beside = normal(means.mean(0), away.mT @ away / 8 + var * unit)
    return MixtureBase(torch.zeros(8), means, torch.full((8, d), var), unit.expand(8, d, d), beside)


def draws(d: int, n: int) -> Tensor:
    """Examples of eight, of width 0.5."""
    which = torch.randint(8, (n,), generator=keyed("draws"))
    return eight(d, 0.25).means[which] + 0.5 * normals(n, d)


def normal_of(d: int) -> tuple[GaussianBase, Tensor]:
    """d correlated values of very different widths, and data."""
    axes = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=keyed("cov", d)))[0]
    var = torch.logspace(-1.3, 0.3, d).double()
    base = GaussianBase(torch.linspace(-1, 1, d).double(), var, Axes.whole(axes))
    return base, base.mean + (normals(40, d) * var.sqrt()) @ axes.mT


@pytest.mark.parametrize("d", [2, 64])
def test_normal_data(d):
    base, x = normal_of(d)
    found = log_prob(on(base), x, grid=GRID, generator=keyed(0), signs=0)
    away = (found.value - density(base, x, blurred(GRID[0]))).abs()
    assert len(GRID) + len(GRID[::2]) <= 50
    assert away.mean() < 1e-4 * d and (away <= found.error + 1e-5 * d).all()
    assert (found.se == 0).all()


@pytest.mark.parametrize("d", [2, 16])
def test_a_mixture(d):
    x = draws(d, 60)
    found = log_prob(on(eight(d, 0.25)), x, grid=GRID, generator=keyed(0))
    away = (found.value - eight(d, 0.25 + blurred(GRID[0])).log_prob(x)).abs()
    assert away.mean() < 1e-4 * d and (away <= found.error + 2e-4).double().mean() > 0.9


@pytest.mark.parametrize("calls", [50, 98])
def test_the_stated_error_covers_where_the_flow_passes_a_boundary(calls):
    which = torch.randint(8, (100,), generator=keyed("draws"))
    x = eight(16, 0.09).means[which] + 0.3 * normals(100, 16)
    found = log_prob(on(eight(16, 0.09)), x, grid=grid_of(KERNEL.schedule, 1e-9, calls), generator=keyed(0))
    away = (found.value - eight(16, 0.09 + blurred(GRID[0])).log_prob(x)).abs()
    assert away.mean() < found.error.mean() < 100 * away.mean()
    assert (away <= found.error + 2e-5).double().mean() > 0.75


def test_more_calls_are_nearer_and_the_solver_matters():
    model, x, errors = on(eight(2, 0.25)), draws(2, 30), []
    exact = eight(2, 0.25 + blurred(GRID[0])).log_prob(x)
    for calls in (25, 50, 100):
        grid = grid_of(KERNEL.schedule, 1e-9, calls)
        found = log_prob(model, x, grid=grid, generator=keyed(0))
        errors.append(float((found.value - exact).abs().mean()))
    assert errors[0] > 10 * errors[1] > 20 * errors[2]
    first = log_prob(model, x, grid=GRID, generator=keyed(0), solver=DDIM())
    assert (first.value - exact).abs().mean() > 100 * errors[1]


def test_signs_are_unbiased_and_their_error_is_what_it_says():
    base, x = normal_of(8)
    model = on(base)
    exact = log_prob(model, x[:20], grid=GRID[::4], generator=keyed(0)).value
    found = log_prob(model, x[:20].repeat(50, 1), grid=GRID[::4], generator=keyed(1), signs=8)
    z = (found.value.view(50, 20) - exact).flatten()
    assert z.abs().max() > 0.01 and abs(float(z.mean())) < 4 * float(z.std()) / z.numel() ** 0.5
    told = float((found.se / student(8)).square().mean().sqrt())
    assert told == pytest.approx(float(z.std()), rel=0.15)
    assert 0.93 < float((z.abs() <= 2 * found.se).double().mean()) < 0.98


def test_a_chain_that_erases_everything():
    """Its first step comes from an infinite lambda, and the integral has no lower end."""
    kernel = Gaussian(Cosine(None))
    base = normal(f64(0.3, -0.2), torch.tensor([[0.6, 0.2], [0.2, 0.9]]).double())
    x, grid = base.mean + normals(30, 2), grid_of(kernel.schedule, 2e-3, 60)
    assert kernel.schedule.logsnr(grid[-1]) == -torch.inf
    found = log_prob(on(base, kernel), x, grid=grid, generator=keyed(0))
    assert (found.value - density(base, x, blurred(grid[0], kernel))).abs().mean() < 5e-3


def test_a_posterior_has_a_density_where_its_predictions_have_gradients():
    model = on(normal_of(2)[0])
    product = Matched(model, Noisy(f64(0.9, 0.0), 0.5))
    with pytest.raises(ValueError, match="Matched: predictions without a gradient"):
        log_prob(product, normals(3, 2), grid=GRID, generator=keyed(0))
    guided = Guided(model, model, 1.0)
    x = normals(5, 2)
    same = [
        log_prob(each, x, grid=GRID, generator=keyed(0)).value
        for each in (guided, Guided(guided, model, 1.0))
    ]
    torch.testing.assert_close(same[0], same[1])


def test_it_can_be_differentiated():
    base, x = normal_of(3)
    x = x[:6].requires_grad_()
    found = log_prob(on(base), x, grid=GRID, generator=keyed(0)).value
    (slope,) = torch.autograd.grad(found.sum(), x)
    (exact,) = torch.autograd.grad(density(base, x, blurred(GRID[0])).sum(), x)
    torch.testing.assert_close(slope, exact, rtol=2e-3, atol=2e-3)


def test_there_and_back():
    model, x = on(eight(2, 0.25)), draws(2, 20)
    latent = transport(model, x, GRID)
    back = transport(model, latent, GRID.flip(0))
    assert (back - x).abs().max() < 2e-3 and (latent - x).abs().mean() > 0.1
    assert (transport(model, transport(model, x, GRID[::4]), GRID[::4].flip(0)) - x).abs().max() > 2e-3


def test_the_integral():
    """Exact for polynomials of degree five at any places, and for what rises like alpha^2 from -infinity."""
    places = torch.tensor([-2.0, -1.7, -0.9, 0.1, 0.4, 1.3, 1.9, 2.5]).double()
    value = [(float(p), f64(1.0, -2.0) * (p**5 - p**2 + 3)) for p in places]

    def whole(p):
        return p**6 / 6 - p**3 / 3 + 3 * p

    exact = f64(1.0, -2.0) * (whole(places[-1]) - whole(places[0]))
    torch.testing.assert_close(integral(value[::-1]), exact, rtol=1e-12, atol=1e-12)
    rising = [(-math.inf, f64(0.0)), *((p, f64(math.exp(2 * p))) for p in torch.linspace(-3, 1, 60).tolist())]
    assert float(integral(rising)) == pytest.approx(math.exp(2) / 2, rel=1e-6)


HALF = 0.1  # of a level


def levels(n: int) -> tuple[Denoiser, Tensor, Tensor]:
    """A normal density of one value, its levels, and their log-probabilities."""
    kernel = Gaussian(LogLinear(6, -14))
    model = on(GaussianBase(f64(0.2).reshape(1), f64(0.3).reshape(1)), kernel)
    x = 2 * HALF * torch.arange(-4, 5).double()[:, None]
    grid = grid_of(kernel.schedule, 1e-9, 50)
    law = torch.distributions.Normal(0.2, math.sqrt(0.3 + blurred(grid[0], kernel)))
    exact = (law.cdf(x + HALF) - law.cdf(x - HALF)).log()[:, 0]
    return model, x.repeat_interleave(n, 0), exact


@pytest.mark.parametrize("kind", ["uniform", "truncated"])
def test_noise_within_a_level(kind):
    """Its density is the one that is told: E 1 / q is the width, and nothing lies outside."""
    x = torch.zeros(40_000, 1).double()
    y, log_q = dequantized(x, kind, HALF, 0.05, Streams(0, rows=range(len(x))))
    assert y.abs().max() <= HALF
    volume = (-log_q).exp()
    assert abs(float(volume.mean()) / (2 * HALF) - 1) < 4 * float(volume.std()) / 2 / HALF / 200 + 1e-9
    assert (float(y.std()) < 0.045) == (kind == "truncated")


@pytest.mark.parametrize("kind", ["uniform", "truncated"])
def test_levels_are_bounded_from_below_and_many_draws_reach_them(kind):
    model, x, exact = levels(200)
    grid = grid_of(model.kernel.schedule, 1e-9, 50)
    gaps = []
    for samples in (1, 8):
        how = {"grid": grid, "half": HALF, "dequantize": kind, "samples": samples, "seed": 3}
        found = log_probs(model, x, **how).value.view(9, 200)
        gap, se = exact - found.mean(1), found.std(1) / 200**0.5
        assert (gap > -4 * se - 2e-4).all()
        gaps.append(float(gap.mean()))
    assert gaps[0] > 1e-3 and gaps[1] < gaps[0] / 4


def test_a_row_does_not_depend_on_the_others():
    torch.manual_seed(0)
    network = MLP((3,), hidden=16, layers=2)
    torch.nn.init.normal_(network.last.weight, std=0.2)
    model, data = Denoiser(network, KERNEL).eval(), normals(20, 3).float()
    for signs in (0, 2):
        how = {"grid": GRID[::4], "seed": 1, "signs": signs, "block": 8}
        every = log_probs(model, data, **how)
        some = log_probs(model, data[:5], **how)
        for a, b in zip(every, some, strict=True):
            assert torch.equal(a[:5], b) and a.dtype == torch.float64
    noisy = {"grid": GRID[::4], "half": 0.1, "samples": 2, "block": 8}
    assert torch.equal(log_probs(model, data[:3], **noisy).value, log_probs(model, data, **noisy).value[:3])


REFUSED = [
    ({"solver": Exponential(2, tau=1)}, "Exponential: a flow has no noise; use unipc"),
    ({"grid": GRID[:4]}, "a grid rises from above 0 to exactly 1"),
    ({"grid": GRID[-3:]}, "grid: 3 times; an odd number from 5 on"),
    ({"grid": GRID[-6:]}, "grid: 6 times; an odd number from 5 on"),
    ({"signs": 1}, "signs=1: two at least"),
    ({"signs": -2}, "signs=-2: two at least"),
]


@pytest.mark.parametrize(("how", "said"), REFUSED)
def test_what_gives_no_density_is_refused(how, said):
    base, x = normal_of(2)
    model = on(base)
    with pytest.raises(ValueError, match=said):
        log_prob(model, x, **({"grid": GRID, "generator": keyed(0)} | how))


def test_so_is_what_gives_no_likelihood():
    base, x = normal_of(2)
    model = on(base)
    for how, said in (
        ({"samples": 0, "half": 0.1}, "samples=0: at least one draw"),
        ({"samples": 2}, "samples=2: continuous data have no noise"),
        ({"dequantize": "normal", "half": 0.1}, "dequantize='normal': one of truncated, uniform"),
    ):
        with pytest.raises(ValueError, match=said):
            log_probs(model, x, grid=GRID, **how)
    with pytest.raises(ValueError, match="calls=7: at least 8"):
        grid_of(KERNEL.schedule, 1e-3, 7)
    bits = Denoiser(Nothing(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="a Binomial kernel is of symbols, between which nothing flows"):
        transport(bits, x, GRID, UniPC(2))
