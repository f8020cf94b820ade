"""The bound of a row of correlated numbers and symbols, at nodes of a quadrature, with the exact denoiser.

Averaged, its terms are what formulas and enumeration in numpy give.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from mixed_oracle import COVARIANCES, LAW, MEANS, STATES, Exact, moments, redrawn, scales, seen, symbol_shares
from oracles import f64
from undiffuse import terms

WIDTH = 0.25
NODES = np.arange(-8, 8, WIDTH)
Y = np.stack(np.meshgrid(NODES, NODES, indexing="ij"), -1).reshape(-1, 2)
GRIDS = [(1.0,), (0.1, 0.4, 1.0)]


def rows(t: float) -> tuple[Tensor, Tensor, np.ndarray]:
    """x_0 and x_t, (N, 4), and their weights: two nodes along each axis of x_0's numbers are exact."""
    x_0, x_t, weights = [], [], []
    for b, k in STATES:
        log, means, left = seen(t, Y, np.full(len(Y), b), np.full(len(Y), k))
        for c, (b_0, k_0) in enumerate(STATES):
            values, axes = np.linalg.eigh(left[c])
            for signs in itertools.product((-1.0, 1.0), repeat=2):
                numbers = means[:, c] + axes @ (np.array(signs) * np.sqrt(values))
                x_0.append(np.insert(numbers, 1, [[b_0], [k_0]], axis=1))
                x_t.append(np.insert(Y, 1, [[b], [k]], axis=1))
                weights.append(np.exp(log[:, c]) * WIDTH**2 / 4)
    return *(torch.from_numpy(np.concatenate(each)) for each in (x_0, x_t)), np.concatenate(weights)


def own(grid: tuple[float, ...]) -> float:
    """The bound's mean as the library has it."""
    model, total = Exact(), 0.0
    x_0, _, weights = rows(1.0)
    total += weights @ terms.prior(model, x_0).numpy()
    for s, t in itertools.pairwise(grid):
        x_0, x_t, weights = rows(t)
        total += weights @ terms.step_from(model, x_0, x_t, f64(s), f64(t)).numpy()
    x_0, x_t, weights = rows(grid[0])
    return total + weights @ terms.decode(model, x_0, x_t, f64(grid[0])).numpy()


def divergence(q: np.ndarray, p: np.ndarray) -> np.ndarray:
    return (q * np.log(q / p)).sum(-1)


def step(s: float, t: float, shares: np.ndarray, var: np.ndarray, b: int, k: int) -> np.ndarray:
    """The mean over x_0 of the divergences of a step from x_t, a node of y."""
    (alpha_s, sigma_s, kept_s), (alpha_t, sigma_t, kept_t) = scales(s), scales(t)
    hop = sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2
    width, a = hop * sigma_s**2 / sigma_t**2, alpha_s * hop / sigma_t**2
    found = 0.5 * np.log1p(a**2 * var / width).sum(1)
    for soft, x_t in zip(symbol_shares(shares), (b, k), strict=True):
        count = soft.shape[1]
        bridge = redrawn(kept_s, count) * redrawn(kept_t / kept_s, count)[:, x_t]  # a row an x_0
        bridge /= bridge.sum(1, keepdims=True)
        found += (soft * divergence(bridge, (soft @ bridge)[:, None])).sum(1)
    return found


def direct(grid: tuple[float, ...]) -> float:
    """The same in numpy."""
    alpha, sigma, kept = scales(1.0)
    squares = LAW @ (MEANS**2 + np.diagonal(COVARIANCES, axis1=1, axis2=2))
    total = 0.5 * (alpha**2 * squares + sigma**2 - 1 - np.log(sigma**2)).sum()
    total += sum(divergence(redrawn(kept, n)[0], np.full(n, 1 / n)) for n in (2, 3))
    for s, t in [(0.0, grid[0]), *itertools.pairwise(grid)]:
        for b, k in STATES:
            found = seen(t, Y, np.full(len(Y), b), np.full(len(Y), k))
            shares, _, var = moments(*found)
            weights = np.exp(found[0]).sum(1) * WIDTH**2
            if s:
                total += weights @ step(s, t, shares, var, b, k)
            else:
                entropies = 0.5 * np.log(2 * np.pi * np.e * var).sum(1)
                entropies -= sum((soft * np.log(soft)).sum(1) for soft in symbol_shares(shares))
                total += weights @ entropies
    return float(total)


@pytest.mark.parametrize("grid", GRIDS, ids=len)
def test_the_bound_is_that_of_formulas_and_enumeration(grid):
    assert own(grid) == pytest.approx(direct(grid), abs=1e-9)


def test_more_steps_cost_less():
    bounds = [direct(tuple(np.arange(1, n + 1) / n)) for n in (1, 4, 16)]
    assert all(a > b + 0.01 for a, b in itertools.pairwise(bounds))
