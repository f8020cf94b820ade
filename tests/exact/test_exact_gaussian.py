"""Gaussian data: the exact reverse process is known, and so is every term of the bound (O1, O2, O3).

Expectations are Gauss-Hermite sums over the data and the noise, exact for the quadratic terms at hand: no
Monte Carlo, agreement to 1e-10.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from oracles import (
    At,
    Constant,
    GaussianDenoiser,
    GaussianReverse,
    Replay,
    f64,
    normal_entropy,
    normal_kl,
    normals,
    plane,
)
from undiffuse import bounds, terms
from undiffuse.bounds import nelbo
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.objectives import Simple
from undiffuse.parameterizations import (
    X0,
    Eps,
    FixedDecoder,
    Forward,
    Free,
    Interpolated,
    NormalDecoder,
    Posterior,
    V,
)
from undiffuse.random import keyed
from undiffuse.schedules import Betas, ConstantFraction, Cosine, Linear, LogLinear, Schedule, grids

MEAN, VAR = f64(0.3, -1.0, 0.0), f64(0.4, 1.0, 2.5)
CHAINS = {
    "linear T=50": (Linear(1e-3, 0.3, steps=50), grids.uniform(50)),
    "linear strided": (Linear(), grids.strided(1000, 20)),
    "cosine": (Cosine(None), grids.uniform(7)),
    "constant fraction": (ConstantFraction(), grids.uniform(12)),
    "log-linear": (LogLinear(), grids.uniform(5)),
    "one step": (Betas([0.7]), grids.uniform(1)),
    "two steps to nothing": (Betas([0.5, 1.0]), grids.uniform(2)),
}
CHAIN = pytest.mark.parametrize(("schedule", "grid"), CHAINS.values(), ids=CHAINS)


def expected(model: ReverseProcess, grid: Tensor, mean: Tensor = MEAN, var: Tensor = VAR) -> bounds.Nelbo:
    """E over data N(mean, var) and noise of every term of the bound."""
    z, eps, w = plane(len(mean))
    bound = nelbo(model, mean + var.sqrt() * z, grid=grid, generator=Replay(eps))
    return bounds.Nelbo(*(w @ part for part in vars(bound).values()))


def total(bound: bounds.Nelbo) -> float:
    return float(bound.prior + bound.steps.sum() + bound.decode)


def law(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """keep_t, mean and variance of q(x_t), (T, D)."""
    keep = schedule.keep(t)[..., None]
    return keep, keep.sqrt() * MEAN, keep * VAR + 1 - keep


@CHAIN
def test_the_exact_reverse_costs_the_entropy_and_the_missing_end(schedule, grid):
    bound = expected(GaussianReverse(Gaussian(schedule), MEAN, VAR), grid)
    _, m, v = law(schedule, f64(1.0))
    assert total(bound) == pytest.approx(float(normal_entropy(VAR) + normal_kl(m, v)), abs=1e-10)


@CHAIN
def test_every_step_costs_the_information_it_restores(schedule, grid):
    """E KL(q(x_s|x_t,x_0) || q(x_s|x_t)) = I_s - I_t, I_t = I(x_t; x_0); decode: H(x_0) - I_{t_1}."""
    bound = expected(GaussianReverse(Gaussian(schedule), MEAN, VAR), grid)
    keep, m, v = law(schedule, grid)
    information = 0.5 * (v / (1 - keep)).log().sum(1)
    torch.testing.assert_close(bound.steps, information[:-1] - information[1:], rtol=0, atol=1e-10)
    assert bound.prior.item() == pytest.approx((information[-1] + normal_kl(m[-1], v[-1])).item(), abs=1e-10)
    assert bound.decode.item() == pytest.approx((normal_entropy(VAR) - information[0]).item(), abs=1e-10)


class Affine(nn.Module):
    """Two outputs: the exact prediction, and a constant for the variance."""

    def __init__(self, network: nn.Module, raw: float) -> None:
        super().__init__()
        self.network, self.raw = network, raw

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return torch.cat([self.network(x_t, t), torch.full_like(x_t, self.raw)], 1)


@CHAIN
@pytest.mark.parametrize(
    ("variance", "raw"),
    [(Posterior(), None), (Forward(), None), (Interpolated(), 0.3), (Free(), -0.7)],
    ids=lambda v: type(v).__name__,
)
def test_exact_mean_with_another_variance(schedule, grid, variance, raw):
    """.5 [btilde/s^2 - 1 + log(s^2/btilde) + a^2 Var(x_0|x_t)/s^2] a dimension."""
    network = GaussianDenoiser(Gaussian(schedule), MEAN, VAR)
    network = network if raw is None else Affine(network, raw)
    model = Denoiser(network, Gaussian(schedule), X0(), variance)
    found = expected(model, grid).steps
    (keep_s, _, _), (keep_t, _, v_t) = law(schedule, grid[:-1]), law(schedule, grid[1:])
    beta = 1 - keep_t / keep_s
    low = beta * (1 - keep_s) / (1 - keep_t)
    wide = {
        Posterior: low,
        Forward: beta,
        Interpolated: low * (beta / low) ** ((1 + 0.3) / 2),
        Free: beta * math.exp(-0.7),
    }[type(variance)]
    spread = keep_s * beta**2 / (1 - keep_t) ** 2 * (1 - keep_t) * VAR / v_t
    exact = 0.5 * (low / wide - 1 + (wide / low).log() + spread / wide).sum(1)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-10)


def test_best_variances():
    """beta is best for standard normal data, beta-tilde for one point, Free(log(V/beta)) in general."""
    kernel, grid = Gaussian(Linear(1e-2, 0.3, steps=10)), grids.uniform(10)
    for var, best, worse in ((1.0, Forward(), Posterior()), (1e-9, Posterior(), Forward())):
        data = f64(0.0).reshape(1), f64(var).reshape(1)
        network = GaussianDenoiser(kernel, *data)
        exact = expected(GaussianReverse(kernel, *data), grid, *data).steps
        good, bad = (expected(Denoiser(network, kernel, X0(), v), grid, *data).steps for v in (best, worse))
        torch.testing.assert_close(good, exact, rtol=1e-5, atol=1e-10)
        assert (bad > good + 1e-3).all()


@pytest.mark.parametrize("u", [0.05, 0.45, 0.95])
def test_least_error_of_the_noise(u):
    """The simple objective of the exact denoiser is the mean of keep_t C / S_t."""
    kernel, grid = Gaussian(Linear(1e-2, 0.3, steps=10)), grids.uniform(10)

    class Noise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.exact = GaussianDenoiser(kernel, MEAN, VAR)

        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = (c[:, None] for c in kernel.alpha_sigma(t))
            return (x_t - alpha * self.exact(x_t, t)) / sigma

    z, eps, w = plane(3)
    loss = Simple(times=At(u), grid=grid)(
        Denoiser(Noise(), kernel, Eps()), MEAN + VAR.sqrt() * z, Replay(eps)
    )
    keep, _, v = law(kernel.schedule, grid[int(u * 10)])
    assert (w @ loss).item() == pytest.approx((keep * VAR / v).mean().item(), rel=1e-10)


@CHAIN
def test_forward_kernels_on_standard_normal_data_lose_nothing(schedule, grid):
    """O2: p(x_s|x_t) = N(sqrt(1-beta) x_t, beta) has the bound n/2 log(2 pi e); the gain is exactly 0."""
    kernel = Gaussian(schedule)
    zero, one = torch.zeros(3).double(), torch.ones(3).double()
    decoder = NormalDecoder(std=(1 - schedule.keep(grid[0])).sqrt().item())
    model = Denoiser(GaussianDenoiser(kernel, zero, one), kernel, X0(), Forward(), decoder)
    step = model.step(normals(2, 3), grid[-1], grid[0] / 2)
    beta = schedule.beta(grid[0] / 2, grid[-1])
    torch.testing.assert_close(step.mean, (1 - beta).sqrt() * normals(2, 3))
    assert total(expected(model, grid, zero, one)) == pytest.approx(1.5 * math.log(2 * math.pi * math.e))
    z, eps, w = plane(3)
    bound = nelbo(model, z, grid=grid, generator=Replay(eps))
    assert (w @ (terms.null(model, z) - bound.total)).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("var", "gap"), [(0.5, 0.011987), (1.0, 0.0), (2.0, -0.023974)])
def test_eq_12_and_eq_14_of_the_2015_paper(var, gap):
    """They agree for data of unit mean square and differ by a known amount otherwise (O3)."""
    schedule, grid = Betas(1 / torch.linspace(40, 2, 40).double()), grids.uniform(40)
    data = f64(0.0).reshape(1), f64(var).reshape(1)
    exact, keep_1, keep_T = GaussianReverse(Gaussian(schedule), *data), *schedule.keep(grid[[0, -1]])
    bound = expected(exact, grid, *data)
    k, k_14 = (float(b - bound.steps.sum()) for b in (-bound.prior - bound.edge, -bound.entropies))
    assert k - k_14 == pytest.approx(-0.5 * (var - 1) * (1 - keep_1 + keep_T).item())
    assert k - k_14 == pytest.approx(gap, abs=1e-6)
    one = nelbo(exact, normals(5, 1), grid=grid, generator=keyed(0))
    torch.testing.assert_close(one.k, -one.prior - one.steps.sum(1) - one.edge)
    torch.testing.assert_close(one.k_entropies, -one.entropies - one.steps.sum(1))
    fixed = Denoiser(Constant(f64(0.0).view(1)), Gaussian(schedule), X0(), decoder=FixedDecoder())
    last = nelbo(fixed, normals(5, 1), grid=grid, generator=keyed(0))
    torch.testing.assert_close(-last.k, last.total)  # the fixed decoder's bound is K


def test_every_parameterization_says_the_same():
    """One prediction, said as x_0, eps or v, has one bound."""
    kernel, grid = Gaussian(Linear(1e-2, 0.3, steps=10)), grids.uniform(10)
    exact = GaussianDenoiser(kernel, MEAN, VAR)
    reference = expected(Denoiser(exact, kernel, X0()), grid)

    class Says(nn.Module):
        def __init__(self, parameterization) -> None:
            super().__init__()
            self.parameterization = parameterization

        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            return self.parameterization.target(exact(x_t, t), x_t, t, kernel)

    for parameterization in (Eps(), V()):
        found = expected(Denoiser(Says(parameterization), kernel, parameterization), grid)
        torch.testing.assert_close(found.steps, reference.steps)
        assert total(found) == pytest.approx(total(reference))


def test_a_useless_model_pays_for_all_the_signal():
    """x_0-hat = 0 for data at 1: every KL is SNR_s - SNR_t over 2, in every dimension."""
    schedule, grid = Linear(1e-2, 0.3, steps=10), grids.uniform(10)
    model = Denoiser(Constant(torch.zeros(3).double()), Gaussian(schedule), X0())
    bound = nelbo(model, torch.ones(2, 3).double(), grid=grid, generator=Replay(normals(2, 3)))
    snr = schedule.logsnr(grid).exp()
    torch.testing.assert_close(bound.steps[0], 1.5 * (snr[:-1] - snr[1:]))


def test_the_last_draw_is_allowed_for():
    """A density's last term would scatter by sqrt(D / 2) nats; its mean stays."""
    model = GaussianReverse(Gaussian(LogLinear(8, -8)), MEAN, VAR)
    x_0, grid = MEAN.expand(4000, 3), grids.uniform(20)
    found = nelbo(model, x_0, grid=grid, generator=keyed("control")).decode
    x_t = terms.noisy(model, x_0, grid[0], keyed("control", 1))
    plain = -model.decode(x_t, grid[0]).log_prob(x_0).sum(1)
    assert plain.std() == pytest.approx(math.sqrt(3 / 2), rel=0.1)
    assert found.std() < 0.03 * plain.std()
    assert abs(found.mean() - plain.mean()) < 4 * plain.std() / math.sqrt(len(plain))
