"""An untrained model on its base is the base: of every path of its chain, whatever the kernel and its steps.

For exact steps log p(x_0, x_1, ..) - log q(x_1, .. | x_0) is log p(x_0) along any path.
"""

import math
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from hosted import Hosted
from oracles import Nothing
from undiffuse import devices
from undiffuse.axes import Axes, cosines
from undiffuse.bases import Frequencies, GaussianBase, MixtureBase, fit
from undiffuse.devices import moved
from undiffuse.kernels import Absorbing, Binomial, Categorical, Discrete, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import Clipped, Residual
from undiffuse.posteriors import Known, Noisy
from undiffuse.random import keyed
from undiffuse.samplers import Ancestral, sample
from undiffuse.schedules import Betas, ConstantFraction, Cosine, Linear, LogLinear, grids
from undiffuse.tensors import total

STEPS, MANY = (1, 2, 10), 1000
G = keyed("bases")


@pytest.fixture(autouse=True)
def draws_of_its_own() -> None:
    """A test draws the same whichever came before it."""
    G.set_state(keyed("draws").get_state())


def gaussian(shape: tuple[int, ...], axes: Axes) -> GaussianBase:
    var = torch.rand(shape, generator=G, dtype=torch.float64).add(0.01).square()
    return GaussianBase(torch.randn(shape, generator=G, dtype=torch.float64), var, axes)


def orthogonal(n: int) -> Tensor:
    return torch.linalg.qr(torch.randn(n, n, generator=G, dtype=torch.float64))[0]


def frequencies(shape: tuple[int, ...], symbols: int) -> Frequencies:
    return Frequencies(torch.rand(*shape, symbols, generator=G, dtype=torch.float64).add(1e-3).softmax(-1))


NUMBERS = [
    gaussian((5,), Axes()),
    gaussian((5,), Axes.whole(orthogonal(5))),
    gaussian((2, 3, 4), Axes({0: orthogonal(2), 1: cosines(3), 2: cosines(4)})),
]
KERNELS = [Gaussian(s) for s in (LogLinear(6.0, -4.0), Linear(steps=None), Cosine(None), ConstantFraction())]
SYMBOLS = [
    (Binomial(ConstantFraction()), frequencies((6,), 2)),
    (Binomial(Cosine(None), 0.2), frequencies((1, 2, 3), 2)),
    (Binomial(LogLinear(5.0, -3.0), [0.1, 0.5, 0.99]), frequencies((3,), 2)),
    (Categorical(ConstantFraction(), 4), frequencies((6,), 4)),
    (Categorical(Linear(steps=None), 3), frequencies((2, 3), 3)),
    (Absorbing(ConstantFraction(), 4), frequencies((6,), 4)),
    (Absorbing(Betas([0.3, 0.4, 1.0]), 3), frequencies((2, 3), 3)),
]


def path_weight(model: Denoiser, x_0: Tensor, grid: Tensor) -> Tensor:
    """log p(x_0, .., x_1) - log q(x_t1, .., x_1 | x_0) along a path that is drawn forward, (B,)."""
    kernel = model.kernel
    states, found = [kernel.marginal(x_0, grid[0]).sample(G)], torch.zeros(len(x_0), dtype=torch.float64)
    found -= total(kernel.marginal(x_0, grid[0]).log_prob(states[0]))
    for s, t in pairwise(grid):
        hop = kernel.transition(states[-1], s, t)
        states.append(hop.sample(G))
        found -= total(hop.log_prob(states[-1]))
    found += total(model.prior(states[-1]).log_prob(states[-1]))
    for (x_s, s), (x_t, t) in pairwise(zip(states, grid, strict=True)):
        found += total(model.step(x_t, t, s).log_prob(x_s))
    return found + total(model.decode(states[0], grid[0]).log_prob(x_0))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: type(k.schedule).__name__)
@pytest.mark.parametrize("base", NUMBERS, ids=lambda b: f"{len(b.axes.dimensions)} axes")
def test_untrained_numbers_are_the_base(base, kernel, steps):
    check_numbers(base, kernel, steps)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS[::3], ids=lambda k: type(k.schedule).__name__)
def test_and_of_long_chains(kernel):
    check_numbers(NUMBERS[1], kernel, MANY)


def check_numbers(base: GaussianBase, kernel: Gaussian, steps: int) -> None:
    """Along paths from draws of the base."""
    model = Denoiser.on(base, Nothing(2), kernel)
    x_0 = base.mean + base.axes.back(base.var.sqrt() * torch.randn(4, *base.shape, generator=G).double())
    assert path_weight(model, x_0, grids.uniform(steps)).sub(base.log_prob(x_0)).abs().max() < 1e-9


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("kernel", "base"), SYMBOLS, ids=lambda x: type(x).__name__.lower())
def test_untrained_symbols_are_the_base(kernel, base, steps):
    check_symbols(kernel, base, steps)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "base"), SYMBOLS[2:5:2], ids=lambda x: type(x).__name__.lower())
def test_and_symbols_of_long_chains(kernel, base):
    check_symbols(kernel, base, MANY)


