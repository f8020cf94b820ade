import math

import numpy as np
import pytest
import torch
from scipy import integrate
from sklearn.datasets import make_swiss_roll

from undiffuse.data import SwissRoll
from undiffuse.data.swiss_roll import FIRST, LAST, _mean


@pytest.fixture(scope="module")
def roll():
    return SwissRoll()


@pytest.fixture(scope="module")
def points(roll):
    return roll.load()


def test_shape_and_determinism(points):
    assert points.train.shape == (100_000, 2) and points.test.shape == (20_000, 2)
    assert points.shape == (2,) and points.levels is None and points.train.dtype == torch.float32
    again = SwissRoll(train=10, test=5).load()
    other = SwissRoll(train=10, test=5, seed=1).load()
    assert torch.equal(again.train, SwissRoll(train=10, test=5).load().train)
    assert not torch.equal(again.train, other.train)
    equal = SwissRoll(train=5, test=5).load()
    assert not torch.equal(equal.train, equal.test)


def test_moments_are_exact(roll):
    means, std = roll.components(200_000)
    assert means.dtype == torch.float64
    assert means.mean(0).abs().max() < 1e-9
    assert float(means.square().sum(1).mean()) + 2 * std**2 == pytest.approx(2, abs=1e-8)
    for i, part in enumerate((math.cos, math.sin)):
        value, _ = integrate.quad(lambda t, part=part: t * part(t) / (LAST - FIRST), FIRST, LAST)
        assert float(_mean()[i]) == pytest.approx(value, abs=1e-12)


def test_sample_moments(points):
    x = points.train.double()
    error = x.std(0) / math.sqrt(len(x))
    assert (x.mean(0).abs() < 4 * error).all()
    square = x.square().sum(1)
    assert abs(square.mean() - 2) < 4 * square.std() / math.sqrt(len(x))


def test_same_distribution_as_scikit_learn(roll, points):
    raw, _ = make_swiss_roll(20_000, noise=0.5, random_state=0)
    x = roll._scaled(torch.from_numpy(raw[:, [0, 2]]))
    ours = points.test.double()
    for theirs, mine in zip(x.T, ours.T, strict=True):
        grid = torch.linspace(-2, 2, 41, dtype=torch.float64)
        gap = [(theirs < g).double().mean() - (mine < g).double().mean() for g in grid]
        assert max(map(abs, gap)) < 1.95 * math.sqrt(2 / 20_000)  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.slow
def test_density_integrates_to_one(roll):
    h = 0.035  # half a standard deviation: the trapezoid rule is then accurate to 1e-8
    axis = torch.arange(-3, 3, h, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    p = roll.log_density(grid, n=1024).exp()
    assert float(p.sum()) * h * h == pytest.approx(1, abs=1e-5)


def test_density_is_the_convolution(roll):
    """Against adaptive quadrature over u, one point at a time."""
    _, std = roll.components(1)
    x = torch.tensor([[0.5, 0.2], [-1.0, 1.0], [0.1, -0.6]], dtype=torch.float64)
    for point, log_p in zip(x, roll.log_density(x), strict=True):

        def kernel(t, point=point):
            raw = torch.tensor([[t * math.cos(t), t * math.sin(t)]], dtype=torch.float64)
            distance = float((roll._scaled(raw)[0] - point).square().sum())
            return math.exp(-distance / (2 * std**2)) / (2 * math.pi * std**2) / (LAST - FIRST)

        value, _ = integrate.quad(kernel, FIRST, LAST, limit=400, points=np.linspace(5, 14, 20))
        assert float(log_p) == pytest.approx(math.log(value), abs=1e-6)


@pytest.mark.slow
def test_entropy_has_converged_in_the_number_of_components(roll, points):
    x = points.test[:3000]
    coarse, fine = (-roll.log_density(x, n).mean() for n in (4096, 16384))
    assert abs(coarse - fine) < 1e-6
    assert abs(fine - 1.36) < 0.1  # nats a point


def test_chunks_do_not_change_the_density(roll, points, monkeypatch):
    whole = roll.log_density(points.test[:50])
    monkeypatch.setattr("undiffuse.data.swiss_roll.CHUNK", 3 * 4096)
    assert torch.allclose(roll.log_density(points.test[:50]), whole, atol=1e-12)


@pytest.mark.parametrize("bad", [{"train": 0}, {"test": 0}, {"noise": 0.0}, {"noise": math.nan}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        SwissRoll(**bad)
