"""Laws of the integrator: exact for polynomials, exact noise, one method by many names, what is refused."""

import math
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oracles import GaussianDenoiser, Nothing, Replay, f64, mixture, normals
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, DiscretizedDecoder, Eps, NormalDecoder
from undiffuse.posteriors import Guided
from undiffuse.random import keyed
from undiffuse.samplers import (
    DDIM,
    DEIS,
    Ancestral,
    DPMSolver,
    DPMSolverPP,
    Exponential,
    SASolver,
    UniPC,
    last,
    reverse,
)
from undiffuse.samplers.quadrature import moments, weights
from undiffuse.schedules import ConstantFraction, Cosine, LogLinear, grids

KERNEL, MEANS = Gaussian(LogLinear(8, -16)), f64(-1.0, 0.3, 1.4)[:, None]


def integral(f, z: float) -> float:
    """int_0^1 exp(-z (1 - v)) f(v) dv, by Gauss and Legendre."""
    v, w = np.polynomial.legendre.leggauss(80)
    v = (v + 1) / 2
    return float((w / 2 * np.exp(-z * (1 - v)) * f(v)).sum())


@pytest.mark.parametrize("z", [-9.0, -2.1, -1.9, -1e-3, 0.0, 1e-9, 0.3, 1.999, 2.001, 7.0, 60.0])
def test_weights_are_exact_for_polynomials(z):
    for k, found in enumerate(moments(z, 5)):
        assert found == pytest.approx(integral(lambda v, k=k: v**k, z), rel=1e-12)
    for nodes in ([0.0], [0.0, 1.0], [0.0, -0.7, -2.0], [0.0, 1.0, -1.1, -1.9, -4.0]):
        c = np.random.default_rng(0).normal(size=len(nodes))
        w = weights(nodes, z)
        exact = integral(lambda v, c=c: np.polyval(c, v), z)
        assert np.array(w) @ np.polyval(c, np.array(nodes)) == pytest.approx(exact, rel=1e-9, abs=1e-12)