def check_symbols(kernel: Discrete, base: Frequencies, steps: int) -> None:
    """Along paths from any symbols."""
    model = Denoiser.on(base, Nothing(), kernel)
    if kernel.schedule.steps is not None and steps > kernel.schedule.steps:
        steps = kernel.schedule.steps
    x_0 = torch.randint(0, kernel.symbols, (4, *base.shape), generator=G).double()
    assert path_weight(model, x_0, grids.uniform(steps)).sub(base.log_prob(x_0)).abs().max() < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("factor", ["known", "noisy"])
def test_products_with_a_base_are_the_exact_posterior(factor):
    """Of normal data, by two steps and by ten: mean and covariance of draws of p(x_0) r(x_0)."""
    base, n, draws = NUMBERS[1], 5, 4000
    mask, value = torch.tensor([True, False, False, True, False]), torch.tensor([0.3, 0, 0, -0.4, 0]).double()
    r = Known(value, mask) if factor == "known" else Noisy(value, 0.2)
    dense = base.axes.dense((n,), base.mean)
    cov = dense * base.var @ dense.mT
    seen = torch.eye(n).double()[mask] if factor == "known" else torch.eye(n).double()
    noise = 0.0 if factor == "known" else 0.04
    gain = cov @ seen.T @ torch.linalg.inv(seen @ cov @ seen.T + noise * torch.eye(len(seen)))
    mean, left = base.mean + gain @ (seen @ (value - base.mean)), cov - gain @ seen @ cov
    for steps in (2, 10):
        model = Denoiser.on(base, Nothing(2), KERNELS[0]) * r
        x = sample(
            model, (draws, n), grid=grids.uniform(steps), sampler=Ancestral(), generator=keyed("draws")
        )
        se = left.diagonal().clamp(min=1e-12).sqrt() / draws**0.5
        assert ((x.double().mean(0) - mean).abs() < 4.5 * se + 1e-4).all()
        spread = torch.cov(x.double().T) - left
        limit = 4.5 * (2 / draws) ** 0.5 * (left.diagonal()[:, None] * left.diagonal()).sqrt()
        assert (spread.abs() < limit + 1e-4).all()


