"""Laws of kernels: four distributions of one and the same Markov chain."""

import math
from itertools import pairwise

import pytest
import torch
from examples import GAUSSIAN as GAUSSIANS
from examples import KERNELS, KINDS, each

from oracles import f64, normals
from undiffuse.distributions import Normal, Uniform
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian, Universal
from undiffuse.random import keyed
from undiffuse.schedules import Betas, ConstantFraction, Learned, LogLinear

EVERY = pytest.mark.parametrize("kernel", **each(KERNELS))
MARKOV = pytest.mark.parametrize(  # of steps back that are uniform, only the moments are those of Bayes
    "kernel", **each({name: parts for name, parts in KERNELS.items() if name != "universal"})
)
GAUSSIAN = pytest.mark.parametrize("schedule", **each(KINDS))
AFFINE = pytest.mark.parametrize("kernel", **each(GAUSSIANS | {"binomial": KERNELS["binomial"]}))
DISCRETE = pytest.mark.parametrize(
    "kernel",
    **each({name: parts for name, parts in KERNELS.items() if name not in ("gaussian", "universal")}),
)


def times(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Times s < t, (rows,) each: near one another, far apart, at both ends, then anywhere."""
    near = f64(0.02, 0.021, 0.02, 0.98, 0.979, 0.98, 0.5, 0.501).view(4, 2)
    low = 0.02 + 0.95 * torch.rand(rows - 4, generator=keyed("times"), dtype=torch.float64)
    share = torch.rand(rows - 4, generator=keyed("shares"), dtype=torch.float64)
    anywhere = torch.stack([low, low + 1e-3 + (0.979 - low) * share], 1)
    return torch.cat([near, anywhere]).unbind(1)


def data(kernel, rows: int = 6) -> torch.Tensor:
    """Something the kernel can destroy, (rows, 3)."""
    if kernel.symbols is not None:
        return torch.arange(3 * rows).view(rows, 3).double() * 5 % kernel.symbols
    return kernel.marginal(normals(rows, 3), f64(1e-6)).sample(keyed("data"))


@MARKOV
def test_bridge_is_bayes(kernel):
    """q(x_s | x_0) q(x_t | x_s) / q(x_t | x_0) = q(x_s | x_t, x_0), at draws of all three."""
    (s, t), x_0 = times(300), data(kernel, 300)
    x_s = kernel.marginal(x_0, s).sample(keyed("s"))
    x_t = kernel.marginal(x_0, t).sample(keyed("t"))
    joint = kernel.marginal(x_0, s).log_prob(x_s) + kernel.transition(x_s, s, t).log_prob(x_t)
    bayes = joint - kernel.marginal(x_0, t).log_prob(x_t)
    bridge = kernel.bridge(x_0, x_t, s, t).log_prob(x_s)
    possible = joint > -500  # draws of x_s and x_t apart may not go together
    torch.testing.assert_close(bridge[possible], bayes[possible], rtol=1e-10, atol=1e-8)
    assert (bridge[~possible] < -500).all()


@AFFINE
def test_means_compose(kernel):
    """The mean of a transition is affine in x_s, so marginals compose (Chapman-Kolmogorov)."""
    (s, t), x_0 = times(100), data(kernel, 100)
    hop = kernel.transition(kernel.marginal(x_0, s).mean, s, t).mean
    torch.testing.assert_close(hop, kernel.marginal(x_0, t).mean, rtol=1e-11, atol=1e-13)


@EVERY
def test_every_time_may_be_one_or_one_a_row(kernel):
    x_0, x_t = data(kernel), data(kernel).flip(0) if kernel.symbols else normals(6, 3, seed=1)
    if not kernel.reversible:
        x_t = x_0  # which a mask chain could have left
    s, t = torch.linspace(0.1, 0.4, 6).double(), torch.linspace(0.5, 1.0, 6).double()

    def rows(law):
        return [law(x_0[i : i + 1], x_t[i : i + 1], s[i], t[i]).mean for i in range(6)]

    for law in (
        lambda x, y, s, t: kernel.marginal(x, t),
        lambda x, y, s, t: kernel.transition(x, s, t),
        lambda x, y, s, t: kernel.bridge(x, y, s, t),
    ):
        torch.testing.assert_close(law(x_0, x_t, s, t).mean, torch.cat(rows(law)), rtol=1e-14, atol=0)


@EVERY
def test_prior_forgets_the_data_and_the_end_is_near_it(kernel):
    x_0 = data(kernel)
    prior, again = kernel.prior(x_0), kernel.prior(x_0.flip(0))
    assert prior.mean.shape == x_0.shape
    assert torch.equal(prior.kl(again), torch.zeros_like(x_0))
    gaps = [kernel.marginal(x_0, f64(t)).kl(prior).sum() for t in (0.05, 0.3, 0.7, 1.0)]
    assert all(a > b for a, b in pairwise(gaps)) and gaps[-1] >= -1e-12


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_and_shape_of_the_data(kernel, dtype):
    x = torch.zeros(4, 2, 3, dtype=dtype)
    for p in (
        kernel.marginal(x, f64(0.5)),
        kernel.transition(x, f64(0.2), f64(0.5)),
        kernel.bridge(x, x, torch.full((4,), 0.2).double(), f64(0.5)),
        kernel.prior(x),
    ):
        draw = p.sample(keyed("any"))
        assert draw.dtype == dtype and draw.shape == x.shape and p.entropy().shape == x.shape
        assert isinstance(p, Uniform) or p.kl(p).shape == x.shape


@GAUSSIAN
def test_gaussian_variances_compose(schedule):
    kernel, (s, t), x = Gaussian(schedule), times(100), torch.ones(100, 1).double()
    hop = kernel.transition(x, s, t)
    var = hop.mean.square() * kernel.marginal(x, s).var + hop.var
    torch.testing.assert_close(var, kernel.marginal(x, t).var, rtol=1e-11, atol=0)


@GAUSSIAN
def test_gaussian_marginal_is_the_textbook_one(schedule):
    kernel, x, t = Gaussian(schedule), normals(5, 2), f64(0.1, 0.3, 0.5, 0.7, 1.0)
    keep = schedule.keep(t)[:, None]
    p = kernel.marginal(x, t)
    torch.testing.assert_close(p.mean, keep.sqrt() * x)
    torch.testing.assert_close(p.var, 1 - keep)
    alpha, sigma = kernel.alpha_sigma(t)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(5).double())
    assert isinstance(kernel.prior(x), Normal) and kernel.prior(x).var == 1


@GAUSSIAN
def test_gaussian_bridge_is_ddpm_equation_7(schedule):
    kernel, (s, t) = Gaussian(schedule), f64(0.3, 0.6)
    keep_s, keep_t = schedule.keep(s), schedule.keep(t)
    a_t, b_t = keep_t / keep_s, 1 - keep_t / keep_s
    c = kernel.coefficients(s, t)
    torch.testing.assert_close(c.a, keep_s.sqrt() * b_t / (1 - keep_t))
    torch.testing.assert_close(c.b, a_t.sqrt() * (1 - keep_s) / (1 - keep_t))
    torch.testing.assert_close(c.var, (1 - keep_s) / (1 - keep_t) * b_t)
    torch.testing.assert_close(c.beta, b_t)


@GAUSSIAN
def test_universal_moments_are_the_gaussian_ones(schedule):
    """Of the bridge, its draws and a model's step; marginals and prior are normal."""
    one, other, x = Universal(schedule), Gaussian(schedule), normals(4, 3)
    s, t = f64(0.3), f64(0.6)
    bridge, normal = one.bridge(x, normals(4, 3, seed=1), s, t), other.bridge(x, normals(4, 3, seed=1), s, t)
    assert isinstance(bridge, Uniform) and torch.equal(bridge.mean, normal.mean)
    torch.testing.assert_close(bridge.width.square() / 12, normal.var)
    draws = Uniform(bridge.loc.expand(20_000, 4, 3), bridge.width).sample(keyed("bridge"))
    assert ((draws - bridge.mean).abs() <= bridge.width / 2).all()
    error = (draws.var(0) / normal.var - 1).abs().max()
    assert error < 5 * math.sqrt(0.8 / 20_000)  # the kurtosis of a uniform number is 1.8
    step = one.around(x, 3 * normal.var, s, t)
    torch.testing.assert_close(
        step.var + step.width.square() / 12, 3 * normal.var.expand(()), rtol=2e-6, atol=0
    )
    assert torch.equal(one.marginal(x, t).mean, other.marginal(x, t).mean)


@GAUSSIAN
def test_gaussian_bridge_from_the_data_itself(schedule):
    if isinstance(schedule, LogLinear | Learned):  # its data end keeps a little noise
        return
    c = Gaussian(schedule).coefficients(f64(0.0), f64(0.25, 1.0))
    torch.testing.assert_close(c.a, f64(1.0, 1.0))
    assert torch.equal(c.b, f64(0.0, 0.0)) and torch.equal(c.var, f64(0.0, 0.0))
    p = Gaussian(schedule).marginal(normals(2, 2), f64(0.0))
    assert torch.equal(p.mean, normals(2, 2)) and (p.var == 0).all()


@pytest.mark.parametrize("schedule", [ConstantFraction(), Betas([0.2, 1.0])])
def test_a_chain_that_erases_everything(schedule):
    kernel, x, one = Gaussian(schedule), normals(4, 2), f64(1.0)
    assert (kernel.marginal(x, one).kl(kernel.prior(x)) == 0).all()
    assert (kernel.transition(x, f64(0.5), one).mean == 0).all()
    bridge = kernel.bridge(x, 100 * x, f64(0.5), one)  # x_1 says nothing any more
    torch.testing.assert_close(bridge.mean, kernel.marginal(x, f64(0.5)).mean)
    torch.testing.assert_close(bridge.var, kernel.marginal(x, f64(0.5)).var)


def test_tiny_steps_keep_their_digits():
    """1 - keep would lose ten digits here; the log-SNR loses none."""
    kernel = Gaussian(Betas([1e-11, 2e-11, 0.5]))
    c = kernel.coefficients(f64(1 / 3), f64(2 / 3))
    assert c.beta.item() == pytest.approx(2e-11, rel=1e-12, abs=0)
    assert c.var.item() == pytest.approx(2e-11 * 1e-11 / 3e-11, rel=1e-9, abs=0)
    assert c.a.item() == pytest.approx(2 / 3, rel=1e-9)
    assert math.isclose(c.b.item(), 1 / 3, rel_tol=1e-9)


def states(kernel, rows: int) -> torch.Tensor:
    """Every state, in all elements of as many rows: (states, rows, 3)."""
    count = max(kernel.symbols, kernel.channels)
    return torch.arange(count).double()[:, None, None].expand(-1, rows, 3)


@DISCRETE
def test_symbols_compose(kernel):
    """q(x_t | x_0) = sum over x_s of q(x_s | x_0) q(x_t | x_s) (Chapman-Kolmogorov)."""
    (s, t), x_0 = times(50), data(kernel, 50)
    for x_t in states(kernel, 50):
        hops = [
            kernel.marginal(x_0, s).log_prob(x_s) + kernel.transition(x_s, s, t).log_prob(x_t)
            for x_s in states(kernel, 50)
        ]
        direct = kernel.marginal(x_0, t).log_prob(x_t)
        torch.testing.assert_close(torch.stack(hops).logsumexp(0).exp(), direct.exp(), rtol=1e-10, atol=1e-14)


@DISCRETE
def test_the_bridge_to_a_soft_prediction_is_a_mixture(kernel):
    (s, t), n = times(50), kernel.symbols
    soft = torch.softmax(normals(50, 3, n), -1)
    x_t = data(kernel, 50) if kernel.reversible else torch.full((50, 3), float(n)).double()  # all masked
    given_soft = (
        soft[..., 1] if kernel.channels == 1 else torch.nn.functional.pad(soft, (0, kernel.channels - n))
    )
    found = kernel.bridge(given_soft, x_t, s, t)
    for x_s in states(kernel, 50):
        parts = [
            soft[..., k] * kernel.bridge(x_0, x_t, s, t).log_prob(x_s).exp()
            for k, x_0 in enumerate(states(kernel, 50)[:n])
        ]
        torch.testing.assert_close(found.log_prob(x_s).exp(), sum(parts), rtol=1e-10, atol=1e-14)


@DISCRETE
def test_detailed_balance(kernel):
    """pi(x) T(y | x) = pi(y) T(x | y), which makes the fixed last step of the 2015 bound valid."""
    if not kernel.reversible:
        return
    s, t = times(50)
    for x in states(kernel, 50):
        for y in states(kernel, 50):
            prior = kernel.prior(x)
            there = prior.log_prob(x) + kernel.transition(x, s, t).log_prob(y)
            back = prior.log_prob(y) + kernel.transition(y, s, t).log_prob(x)
            torch.testing.assert_close(there, back, rtol=1e-11, atol=1e-12)


@DISCRETE
def test_bits_that_are_erased(kernel):
    if kernel.schedule.keep(f64(1.0)) > 0:
        return
    x, one, s = data(kernel), f64(1.0), f64(0.5)
    prior = kernel.prior(x)
    assert kernel.marginal(x, one).kl(prior).abs().max() < 1e-15
    x_1 = prior.sample(keyed(0))
    bridge = kernel.bridge(x, x_1, s, one)  # x_1 says nothing any more
    assert bridge.kl(kernel.marginal(x, s)).abs().max() < 1e-14


def test_bits_keep_their_digits():
    kernel = Binomial(Betas([1e-11, 2e-11, 0.5]), 0.2)
    p = kernel.transition(f64(0.0, 1.0)[:, None], f64(1 / 3), f64(2 / 3))
    assert p.one[0].item() == pytest.approx(2e-11 * 0.2, rel=1e-12, abs=0)
    assert p.zero[1].item() == pytest.approx(2e-11 * 0.8, rel=1e-12, abs=0)


def test_bits_keep_their_digits_in_float32():
    """The least likely bits of a long chain: nothing is lost to 1 - p."""
    kernel, s, t = Binomial(ConstantFraction(), 0.2), f64(1 / 2000), f64(2 / 2000)
    x_0, x_t = (torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
    fine, rough = (kernel.bridge(x_0.to(d), x_t.to(d), s, t) for d in (torch.float64, torch.float32))
    for a, b in ((fine.one, rough.one), (fine.zero, rough.zero)):
        torch.testing.assert_close(b.double(), a, rtol=3e-7, atol=0)
    assert fine.zero.min() < 1e-6 and fine.one.min() < 1e-6


@pytest.mark.parametrize("p0", [0.0, 1.0, -0.1, math.nan, [0.5, 1.5]])
def test_the_share_of_ones_lies_between(p0):
    with pytest.raises(ValueError, match="p0="):
        Binomial(ConstantFraction(), p0)


def test_what_symbols_cannot_be():
    with pytest.raises(ValueError, match="symbols=1"):
        Categorical(ConstantFraction(), 1)
    with pytest.raises(ValueError, match="every symbol masked"):
        Absorbing(LogLinear(), 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_masked_is_known(dtype):
    """Whatever the prediction says of a symbol that is there, the bridge keeps it."""
    kernel, x_t = Absorbing(ConstantFraction(), 50), torch.arange(50).view(10, 5).to(dtype)
    soft = torch.softmax(normals(10, 5, 50), -1).to(dtype)
    soft = soft.scatter(-1, x_t.long().unsqueeze(-1), 0.0)  # even that it cannot be
    bridge = kernel.bridge(torch.nn.functional.pad(soft, (0, 1)), x_t, f64(0.3), f64(0.4))
    torch.testing.assert_close(bridge.log_prob(x_t).exp(), torch.ones_like(x_t))
    assert torch.equal(bridge.sample(keyed(0)), x_t)
