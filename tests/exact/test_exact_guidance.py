"""Guidance: mixtures of two models, and of a model and a classifier, in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from enumeration import built, cube, independent
from oracles import GaussianReverse, f64, law_of, normals, trapezoid
from undiffuse.conditions import Classes
from undiffuse.distributions import Bernoulli, Normal
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import UNet
from undiffuse.posteriors import Guided, Noisy, NoisyClassifier, Odds
from undiffuse.random import keyed
from undiffuse.samplers import Particles, evidence, sample
from undiffuse.schedules import ConstantFraction, Linear, LogLinear, grids

KERNEL = Gaussian(LogLinear(5.0, -5.0))
S, T = f64(0.4), f64(0.45)
X = normals(6, 3)


def gaussian(*mean: float) -> GaussianReverse:
    return GaussianReverse(KERNEL, f64(*mean), f64(0.5, 1.0, 2.0))


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_guidance_between_normal_data_is_the_model_of_a_mean_beyond(scale):
    """Data N(a, C) guided away from N(b, C): every step is that of N(b + w (a - b), C)."""
    a, b = gaussian(1.0, 0.0, -1.0), gaussian(0.0, 0.5, 2.0)
    guided, exact = Guided(a, b, scale), gaussian(*(b.mean + scale * (a.mean - b.mean)).tolist())
    for found, expected in (
        (guided.step(X, T, S), exact.step(X, T, S)),
        (guided.decode(X, S), exact.decode(X, S)),
    ):
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.var.expand(3), expected.var)
    torch.testing.assert_close(guided.predict(X, T), exact.predict(X, T))
    for s, p in ((S, guided.step(X, T, S)), (None, guided.decode(X, T))):
        x_0, found = guided.outlook(X, T, s)
        assert torch.equal(x_0, guided.predict(X, T)) and torch.equal(found.mean, p.mean)
    assert guided.prior(X).mean.abs().max() == 0


LONG = Gaussian(LogLinear(8.0, -8.0))
NARROW, BROAD = GaussianReverse(LONG, f64([1.0]), f64([0.25])), GaussianReverse(LONG, f64([0.0]), f64([1.0]))


def test_the_steps_of_a_guided_model_do_not_lead_to_the_geometric_mixture():
    """N(1, 1/4)^2 / N(0, 1) is N(8/7, 1/7); the chain of mixed steps ends at N(1.25, 0.110) in the limit."""
    off = []
    for steps in (50, 200):
        mean, var = law_of(Guided(NARROW, BROAD, 2.0), 1, grids.uniform(steps))
        off.append((abs(float(mean) - 1.25), abs(float(var) - 0.1095)))
    assert off[1][0] < 0.003 and off[1][1] < 0.001 and all(b < a / 3 for a, b in zip(*off, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_weighed_paths_of_a_guided_model_do(scale: float):
    """The mixture's mean, variance and normaliser, by quadrature."""
    x, w = trapezoid()
    p, q, unit = (Normal(f64(a), f64(b)).log_prob(x) for a, b in ((1.0, 0.25), (0.0, 1.0), (0.0, 1.0)))
    r = w * (scale * p + (1 - scale) * q - unit).exp()
    mean, z = float(r @ x / r.sum()), float(r.sum())
    var = float(r @ (x - mean).square() / r.sum())
    grid, how = grids.uniform(20), {"particles": 256, "groups": 24}
    found = evidence(Guided(NARROW, BROAD, scale), (1,), generator=keyed(0), grid=grid, **how)
    assert abs(found.log_evidence - math.log(z)) < 3 * found.se and found.se < 0.03
    drawn = found.x_0.double().view(24, 256)
    each = torch.stack([drawn.mean(1), (drawn - mean).square().mean(1)])
    assert ((each.mean(1) - f64(mean, var)).abs() < 4 * each.std(1) / 24**0.5).all()
    again = sample(  # the same, as any sampler draws
        Guided(NARROW, BROAD, scale),
        (512, 1),
        generator=keyed(1),
        sampler=Particles(64),
        grid=grid,
        block=64,
    )
    assert abs(float(again.mean()) - mean) < 4 * (var / 100) ** 0.5


def test_weighed_paths_of_guided_bits_are_the_mixture():
    kernel, states = Binomial(ConstantFraction(), 0.3), cube(3)
    ones = f64([0.2, 0.6, 0.9]), f64([0.5, 0.5, 0.7])
    p, u = (built(kernel, states, independent(states, torch.stack([1 - one, one], 1))) for one in ones)
    guided, part = Guided(p, u, 2.0), [ones[0] ** 2 / ones[1], (1 - ones[0]) ** 2 / (1 - ones[1])]
    found = evidence(guided, (3,), generator=keyed(1), particles=128, groups=24, grid=grids.uniform(4))
    assert abs(found.log_evidence - float((part[0] + part[1]).log().sum())) < 3 * found.se < 0.1
    mean = found.x_0.double().view(24, 128, 3).mean(1)
    assert ((mean.mean(0) - part[0] / (part[0] + part[1])).abs() < 4 * mean.std(0) / 24**0.5).all()


