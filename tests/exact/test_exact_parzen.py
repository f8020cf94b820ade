"""Parzen windows: closed forms (O13), the formula written out, and the chosen width."""

import importlib
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from oracles import normals
from undiffuse.estimate import Estimate
from undiffuse.metrics import WIDTHS, Parzen, choose_width, log_density, parzen
from undiffuse.metrics.parzen import CHUNK
from watched import reports, watched

MNIST = (10_000, 1_000, 10_000)


def direct(x, mu, width):
    """The formula, with differences instead of products."""
    x, mu = np.asarray(x, float), np.asarray(mu, float)
    distance = ((x[:, None] - mu) ** 2).sum(-1)
    near = logsumexp(-distance / (2 * width**2), axis=1) - math.log(len(mu))
    return near - x.shape[1] * math.log(width * math.sqrt(2 * math.pi))


@pytest.fixture
def small(monkeypatch):
    """Chunks of seven distances."""
    module = importlib.import_module("undiffuse.metrics.parzen")  # the package's `parzen` is the function
    monkeypatch.setattr(module, "CHUNK", 7)


@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize("width", [0.1, 1.0, 30.0])
def test_identical_samples_are_one_gaussian(count, width):
    """O13: log N(x; mu, s^2 I)."""
    mu, x = normals(1, 5), 3 * normals(40, 5)
    exact = multivariate_normal(mu[0].numpy(), width**2 * np.eye(5)).logpdf(x.numpy())
    np.testing.assert_allclose(log_density(x, mu.expand(count, 5), width), exact, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
def test_two_samples_in_closed_form(width):
    """At +-1 on a line: mean of two Gaussians = N(x; 0) exp(-1/2s^2) cosh(x/s^2)."""
    x, s2 = np.linspace(-3, 3, 25), width**2
    cosh = np.logaddexp(x / s2, -x / s2) - math.log(2)
    exact = -(x**2 + 1) / (2 * s2) + cosh - 0.5 * math.log(2 * math.pi * s2)
    found = log_density(torch.from_numpy(x)[:, None], torch.tensor([[-1.0], [1.0]]), width)
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_is_the_formula_even_far_from_the_origin(width, shift):
    x, mu = normals(30, 11, seed=1) + shift, normals(57, 11, seed=2) + shift
    np.testing.assert_allclose(log_density(x, mu, width), direct(x, mu, width), rtol=1e-11, atol=1e-9)


def test_pictures_in_0_to_1_lose_nothing_to_cancellation():
    x, mu = torch.rand(20, 1, 28, 28), torch.rand(40, 1, 28, 28)
    mu[7] = x[3]  # distance 0: all of it cancels
    found = log_density(x, mu, WIDTHS[0])
    np.testing.assert_allclose(found, direct(x.flatten(1), mu.flatten(1), WIDTHS[0]), rtol=0, atol=1e-9)
    assert found.dtype == torch.float64


def test_a_sum_over_the_line_is_one():
    x = torch.linspace(-20, 20, 20_001, dtype=torch.float64)[:, None]
    assert log_density(x, normals(9, 1), 0.4).exp().sum() * 2e-3 == pytest.approx(1, abs=1e-9)


def test_far_points_stay_finite():
    x = torch.tensor([[1e3, 0.0], [0.0, -1e6]]) * 0.1
    found = log_density(x, torch.zeros(4, 2), 0.1)
    exact = [-0.5 * z**2 - 2 * math.log(0.1 * math.sqrt(2 * math.pi)) for z in (1e3, 1e6)]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_chunks_do_not_matter(small):
    x, mu = normals(10, 3, seed=1), normals(3, 3, seed=2)
    track, told = watched()
    found = log_density(x, mu, 0.5, track=track)
    np.testing.assert_allclose(found, direct(x, mu, 0.5), rtol=1e-13)
    assert reports(told) == 5
    track, told = watched()
    log_density(x, normals(100, 3), 0.5, track=track)
    assert reports(told) == 10  # one row at a time at least


def test_memory_of_the_protocol():
    assert CHUNK <= 2**24


def test_widths_are_those_of_the_protocol():
    np.testing.assert_allclose(WIDTHS, np.logspace(-1, 0, 10), rtol=1e-14)


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0])
def test_the_chosen_width_is_the_best_one(scale, small):
    x, mu = scale * normals(50, 4, seed=1), scale * normals(80, 4, seed=2)
    means = [direct(x, mu, width).mean() for width in WIDTHS]
    assert choose_width(x, mu) == WIDTHS[int(np.argmax(means))]
    assert choose_width(x, mu, WIDTHS[::-1]) == WIDTHS[int(np.argmax(means))]