@pytest.mark.parametrize(("kernel", "base"), SYMBOLS, ids=lambda x: type(x).__name__.lower())
def test_predictions_are_bayes_rule(kernel, base):
    """E[x_0 | x_t] by counting all values of x_0 at a place."""
    model, t = Denoiser.on(base, Nothing(), kernel), torch.tensor(0.6, dtype=torch.float64)
    x_t = kernel.prior(torch.zeros(7, *base.shape).double()).sample(G)
    each = torch.stack(
        [
            base.log_probs[..., k] + kernel.marginal(torch.full_like(x_t, k), t).log_prob(x_t)
            for k in range(kernel.symbols)
        ],
        -1,
    ).softmax(-1)
    soft = model.predict(x_t, t)
    torch.testing.assert_close(soft, kernel.from_probs(each), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kernel", "base"), SYMBOLS[:1] + SYMBOLS[3:4], ids=["bits", "symbols"])
def test_an_output_moves_the_logits_by_as_much_as_x_t_says_and_one(kernel, base):
    x_t, output = torch.zeros(2, *base.shape).double(), 0.3 * torch.randn(2, 6 * base.symbols, generator=G)
    output = output.double() if base.symbols > 2 else output[:, :6].double()
    for t in torch.tensor([0.2, 0.7, 1.0]).double():
        before, after = (base.predict(by, x_t, t, kernel) for by in (0 * output, output))
        if base.symbols == 2:
            found, moved = torch.logit(after) - torch.logit(before), output
        else:
            found, moved = (after / before).log(), output.view(2, base.symbols, 6).movedim(1, -1)
            found, moved = found - found.mean(-1, keepdim=True), moved - moved.mean(-1, keepdim=True)
        torch.testing.assert_close(found, (1 + kernel.sharpness(t)) * moved, rtol=1e-6, atol=1e-6)


def test_a_mixture_comes_near_with_its_steps():
    """Its denoiser is exact, its steps are normal: what they cost falls as their number grows."""
    weights, axes = torch.tensor([0.3, 0.7]).double(), Axes.whole(orthogonal(3))
    means, frames = torch.randn(2, 3, generator=G).double(), torch.stack([orthogonal(3), orthogonal(3)])
    normal = GaussianBase(torch.zeros(3), torch.ones(3), axes)
    base = MixtureBase(weights.log(), means, torch.rand(2, 3, generator=G).double() + 0.02, frames, normal)
    model, kernel = Denoiser.on(base, Nothing(2), KERNELS[0]), KERNELS[0]
    t = torch.tensor(0.5, dtype=torch.float64)
    alpha, sigma = kernel.alpha_sigma(t)
    x_t = torch.randn(5, 3, generator=G).double().requires_grad_()
    cov = frames * (alpha**2 * base.vars + sigma**2).unsqueeze(-2) @ frames.mT
    log = torch.logsumexp(
        weights.log() + torch.distributions.MultivariateNormal(alpha * means, cov).log_prob(x_t.unsqueeze(1)),
        1,
    )
    (score,) = torch.autograd.grad(log.sum(), x_t)
    tweedie = (x_t + sigma**2 * score) / alpha
    torch.testing.assert_close(model.predict(x_t.detach(), t), tweedie.detach(), rtol=1e-9, atol=1e-9)
    slopes = torch.autograd.functional.jacobian(lambda x: model.predict(x[None], t)[0], x_t[0].detach())
    own = axes.dense((3,), x_t)  # Cov[x_0 | x_t] is sigma^2 / alpha of these
    var = sigma**2 / alpha * (own.T @ slopes @ own).diagonal()
    torch.testing.assert_close(base.belief(x_t[:1].detach(), t, kernel).var[0], var, rtol=1e-9, atol=1e-9)
    pick = torch.multinomial(weights, 4000, True, generator=G)
    noise = base.vars[pick].sqrt() * torch.randn(4000, 3, generator=G).double()
    x_0 = means[pick] + (frames[pick] @ noise.unsqueeze(-1)).squeeze(-1)
    few, many = (base.log_prob(x_0) - path_weight(model, x_0, grids.uniform(steps)) for steps in (4, 64))
    for positive in (many, few / 3 - many):  # what is left is that of the ends of the chain
        assert positive.mean() > 2 * positive.std() / math.sqrt(len(x_0))


def test_targets_have_unit_scale_at_every_time():
    base = NUMBERS[1]
    said, kernel = Residual(base), KERNELS[0]
    x_0 = base.mean + base.axes.back(base.var.sqrt() * torch.randn(20_000, 5, generator=G).double())
    for when in (0.001, 0.3, 0.7, 1.0):
        t = torch.tensor(when, dtype=torch.float64)
        target = said.target(x_0, kernel.marginal(x_0, t).sample(G), t, kernel)
        torch.testing.assert_close(torch.cov(target.T), torch.eye(5).double(), rtol=0, atol=0.05)


def on_meta(model: Denoiser, shape: tuple[int, ...]) -> None:
    """Every tensor of a step of rows at times of their own is where the model is, the times stay here.

    Where a device has no float64 nothing needs it.
    """
    x_t, t = torch.zeros(4, *shape, device="meta"), torch.linspace(0.3, 0.9, 4, dtype=torch.float64)
    for narrow in (set(), {"meta"}):
        with pytest.MonkeyPatch.context() as patch, Hosted() as counted:
            patch.setattr(devices, "NARROW", narrow)
            moved(model, x_t.device)
            for when, before in ((t, t / 2), (t[0], t[0] / 2)):
                x_0, step, last = (
                    model.predict(x_t, when),
                    model.step(x_t, when, before),
                    model.decode(x_t, when),
                )
                assert {x.device.type for x in (x_0, step.mean, last.mean)} == {"meta"}
            assert not counted.wide or not narrow


@pytest.mark.parametrize("base", NUMBERS, ids=lambda b: f"{len(b.axes.dimensions)} axes")
def test_bases_of_numbers_follow_their_model_to_a_device(base):
    on_meta(Denoiser.on(deepcopy(base), Nothing(2), KERNELS[0]), base.shape)


def test_a_mixture_follows_its_model_to_a_device():
    data = torch.cat([torch.randn(60, 2, generator=G) + 4, torch.randn(60, 2, generator=G) - 4])
    base = fit([data], KERNELS[0])
    assert isinstance(base, MixtureBase)
    on_meta(Denoiser.on(base, Nothing(2), KERNELS[0]), base.shape)


@pytest.mark.parametrize(("kernel", "base"), SYMBOLS, ids=lambda x: type(x).__name__.lower())
def test_bases_of_symbols_follow_their_model_to_a_device(kernel, base):
    on_meta(Denoiser.on(deepcopy(base), Nothing(), deepcopy(kernel)), base.shape)


def test_a_base_of_other_examples_is_refused():
    model = Denoiser.on(NUMBERS[0], Nothing(2), KERNELS[0])
    with pytest.raises(ValueError, match=r"examples of shape \(1,\): the base is of \(5,\)"):
        model.predict(torch.zeros(2, 1), torch.tensor(0.5))


def test_levels_clip_what_a_base_predicts():
    """Clipped or not, the output means the same."""
    base, t = NUMBERS[0], torch.tensor(0.5, dtype=torch.float64)
    said, x_t = Residual(base), torch.randn(4, 5, generator=G).double() * 3
    clipped = Clipped(said, -0.1, 0.1)
    out = torch.randn(4, 5, generator=G).double()
    plain = said.predict(out, x_t, t, KERNELS[0])
    torch.testing.assert_close(clipped.predict(out, x_t, t, KERNELS[0]), plain.clamp(-0.1, 0.1))
    assert clipped.base is base and torch.equal(
        clipped.features(x_t, t, KERNELS[0]), said.features(x_t, t, KERNELS[0])
    )
