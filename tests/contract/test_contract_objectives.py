"""Laws of objectives: one number an example, the errors they say they are, unbiased where they say so."""

import math

import pytest
import torch
from examples import AFFINE, OBJECTIVES, WEIGHTS, each, small_model

from oracles import At, GaussianDenoiser, Replay, f64, normals
from undiffuse import bounds
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import (
    SNR,
    Continuous,
    Hybrid,
    Independent,
    MinSNR,
    Simple,
    Stratified,
    Truncated,
    Variational,
)
from undiffuse.objectives.times import times_at
from undiffuse.parameterizations import X0, Eps, Forward, Free, Interpolated, Mean, Score, V
from undiffuse.random import keyed
from undiffuse.schedules import LearnedBetas, Linear, LogLinear, grids

KERNEL = Gaussian(Linear(1e-3, 0.3, steps=20))
X = normals(8, 3)
RHO = {
    "l1": torch.abs,
    "l2": torch.square,
    "huber": lambda r: torch.where(r.abs() < 1, r.square() / 2, r.abs() - 0.5),
}


@pytest.mark.parametrize("objective", **each(OBJECTIVES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_differentiable_number_an_example(objective, dtype):
    kernel = Gaussian(LogLinear(4.0, -4.0)) if isinstance(objective, Continuous) else None
    learned = Interpolated() if isinstance(objective, Hybrid) else None
    model = small_model(kernel, variance=learned).to(dtype)
    loss = objective(model, X.to(dtype), keyed(0))
    assert loss.shape == (8,) and loss.isfinite().all() and len(loss.unique()) > 1
    loss.mean().backward()
    (weight,) = model.parameters()
    assert weight.grad.isfinite().all() and weight.grad.any()
    assert torch.equal(loss, objective(model, X.to(dtype), keyed(0)))
    assert not torch.equal(loss, objective(model, X.to(dtype), keyed(1)))
    assert objective.unit


@pytest.mark.parametrize("loss", RHO)
def test_simple_is_the_mean_error_of_the_noise(loss):
    model, u, eps = small_model(parameterization=Eps()), torch.arange(8).double() / 8, normals(8, 3, seed=3)
    t = times_at(grids.uniform(20), u)
    alpha, sigma = (c[:, None] for c in KERNEL.alpha_sigma(t))
    error = (model.network(alpha * X + sigma * eps, t) - eps).abs()
    for weight in (None, SNR()):  # the SNR on x_0-hat is no weight on the noise, whatever the loss
        found = Simple(loss, weight, At(u), grids.uniform(20))(model, X, Replay(eps))
        torch.testing.assert_close(found, RHO[loss](error).mean(1), rtol=1e-9, atol=1e-9)


class Says(torch.nn.Module):
    """The output that makes a parameterization predict tanh(x_t)."""

    def __init__(self, parameterization):
        super().__init__()
        self.parameterization = parameterization

    def forward(self, x_t, t):
        return self.parameterization.target(torch.tanh(x_t), x_t, t, KERNEL)


@pytest.mark.parametrize("loss", RHO)
@pytest.mark.parametrize("weight", **each(WEIGHTS))
@pytest.mark.parametrize("parameterization", **each(AFFINE))
def test_a_weighted_loss_does_not_depend_on_the_output_that_says_it(loss, weight, parameterization):
    """It is rho(sqrt(w) (x_0-hat - x_0)), whose square is the weighted squared error."""
    u, eps = torch.arange(8).double() / 8 + 0.1, normals(8, 3, seed=3)
    t = times_at(grids.uniform(20), u)
    x_t = KERNEL.marginal(X, t).sample(Replay(eps))
    snr = KERNEL.schedule.keep(t) / (1 - KERNEL.schedule.keep(t))
    cut = {"MinSNR": snr.clamp(max=getattr(weight, "gamma", 0)), "Truncated": snr.clamp(min=1), "SNR": snr}[
        type(weight).__name__
    ]
    expected = RHO[loss](cut.sqrt()[:, None] * (torch.tanh(x_t) - X)).mean(1)
    model = Denoiser(Says(parameterization), KERNEL, parameterization)
    found = Simple(loss, weight, At(u), grids.uniform(20))(model, X, Replay(eps))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_weights_of_the_bare_losses():
    """The docstring: no weight is w = SNR for eps and SNR + 1 for v."""
    logsnr = f64(-3.0, 0.0, 2.0)
    assert MinSNR(1e9)(logsnr).tolist() == pytest.approx(logsnr.exp().tolist())
    torch.testing.assert_close(MinSNR(5.0)(f64(-1.0, 9.0)), f64(math.exp(-1), 5.0))
    torch.testing.assert_close(Truncated()(f64(-1.0, 2.0)), f64(1.0, math.exp(2)))
    t = f64(0.1, 0.5, 1.0)
    snr = KERNEL.schedule.logsnr(t).exp()
    torch.testing.assert_close(Eps().coefficients(t, KERNEL)[1] ** -2, snr)
    torch.testing.assert_close(V().coefficients(t, KERNEL)[1] ** -2, snr + 1)


@pytest.mark.parametrize("variance", [Interpolated(), Free()])
def test_the_hybrid_is_two_terms_and_trains_each_part_by_one(variance):
    """Position i: the simple error plus share T KL in bits/dim; the mean's gradient is the simple one's."""
    model, grid, eps = small_model(variance=variance), grids.strided(20, 6), normals(8, 3, seed=4)
    u = (torch.arange(8).double() % 6 + 0.5) / 6
    at = At(u)
    hybrid = Hybrid(share=0.3, times=at, grid=grid)(model, X, Replay(eps))
    t = times_at(grid, u)
    x_t = KERNEL.marginal(X, t).sample(Replay(eps))
    output = model.output(x_t, t)[0]
    simple = Simple(times=at, grid=grid).error(model, output, X, x_t, t)
    for i in range(8):
        kl = 0.0
        if i % 6:
            s, row = grid[i % 6 - 1], slice(i, i + 1)
            step = model.step(x_t[row], t[i], s)
            kl = KERNEL.bridge(X[row], x_t[row], s, t[i]).kl(step).sum()
        expected = simple[i] + 0.3 * 6 * kl / (3 * math.log(2))
        torch.testing.assert_close(
            hybrid[i], torch.as_tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0
        )
    (weight,) = model.parameters()  # rows 0-2 make the mean, 3-5 the variance
    ours, theirs = (
        torch.autograd.grad(loss.sum(), weight, retain_graph=True)[0] for loss in (hybrid, simple)
    )
    torch.testing.assert_close(ours[:3], theirs[:3])
    assert not theirs[3:].any() and ours[3:].abs().min() > 1e-6


def test_the_score_is_the_noise_over_minus_sigma():
    """Denoising score matching: sigma^2 times the score's error is the error of the noise."""
    u, eps, grid = torch.arange(8).double() / 8, normals(8, 3, seed=3), grids.uniform(20)
    t = times_at(grid, u)
    alpha, sigma = (c[:, None] for c in KERNEL.alpha_sigma(t))
    x_t = alpha * X + sigma * eps
    torch.testing.assert_close(Score().target(X, x_t, t, KERNEL), -eps / sigma, rtol=1e-8, atol=1e-8)
    model = small_model(parameterization=Score())
    said = model.network(x_t, t)
    found = Simple(weight=SNR(), times=At(u), grid=grid)(model, X, Replay(eps))
    expected = (sigma.square() * (said + eps / sigma).square()).mean(1)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("variance", [None, Forward(), Interpolated(), Free()])
@pytest.mark.parametrize("times", [Independent(), Stratified()])
def test_variational_is_the_bound_on_average(variance, times):
    """Over many draws, Variational and bounds.nelbo estimate the same number for every example."""
    model, grid = small_model(variance=variance), grids.strided(20, 6)
    x, n = X[:2], 4000
    many = x.repeat(n, 1)
    with torch.no_grad():
        ours = Variational(times, 2, grid)(model, many, keyed(0)).view(n, 2)
    bound = bounds.nelbo(model, many, grid=grid, generator=keyed(1)).total.view(n, 2)
    bound = bound / (3 * math.log(2))
    se = ((ours.var(0) + bound.var(0)) / n).sqrt()
    assert ((ours.mean(0) - bound.mean(0)).abs() < 5 * se).all()
    assert (se < 0.1 * bound.mean(0).abs()).all()


def test_variational_term_by_term():
    """Position i of the grid is term i of the bound, counted T times: no randomness left but x_t."""
    model, grid, eps = small_model(), grids.strided(20, 6), normals(1, 3, seed=4)
    bound = bounds.nelbo(model, X[:1], grid=grid, generator=Replay(eps))
    terms = [bound.decode, *bound.steps[0]]
    for i, term in enumerate(terms):
        u = f64((i + 0.5) / 6).reshape(1)
        found = Variational(At(u), grid=grid)(model, X[:1], Replay(eps))
        expected = (6 * term + bound.prior) / (3 * math.log(2))
        torch.testing.assert_close(found, expected.reshape(1))


def test_gradients_of_the_variational_objective():
    model = small_model(variance=Interpolated())
    (weight,) = model.parameters()
    objective = Variational(grid=grids.strided(20, 5), draws=2)

    def loss(value):
        old, weight.data = weight.data, value
        out = objective(model, X[:3], keyed(3)).sum()
        weight.data = old
        return out

    (slope,) = torch.autograd.grad(objective(model, X[:3], keyed(3)).sum(), weight)
    for i in [(0, 0), (1, 2), (4, 1), (5, 0)]:
        h = torch.zeros_like(weight)
        h[i] = 1e-6
        difference = (loss(weight.data + h) - loss(weight.data - h)) / 2e-6
        assert slope[i].item() == pytest.approx(difference.item(), rel=1e-5, abs=1e-6)


def test_gradients_of_the_simple_objective_vanish_at_the_optimum():
    """The exact denoiser of N(0, 0.5) data is where the loss is least: moving off it costs."""
    x, grid = normals(20_000, 1) * 0.5**0.5, grids.uniform(20)
    losses = []
    for factor in (0.9, 1.0, 1.1):
        network = GaussianDenoiser(KERNEL, f64(0.0), f64(0.5))
        model = Denoiser(network, KERNEL, X0())
        network.exact.var = f64(0.5 * factor)
        losses.append(Simple(grid=grid)(model, x, keyed(0)).mean().item())
    assert losses[1] < min(losses[0], losses[2])


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ValueError, match="learned variance"):
        Simple()(small_model(variance=Free()), X, keyed(0))
    with pytest.raises(ValueError, match="l1, l2, huber"):
        Simple("l3")
    with pytest.raises(ValueError, match="grid"):
        Variational()
    with pytest.raises(ValueError, match="draws"):
        Variational(draws=0, grid=grids.uniform(3))
    for gamma in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="gamma"):
            MinSNR(gamma)
    assert Mean(20).steps == 20
    for grid in (None, grids.uniform(1)):
        with pytest.raises(ValueError, match="at least two steps"):
            Hybrid(grid=grid)
    with pytest.raises(ValueError, match="share=0"):
        Hybrid(share=0.0, grid=grids.uniform(3))
    with pytest.raises(ValueError, match=r"variance\.kind=interpolated"):
        Hybrid(grid=grids.uniform(3))(small_model(), X, keyed(0))


def test_the_simple_objective_refuses_what_it_cannot_train():
    with pytest.raises(ValueError, match="learn a schedule"):
        Simple()(small_model(Gaussian(LearnedBetas(20))), X, keyed(0))
    bits = Denoiser(torch.nn.Identity(), Binomial(Linear()))
    with pytest.raises(ValueError, match="is for Gaussian kernels"):
        Simple()(bits, X, keyed(0))