def test_one_sample_at_0_is_widened_to_the_root_mean_square():
    x = normals(200, 3)
    best = x.square().mean().sqrt().item()
    assert choose_width(x, torch.zeros(1, 3), [0.8 * best, best, 1.2 * best]) == best


def test_the_report_scores_test_data_at_the_width_of_the_validation_data():
    mu, validation, x = (0.3 * normals(count, 4, seed=count) for count in (80, 50, 60))
    track, told = watched()
    report = parzen(mu, validation, x, track=track)
    each = direct(x, mu, choose_width(validation, mu))
    assert report.width == choose_width(validation, mu) != choose_width(3 * x, mu)
    assert report.nats.mean == pytest.approx(each.mean(), rel=1e-12)
    assert report.nats.se == pytest.approx(np.std(each) / math.sqrt(60), rel=1e-12)
    assert report.bits.mean == pytest.approx(each.mean() / math.log(2), rel=1e-12)
    assert report.bits.se == pytest.approx(np.std(each) / math.sqrt(60) / math.log(2), rel=1e-12)
    assert (report.samples, report.examples) == (80, 60)
    assert reports(told) == 2


def test_units_of_the_paper():
    """220 +- 1.9 nats of the first version are the last one's 317 +- 2.7 bits."""
    bits = Parzen(0.2, Estimate(220, 1.9), 10_000, 10_000, WIDTHS).bits
    assert round(bits.mean) == 317 and round(bits.se, 1) == 2.7


@pytest.mark.parametrize(
    ("widths", "edge"),
    [([0.01, 0.4, 9], False), ([0.4, 9], True), ([9, 0.4], True), ([0.01, 0.4], True), ([0.4], False)],
)
def test_a_width_at_the_end_of_the_list_says_so(widths, edge):
    mu, x = normals(50, 2, seed=1), normals(50, 2, seed=2)
    report = parzen(mu, x, x, widths)
    assert report.width == 0.4 and report.at_edge == edge


GOOD = {"samples": torch.zeros(4, 3), "validation": torch.zeros(5, 3), "test": torch.zeros(6, 3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": torch.zeros(0, 3)}, r"samples has shape \(0, 3\); give a non-empty"),
        ({"validation": torch.zeros(0, 3)}, r"validation has shape \(0, 3\)"),
        ({"test": torch.zeros(6)}, r"test has shape \(6,\)"),
        ({"test": torch.zeros(1, 3)}, "test has 1 example; give at least 2"),
        ({"test": torch.zeros(6, 2)}, r"test has examples of shape \(2,\), samples of \(3,\)"),
        ({"validation": torch.zeros(6, 3, 1)}, r"validation has examples of shape \(3, 1\)"),
        ({"samples": torch.full((4, 3), math.nan)}, "samples has values that are not finite"),
        ({"test": torch.full((6, 3), math.inf)}, "test has values that are not finite"),
        ({"test": torch.zeros(6, 3, dtype=torch.uint8)}, r"test is torch.uint8; give floats: pixels / 255"),
        ({"widths": []}, "widths is empty"),
        ({"widths": [0.1, 0.0]}, "width is 0.0; give a positive"),
        ({"widths": [-1.0]}, "width is -1.0"),
        ({"widths": [math.nan]}, "width is nan"),
        ({"widths": [math.inf]}, "width is inf"),
    ],
)
def test_bad_input_names_itself(change, message):
    with pytest.raises(ValueError, match=message):
        parzen(**(GOOD | change))


def test_bad_width_of_a_density():
    with pytest.raises(ValueError, match="width is 0; give a positive"):
        log_density(torch.zeros(1, 1), torch.zeros(1, 1), 0)