def test_predictions_of_guided_symbols_are_probabilities():
    """Odds, multiplied; so that a factor of them makes sense, however strong the guidance."""
    kernel = Binomial(ConstantFraction(), 0.3)
    p, u = (Denoiser(Bits(f64(*logits)), kernel) for logits in ((2.0, -1.0, 3.0), (-1.0, 0.5, -2.0)))
    x, t = torch.ones(2, 3).double(), f64(0.6)
    for s in (f64(0.2), None):
        found = Guided(p, u, 3.0).outlook(x, t, s)[0]
        torch.testing.assert_close(found, torch.sigmoid(f64(8.0, -4.0, 13.0)).expand(2, 3))
    torch.testing.assert_close(Guided(p, u, 3.0).predict(x, t), found)
    drawn = sample(
        Guided(p, u, 9.0) * Odds(f64(0.1, 0.2, 0.3)), (4, 3), generator=keyed(0), grid=grids.uniform(3)
    )
    assert bool(drawn.isfinite().all())


def test_only_two_plain_models_are_weighed_as_a_mixture():
    with pytest.raises(ValueError, match="those of two plain models: guide these, and multiply the result"):
        Particles(4).check(Guided(NARROW * Noisy(f64([0.0]), 1.0), BROAD, 2.0))
    with pytest.raises(ValueError, match="a model alone is drawn by ancestral sampling"):
        Particles(4).check(NARROW)


class Bits(nn.Module):
    """Logits that are a constant."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.logits.expand_as(x_t)


def test_guidance_of_bits_multiplies_odds():
    kernel = Binomial(Linear(steps=20))
    a, b = (Denoiser(Bits(f64(*logits)), kernel) for logits in ((2.0, -1.0), (0.5, 0.5)))
    x = torch.tensor([[0.0, 1.0]]).double()
    p, q = (model.step(x, T, S) for model in (a, b))
    found = Guided(a, b, 2.0).step(x, T, S)
    assert isinstance(found, Bernoulli)
    odds = (p.one / p.zero).square() / (q.one / q.zero)
    torch.testing.assert_close(found.one / found.zero, odds)


def test_guidance_needs_one_kernel_and_a_number():
    a = gaussian(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="same kernel"):
        Guided(a, GaussianReverse(Gaussian(LogLinear()), a.mean, a.var), 2.0)
    with pytest.raises(ValueError, match="scale=inf"):
        Guided(a, a, float("inf"))


class Plane(nn.Module):
    """Two classes apart by a plane: log-odds of class 1 are w x + time."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = w

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros(len(x)).double(), x @ self.w + t], 1)


def test_a_classifier_tilts_by_the_slope_of_its_log_probability():
    w, p = f64(1.0, -2.0, 0.5), Normal(X, f64(0.3))
    found = NoisyClassifier(Plane(w), 1, 1.7).at(S).times(p)
    missing = 1 - torch.sigmoid(X @ w + S)  # d log c(1 | x) / dx = w (1 - c)
    torch.testing.assert_close(found.mean, X + 0.3 * 1.7 * missing[:, None] * w)
    other = NoisyClassifier(Plane(w), torch.tensor([0, 1, 0, 1, 0, 1])).at(S).times(p).mean - X
    torch.testing.assert_close(other[1], 0.3 * missing[1] * w)
    torch.testing.assert_close(other[0], -0.3 * (1 - missing[0]) * w)
    with torch.no_grad():
        assert torch.equal(NoisyClassifier(Plane(w), 1, 1.7).at(S).times(p).mean, found.mean)


def test_a_product_with_a_far_class_is_bayes_rule():
    """Where the classifier is sure of class 0, class 1 is an exponential tilt, exact for normal data."""
    w, prior = f64(0.3, -0.2, 0.1), gaussian(0.0, 0.0, 0.0)
    far = lambda x, t: torch.stack([torch.zeros(len(x)).double(), x @ w - 30], 1)  # noqa: E731
    model = prior * NoisyClassifier(far, 1)
    step = prior.step(X, T, S)
    torch.testing.assert_close(model.step(X, T, S).mean, step.mean + step.var * w, rtol=1e-9, atol=1e-9)


