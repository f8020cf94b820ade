"""Guidance: mixtures of two models, and of a model and a classifier, in closed form."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from oracles import GaussianReverse, f64, normals
from undiffuse.distributions import Bernoulli, Normal
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import UNet
from undiffuse.posteriors import Guided, NoisyClassifier
from undiffuse.schedules import Linear, LogLinear, grids

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
    network = UNet((1, 4, 4), channels=8, multipliers=(1,), classes=3).double()
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
        with pytest.raises(ValueError, match=r"label (3|-2|7): this model knows 0 to 2"):
            model.given(label)
    plain = Denoiser(nn.Identity(), KERNEL)
    with pytest.raises(ValueError, match="knows no classes"):
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
