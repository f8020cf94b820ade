"""A normal rounded to K levels: exact probabilities and gradients, however far in the tails."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import log_ndtr, logsumexp

from oracles import f64
from undiffuse.distributions import Discretized
from undiffuse.random import keyed

LEVELS = [2, 3, 17, 256, 65536]
STDS = [1e-4, 1e-2, 0.3, 1.0, 30.0, 1e3]
LOCS = [-50.0, -1.0, -0.3, 0.0, 1e-3, 0.999, 1.5, 50.0]


def reference(loc, std, levels, k):
    """log P(level k) by scipy: each interval on the side of the mean where it is accurate."""
    edges = lambda j: (2 * j - levels) / (levels - 1) - loc  # noqa: E731 - upper edge of level j - 1
    low, high = edges(k) / std, edges(k + 1) / std
    low, high = np.where(k == 0, -np.inf, low), np.where(k == levels - 1, np.inf, high)
    flip = low + np.where(np.isinf(high), 0, high) > 0
    flip = np.where(k == 0, False, np.where(k == levels - 1, True, flip))
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    with np.errstate(divide="ignore"):
        return log_ndtr(b) + np.log1p(-np.exp(log_ndtr(a) - log_ndtr(b)))


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("levels", LEVELS)
def test_sums_to_one_and_is_finite(levels, std):
    for loc in LOCS:
        log_probs = Discretized(f64(loc), f64(std), levels).log_probs
        assert log_probs.shape == (levels,) and log_probs.isfinite().all()
        assert (log_probs <= 0).all()
        assert abs(logsumexp(log_probs.numpy())) < 1e-7


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("levels", LEVELS)
def test_agrees_with_scipy_in_log_space(levels, std):
    k = np.unique(np.linspace(0, levels - 1, 60).astype(int))
    for loc in LOCS:
        p = Discretized(f64(loc), f64(std), levels)
        expected = reference(loc, std, levels, k)
        ours = p.log_prob(p.values[torch.from_numpy(k)]).numpy()
        known = np.isfinite(expected)
        assert known.any()
        np.testing.assert_allclose(ours[known], expected[known], rtol=1e-6, atol=1e-6)


@given(
    levels=st.sampled_from(LEVELS),
    loc=st.floats(-50, 50),
    log_std=st.floats(-4, 3),
    x=st.floats(-1.5, 1.5),
)
@example(levels=65536, loc=50.0, log_std=-4.0, x=-1.0)
@example(levels=65536, loc=-50.0, log_std=-4.0, x=1.0)
@example(levels=256, loc=0.0, log_std=-4.0, x=0.0)
def test_gradients_are_finite_and_point_home(levels, loc, log_std, x):
    mean, std = f64(loc).requires_grad_(), f64(10**log_std).requires_grad_()
    p = Discretized(mean, std, levels)
    log_prob = p.log_prob(f64(x))
    slopes = torch.autograd.grad(log_prob, (mean, std))
    assert log_prob.isfinite() and log_prob <= 0
    assert all(slope.isfinite() for slope in slopes)
    level = ((f64(x) + 1) * (levels - 1) / 2).round().clamp(0, levels - 1) * 2 / (levels - 1) - 1
    h = 1 / (levels - 1)
    if loc > level + h and level < 1 - h:  # to the right of the level: less is better
        assert slopes[0] < 0
    if loc < level - h and level > h - 1:
        assert slopes[0] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_gradient_is_lost_over_a_whole_picture(dtype):
    loc = torch.linspace(-50, 50, 400, dtype=dtype).requires_grad_()
    std = torch.full((400,), 1e-3, dtype=dtype).requires_grad_()
    for x in (-1.0, -0.37, 0.5, 1.0):
        Discretized(loc, std, 256).log_prob(torch.full((400,), x, dtype=dtype)).sum().backward()
    assert loc.grad.isfinite().all() and std.grad.isfinite().all()


@pytest.mark.parametrize("levels", LEVELS)
def test_gradients_match_differences(levels):
    def log_prob(loc, std):
        p = Discretized(loc, std, levels)
        return p.log_prob(p.values[[0, levels // 2, levels - 1]])

    loc, std = f64(0.2, -0.4, 0.9), f64(0.4, 0.7, 0.5)
    assert torch.autograd.gradcheck(log_prob, (loc.requires_grad_(), std.requires_grad_()), atol=1e-4)


def test_draws_are_levels_and_wide_tails_go_to_the_ends():
    p = Discretized(torch.full((1000,), 0.1), torch.tensor(5.0), 5)
    assert set(p.sample(keyed(0)).tolist()) == {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert torch.equal(p.values, f64(-1.0, -0.5, 0.0, 0.5, 1.0))
    sharp = Discretized(f64(0.26, -7.0, 7.0), f64(1e-9), 5)
    assert sharp.sample(keyed(0)).tolist() == [0.5, -1.0, 1.0]
    assert sharp.log_prob(f64(0.5, -1.0, 1.0)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("levels", [1, 0, 65537])
def test_impossible_levels(levels):
    with pytest.raises(ValueError, match="levels"):
        Discretized(f64(0.0), f64(1.0), levels)


def test_other_levels_are_other_laws():
    with pytest.raises(TypeError, match="same"):
        Discretized(f64(0.0), f64(1.0), 4).kl(Discretized(f64(0.0), f64(1.0), 5))
