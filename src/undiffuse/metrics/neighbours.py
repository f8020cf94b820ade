"""Precision and recall, density and coverage, from balls that reach to the k-th nearest neighbour.

With B(z) the ball around z up to the k-th nearest other member of its own set, samples y_j, j = 1..N, and
data x_i, i = 1..M,

    precision = mean_j [y_j lies in some B(x_i)]          recall   = mean_i [x_i lies in some B(y_j)]
    density   = mean_j (number of B(x_i) around y_j) / k  coverage = mean_i [B(x_i) holds some y_j]

T. Kynkäänniemi et al., Improved precision and recall metric for assessing generative models, NeurIPS 2019,
eqs. 1 and 2 (k = 3); M. F. Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML
2020, section 3 (k = 5). Precision and density judge how good samples are, recall and coverage how varied.
Density may exceed 1; for samples of the data's own law it is 1 and coverage 1 - 2^-k in the mean, if N = M.

A point on a ball's surface is inside it, as in eq. 1. The surface is 10^-12 R^2 thick, in squared distance
and with R the largest distance from the mean of the data, so that equal distances count as equal: data of
few levels have many.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.metrics.rows import feature_rows, row_blocks, squared_distances

THICKNESS = 1e-12


@dataclass(frozen=True)
class Neighbours:
    """Shares from 0 to 1; density has no upper end."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbours(samples: Tensor, data: Tensor, k: int = 5) -> Neighbours:
    """All four at k. Time grows with (N + M)^2 D; memory holds float64 copies of both sets and 64 MiB.

    Args:
        samples: features ``(N, D)``, N > k.
        data: features ``(M, D)``, M > k.
        k: which neighbour a ball reaches to, from 1.

    Raises:
        ValueError: k below 1, too few rows, rows that are not finite floats, unequal D.
    """
    if k < 1:
        raise ValueError(f"k is {k}; the nearest neighbour is 1")
    y, x = feature_rows(k + 1, samples=samples, data=data)
    y, x = y - x.mean(0), x - x.mean(0)
    thickness = THICKNESS * max(float(z.square().sum(1).max()) for z in (x, y))
    reach_y, reach_x = (_reach(z, k) + thickness for z in (y, x))
    around = torch.zeros(len(y), dtype=torch.int64)  # number of B(x_i) around each sample
    covered, recalled = torch.zeros(2, len(x), dtype=torch.bool)
    for begin, rows in row_blocks(y, len(x)):
        distance, mine = squared_distances(rows, x), slice(begin, begin + len(rows))
        inside = distance <= reach_x
        around[mine] = inside.sum(1)
        covered |= inside.any(0)
        recalled |= (distance <= reach_y[mine, None]).any(0)
    return Neighbours(
        precision=_mean(around > 0),
        recall=_mean(recalled),
        density=_mean(around) / k,
        coverage=_mean(covered),
    )


def _reach(x: Tensor, k: int) -> Tensor:
    """Squared distance ``(N,)`` to the k-th nearest other row; the nearest of all is the row itself."""
    blocks = (squared_distances(rows, x) for _, rows in row_blocks(x, len(x)))
    return torch.cat([block.topk(k + 1, 1, largest=False).values[:, -1] for block in blocks])


def _mean(x: Tensor) -> float:
    return float(x.double().mean())
