"""Mixtures of normals by expectation and maximisation, their covariances drawn to what they have in common.

    r_ik prop. to w_k N(x_i; m_k, C_k)
    N_k = sum_i r_ik,    m_k = sum_i r_ik x_i / N_k,    S_k = sum_i r_ik (x_i - m_k)(x_i - m_k)'
    C_k = (S_k + nu W) / (N_k + nu),    W = sum_k S_k / N

with nu prior examples of the common covariance W: nu = 0 leaves every component its own, nu without end gives
all the same.
"""

import math

import torch
from torch import Tensor

from undiffuse.bases.gaussian import GaussianBase
from undiffuse.bases.mixture import MixtureBase

ROUNDS, ENOUGH = 100, 1e-3  # and the gain, in nats an example, below which a round was the last
FLOOR = 1e-6  # the least variance along an axis, of that of the data's


def fit_mixture(
    rows: Tensor, count: int, prior: float, normal: GaussianBase, generator: torch.Generator
) -> MixtureBase:
    """`count` components fitted to rows (N, *shape), float64, beside a normal density of them.

    `prior` is nu for each value of an example.
    """
    x = rows.flatten(1)
    nu, share = prior * x.shape[1], _nearest(x, _spread_out(x, count, generator))
    before = -math.inf
    for _ in range(ROUNDS):
        log_weights, means, covariances = _maximised(x, share, nu)
        log_joint = _log_joint(x, log_weights, means, torch.linalg.cholesky(covariances))
        each = log_joint.logsumexp(1, keepdim=True)
        share, now = (log_joint - each).exp(), float(each.mean())
        if now - before < ENOUGH:
            break
        before = now
    variances, frames = torch.linalg.eigh(covariances)
    return MixtureBase(log_weights, means, variances, frames, normal)


def _maximised(x: Tensor, share: Tensor, nu: float) -> tuple[Tensor, Tensor, Tensor]:
    size = share.sum(0).clamp(min=1e-3)
    means = (share.T @ x) / size.unsqueeze(1)
    scatter = torch.stack([_scatter(x - m, r) for m, r in zip(means, share.T, strict=True)])
    common = scatter.sum(0) / len(x)
    floor = FLOOR * common.diagonal().mean().clamp(min=1e-12) * torch.eye(x.shape[1], dtype=x.dtype)
    covariances = (scatter + nu * common) / (size + nu)[:, None, None] + floor
    return (size / size.sum()).log(), means, covariances


def _scatter(away: Tensor, share: Tensor) -> Tensor:
    return (away * share.unsqueeze(1)).T @ away


def _log_joint(x: Tensor, log_weights: Tensor, means: Tensor, roots: Tensor) -> Tensor:
    """(N, K)."""
    found = []
    for w, m, root in zip(log_weights, means, roots, strict=True):
        z = torch.linalg.solve_triangular(root, (x - m).T, upper=False)
        log_volume = root.diagonal().log().sum() + 0.5 * x.shape[1] * math.log(2 * math.pi)
        found.append(w - log_volume - 0.5 * z.square().sum(0))
    return torch.stack(found, 1)


def _spread_out(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Starting centres (K, n): each drawn as often as it is far from those before it, in squares."""
    scaled = x / x.std(0).clamp(min=1e-9)
    centres = [int(torch.randint(len(x), (), generator=generator))]
    far = torch.full((len(x),), math.inf, dtype=x.dtype)
    for _ in range(count - 1):
        far = far.minimum((scaled - scaled[centres[-1]]).square().sum(1))
        chosen = torch.multinomial(far.clamp(min=1e-12), 1, generator=generator)
        centres.append(int(chosen))
    return x[centres]


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    """(N, K): one where a centre is the nearest, after some rounds of k-means."""
    scale = x.std(0).clamp(min=1e-9)
    for _ in range(10):
        near = torch.cdist(x / scale, centres / scale).argmin(1)
        share = torch.nn.functional.one_hot(near, len(centres)).to(x)
        size = share.sum(0).unsqueeze(1)
        centres = torch.where(size > 0, (share.T @ x) / size.clamp(min=1), centres)
    return share