class Along(nn.Module):
    """A network that gives a function of lambda whatever x is."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x_t, t):
        return torch.full_like(x_t, self.f(float(KERNEL.schedule.logsnr(t[0])) / 2))


def along(f, of: str = "data", **options) -> Denoiser:
    """A model whose x_0, or whose noise, is that function."""
    return Denoiser(Along(f), KERNEL, X0() if of == "data" else Eps(), **options)


IRREGULAR = f64(0.3, 0.45, 0.5, 0.72, 0.8, 1.0)


def walked(sampler, model, x: Tensor, noise: Tensor | list[Tensor] | None = None) -> list[Tensor]:
    replay = Replay(torch.zeros_like(x) if noise is None else noise)
    walk = reverse(model, x, sampler=sampler, grid=IRREGULAR, generator=replay)
    return [x for _, x in islice(walk, len(IRREGULAR))]  # without the last step, which is the decoder's


def exact_step(x: float, t: Tensor, s: Tensor, f, tau: float, of: str) -> float:
    """The step without noise, its integral by quadrature."""
    a, b = (float(KERNEL.schedule.logsnr(when)) / 2 for when in (t, s))
    (alpha_t, sigma_t), (alpha_s, sigma_s) = (map(float, KERNEL.alpha_sigma(when)) for when in (t, s))
    h, c = b - a, 1 + tau**2
    if of == "data":
        return sigma_s / sigma_t * math.exp(-(tau**2) * h) * x + alpha_s * c * h * integral(
            lambda v: f(a + h * v), c * h
        )
    return alpha_s / alpha_t * x - sigma_s * c * h * integral(lambda v: f(a + h * v), -h)


@pytest.mark.parametrize("of", ["data", "noise"])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("corrected", [False, True])
def test_a_step_is_exact_for_polynomials_of_lower_degree(order, tau, of, corrected):
    """Once there are as many predictions as the polynomial takes; with a corrector one degree more."""
    c = np.random.default_rng(order).normal(size=order + corrected)

    def f(place):
        return np.polyval(c, place / 4)

    sampler = Exponential(order, tau, corrector=(order + 1) * corrected, of=of)
    model, x = along(f, of), f64(0.7).reshape(1, 1)
    states = walked(sampler, model, x)
    times = IRREGULAR.flip(0)
    if not corrected:
        for i in range(order - 1, len(times) - 1):
            expected = exact_step(float(states[i]), times[i], times[i + 1], f, tau, of)
            assert float(states[i + 1]) == pytest.approx(expected, rel=1e-9)
        return
    state, seen = sampler.init(), [x]  # what is carried is corrected, what is yielded is not yet
    for t, s in pairwise(times):
        x, state = sampler.step(model, x, t, s, state, Replay(torch.zeros(1, 1).double()))
        seen.append(state.step.exact)
    made = [float(part) for part in seen[1:]]  # the exact part of each step, from the corrected state
    for i in range(order, len(times) - 2):
        begin = made[i] / _linear(times[i], times[i + 1], tau, of)
        before = made[i - 1] / _linear(times[i - 1], times[i], tau, of)
        assert begin == pytest.approx(exact_step(before, times[i - 1], times[i], f, tau, of), rel=1e-8)


def _linear(t: Tensor, s: Tensor, tau: float, of: str) -> float:
    """What a step multiplies x_t by."""
    if of == "noise":
        return float(KERNEL.alpha_sigma(s)[0] / KERNEL.alpha_sigma(t)[0])
    h = float(KERNEL.schedule.logsnr(s) - KERNEL.schedule.logsnr(t)) / 2
    return float(KERNEL.alpha_sigma(s)[1] / KERNEL.alpha_sigma(t)[1]) * math.exp(-(tau**2) * h)


@pytest.mark.parametrize("of", ["data", "noise"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_so_is_a_singlestep(order, of):
    c = np.random.default_rng(order).normal(size=order)

    def f(place):
        return np.polyval(c, place / 4)

    states = walked(Exponential(order, singlestep=True, of=of), along(f, of), f64(0.7).reshape(1, 1))
    for i, (t, s) in enumerate(pairwise(IRREGULAR.flip(0))):
        assert float(states[i + 1]) == pytest.approx(exact_step(float(states[i]), t, s, f, 0.0, of), rel=1e-9)


@pytest.mark.parametrize("corrector", [0, 3])
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 1.7])
def test_the_noise_keeps_the_marginal(tau, corrector):
    """Where x_0 is known, q(x_s | x_0) follows from q(x_t | x_0): mean and variance, at every time."""
    sampler, sure = Exponential(2, tau, corrector), along(lambda _: 0.8)
    unit = torch.eye(8, dtype=torch.float64)[..., None]  # row i has a one at draw i
    alpha, sigma = KERNEL.alpha_sigma(IRREGULAR[-1])
    begin = unit[0] * sigma + alpha * 0.8
    found = walked(sampler, sure, begin, list(unit[1:]))
    for t, x in zip(IRREGULAR.flip(0), found, strict=True):
        alpha, sigma = (float(c) for c in KERNEL.alpha_sigma(t))
        mean = x[-1]  # the row of no noise
        assert float(mean) == pytest.approx(alpha * 0.8, rel=1e-9)
        assert float((x[:-1] - mean).square().sum()) == pytest.approx(sigma**2, rel=1e-9)


def test_the_noise_where_noise_is_predicted():
    """Variance alpha_s^2 tau^2 (rho_t^2 - rho_s^2), rho = sigma / alpha, by any order."""
    t, s = IRREGULAR[4], IRREGULAR[3]
    one, zero = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    for tau in (0.4, 1.0):
        moved = [
            Exponential(3, tau, of="noise").step(along(lambda _: 0.0, "noise"), zero, t, s, None, Replay(z))[
                0
            ]
            for z in (zero, one)
        ]
        (a_t, s_t), (a_s, s_s) = KERNEL.alpha_sigma(t), KERNEL.alpha_sigma(s)
        var = a_s**2 * tau**2 * ((s_t / a_t) ** 2 - (s_s / a_s) ** 2)
        assert float(moved[1] - moved[0]) ** 2 == pytest.approx(float(var), rel=1e-9)


SAME = [
    (DDIM(), Exponential(1)),
    (DDIM(), Exponential(1, of="noise")),
    (DDIM(), DPMSolver(1)),
    (DDIM(1.0), Exponential(1, tau=1)),
    (Exponential(3), Exponential(3, corrector=0)),
    (UniPC(1), SASolver(1, tau=0, corrector=2)),
    (DPMSolverPP(3, tau=1), Exponential(3, tau=1)),
    (DEIS(2), Exponential(2, of="noise")),
    (DPMSolver(3), Exponential(3, singlestep=True, of="noise")),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_settings_that_are_the_same_method(a, b):
    model, x, noise = mixture(KERNEL, MEANS, 0.2), normals(9, 1), normals(9, 1, seed=3)
    for one, other in zip(walked(a, model, x, noise), walked(b, model, x, noise), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_all_the_noise_is_ancestral_sampling():
    """And its last step is the decoder's."""
    kernel = Gaussian(LogLinear(8, -6))
    model = Denoiser(GaussianDenoiser(kernel, f64(0.3), f64(0.4)), kernel, X0(), decoder=NormalDecoder(0.2))
    ends = []
    for sampler in (Ancestral(), DDIM(1.0), Exponential(1, tau=1)):
        walk = reverse(model, normals(7, 1), sampler=sampler, grid=grids.uniform(9), generator=keyed(0))
        ends.append(last(walk)[0])
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ends[2], ends[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tau", [0.0, 0.6])
@pytest.mark.parametrize("schedule", [Cosine(None), ConstantFraction()])
def test_a_chain_that_erases_everything(schedule, tau):
    """lambda is infinite at t = 1: that step is of first order, and no polynomial passes through it."""
    kernel = Gaussian(schedule)
    for sampler in (
        Exponential(4, tau),
        Exponential(3, tau, of="noise"),
        Exponential(3, tau, corrector=4),
        *([] if tau else [Exponential(3, singlestep=True), DPMSolver(2), DDIM(0.5)]),
    ):
        sure = Denoiser(GaussianDenoiser(kernel, f64(0.8), f64(0.0)), kernel, X0())
        x_1 = normals(9, 1)
        walk = reverse(sure, x_1, sampler=sampler, grid=grids.uniform(6), generator=keyed(0))
        for t, x in islice(walk, 6):
            alpha, sigma = kernel.alpha_sigma(f64(t))
            if sampler.deterministic:  # the noise stays what it was
                torch.testing.assert_close(x, alpha * 0.8 + sigma * x_1, rtol=1e-6, atol=1e-6)
            assert ((x - alpha * 0.8).abs() <= 6 * sigma).all()  # as far as noise goes


def test_float32_follows_float64():
    model, grid = mixture(Gaussian(LogLinear(12, -7)), MEANS, 0.2), grids.uniform(30)
    for sampler in (UniPC(3), DEIS(3), DPMSolver(3)):
        ends = []
        for x in (normals(16, 1), normals(16, 1).float()):
            walk = reverse(model, x, sampler=sampler, grid=grid, generator=keyed(0))
            ends.append(list(islice(walk, 30))[-1][1])
        assert ends[1].dtype == torch.float32
        torch.testing.assert_close(ends[1].double(), ends[0], rtol=0, atol=2e-4)


def test_clipping_acts_on_predictions():
    """Along a chain that predicts values out of range; x itself is not clipped, and singlestep calls are."""
    x = f64(5.0).reshape(1, 1)
    for sampler in (Exponential(1, clip="static"), DPMSolver(2, clip="static")):
        clipped = walked(sampler, along(lambda _: 3.0, decoder=DiscretizedDecoder(256)), x)
        within = walked(type(sampler)(sampler.predictor), along(lambda _: 1.0), x)
        for one, other in zip(clipped, within, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_dynamic_clipping():
    """To the quantile of each example, and scaled back: not where all values are in range."""
    value = torch.linspace(-4, 2, 1001).double().expand(2, -1) * f64(1.0, 0.2)[:, None]
    model = Denoiser(Itself(), KERNEL, X0(), decoder=DiscretizedDecoder(256))
    found = DDIM(clip="dynamic").predict(model, value, f64(0.5))
    end = value[0].abs().quantile(0.995)
    torch.testing.assert_close(found[0], value[0].clamp(-end, end) / end)
    assert torch.equal(found[1], value[1]) and found.abs().max() == 1


class Itself(nn.Module):
    """Predicts x_t."""

    def forward(self, x_t, t):
        return x_t


REFUSED = [
    (lambda: Exponential(0), "order=0: a solver has order 1 to 4"),
    (lambda: Exponential(5), "order=5: a solver has order 1 to 4"),
    (lambda: DPMSolver(4), "order=4: a singlestep solver has order 1 to 3"),
    (lambda: Exponential(2, -0.1), "tau=-0.1"),
    (lambda: Exponential(2, math.nan), "tau=nan"),
    (lambda: Exponential(2, corrector=1), "corrector=1: its order is 2 to 5"),
    (lambda: Exponential(2, corrector=6), "corrector=6: its order is 2 to 5"),
    (lambda: Exponential(2, 1.0, singlestep=True), "leave corrector and tau at 0"),
    (lambda: DPMSolverPP(2, 0.5, singlestep=True), "leave corrector and tau at 0"),
    (lambda: Exponential(of="score"), "of='score': one of data, noise"),
    (lambda: DDIM(clip="hard"), "clip='hard': one of none, static, dynamic"),
    (lambda: DDIM(1.1), "eta=1.1"),
]


@pytest.mark.parametrize(("make", "said"), REFUSED)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_so_are_models_it_is_not_for():
    bits = Denoiser(Nothing(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="UniPC needs a Gaussian kernel, not Binomial; use ancestral"):
        UniPC().check(bits)
    density, levels = along(abs), along(abs, decoder=DiscretizedDecoder(256))
    with pytest.raises(ValueError, match="clip=static: only data with levels"):
        Exponential(clip="static").check(Guided(density, density, 2.0))
    Exponential(clip="static").check(Guided(levels, levels, 2.0))