def test_a_product_with_a_class_predicts_by_the_score_and_keeps_its_classifier():
    """Far class again, log c = x w - 30 at every t: E[x_0 | x_t, class] = x_0-hat + sigma^2 / alpha w."""
    w, prior = f64(0.3, -0.2, 0.1), gaussian(0.0, 0.0, 0.0)
    far = lambda x, t: torch.stack([torch.zeros(len(x)).double(), x @ w - 30], 1)  # noqa: E731
    alpha, sigma = KERNEL.alpha_sigma(T)
    for model in (prior * NoisyClassifier(far, 1), (prior * NoisyClassifier(far, 1)).rows(torch.arange(6))):
        expected = prior.predict(X, T) + sigma**2 / alpha * w
        torch.testing.assert_close(model.predict(X, T), expected, rtol=1e-9, atol=1e-9)


def test_classifiers_refuse_what_they_do_not_know():
    for scale in (0.0, -1.0, float("inf")):
        with pytest.raises(ValueError, match="scale="):
            NoisyClassifier(Plane(f64(1, 1, 1)), 0, scale)
    with pytest.raises(ValueError, match=r"label \[2\]: this classifier knows 0 to 1"):
        NoisyClassifier(Plane(f64(1, 1, 1)), 2).at(S).times(Normal(X, f64(1.0)))


def conditional() -> Denoiser:
    torch.manual_seed(0)
    network = UNet((1, 4, 4), channels=8, multipliers=(1,), conditions={"kind": Classes(3)}).double()
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return Denoiser(network, KERNEL).eval()


def test_a_model_given_labels_is_a_model():
    model, x = conditional(), normals(4, 1, 4, 4)
    each = [model.given(label).predict(x, T) for label in (-1, 0, 1, 2)]
    assert all((a - b).abs().max() > 1e-6 for a, b in pairwise(each))
    assert torch.equal(model.predict(x, T), each[0]) and model.condition is None
    mixed = model.given(torch.tensor([0, 2, -1, 1]))
    found = mixed.predict(x, T)
    for row, label in enumerate((0, 2, -1, 1)):
        torch.testing.assert_close(found[row], each[label + 1][row])
    torch.testing.assert_close(mixed.rows(torch.tensor([3, 1])).predict(x[[3, 1]], T), found[[3, 1]])
    assert model.rows(torch.tensor([1])) is model
    guided = Guided(model.given(1), model.given(-1), 3.0)
    torch.testing.assert_close(guided.predict(x, T), each[0] + 3 * (each[2] - each[0]))


def test_labels_that_are_none_are_refused():
    model = conditional()
    for label in (3, -2, torch.tensor([0, 7])):
        with pytest.raises(ValueError, match=r"kind: class (3|-2|7); this model knows 0 to 2"):
            model.given(label)
    plain = Denoiser(nn.Identity(), KERNEL)
    with pytest.raises(ValueError, match="takes no condition"):
        plain.given(0)


def test_the_bound_of_labelled_rows_uses_their_labels():
    """The variational objective splits a batch by terms: every part must keep its own labels."""
    from undiffuse.objectives import Stratified, Variational
    from undiffuse.random import keyed

    model, x = conditional(), normals(8, 1, 4, 4)
    labels = torch.tensor([0, 1, 2, -1, 0, 1, 2, -1])
    objective = Variational(Stratified(), 2, grids.uniform(4))
    together = objective(model.given(labels), x, keyed(0))
    for label in (-1, 0, 1, 2):
        alone = objective(model.given(label), x, keyed(0))
        torch.testing.assert_close(together[labels == label], alone[labels == label])


def test_a_classifier_is_asked_at_the_time_of_the_state_that_it_sees():
    """Of a step to s at s, of the decoder at 0, of the prior at 1, of a prediction at t."""
    w, prior = f64(0.3, -0.2, 0.1), gaussian(0.2, 0.0, -1.0)
    model = prior * NoisyClassifier(Plane(w), 1, 1.7)
    for found, base, time in (
        (model.step(X, T, S), prior.step(X, T, S), S),
        (model.decode(X, T), prior.decode(X, T), 0.0),
        (model.prior(X), prior.prior(X), 1.0),
    ):
        slope = 1.7 * torch.sigmoid(-(base.mean @ w + time))[:, None] * w
        torch.testing.assert_close(found.mean, base.mean + base.var * slope)
    alpha, sigma = KERNEL.alpha_sigma(T)
    slope = 1.7 * torch.sigmoid(-(X @ w + T))[:, None] * w
    torch.testing.assert_close(model.predict(X, T), prior.predict(X, T) + sigma**2 / alpha * slope)
