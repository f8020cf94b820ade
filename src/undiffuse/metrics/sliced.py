r"""Sliced Wasserstein distance: how far two sets of features are from each other along random directions.

    SW_2^2 = mean over unit directions u of W_2^2(u.x, u.y),    W_2^2 = \int_0^1 (F_x^{-1} - F_y^{-1})^2

(N. Bonneel et al., Sliced and Radon Wasserstein barycenters of measures, J. Math. Imaging Vis. 2015). In one
dimension the best transport pairs values by rank. It sees any difference, where Fréchet distances see means
and covariances; of few examples it is too large, as those are: compare equal numbers.
"""

import torch
from torch import Tensor

from undiffuse.estimate import Estimate
from undiffuse.metrics.rows import feature_rows

DIRECTIONS = 256
GROUPS = 10  # of the jackknife, if there are so many rows


def sliced_wasserstein(
    samples: Tensor, data: Tensor, *, generator: torch.Generator, directions: int = DIRECTIONS
) -> Estimate:
    """SW_2^2 and its standard error over both sets: the jackknife that leaves out a tenth of each in turn.

    Where the numbers of rows differ, the quantiles of both are read at as many places as the larger has.

    Args:
        samples: features ``(N, D)``, N >= 4.
        data: features ``(M, D)``, M >= 4.
        generator: on the CPU; draws the directions.
        directions: how many.

    Raises:
        ValueError: too few rows, rows that are not finite floats, unequal D, no directions.
    """
    if directions < 1:
        raise ValueError(f"directions={directions}: at least one")
    x, y = feature_rows(4, samples=samples, data=data)
    u = torch.randn(x.shape[1], directions, generator=generator, dtype=torch.float64)
    u = u / u.norm(dim=0)
    x, y = x @ u, y @ u
    groups = min(GROUPS, len(x), len(y))
    left = [_squared(*(z[torch.arange(len(z)) % groups != g] for z in (x, y))) for g in range(groups)]
    spread = torch.tensor(left, dtype=torch.float64).var(correction=0) * (groups - 1)
    return Estimate(_squared(x, y), float(spread.sqrt()))


def _squared(x: Tensor, y: Tensor) -> float:
    """The mean of W_2^2 over the columns of projections (N, K) and (M, K)."""
    places = (torch.arange(max(len(x), len(y))).double() + 0.5) / max(len(x), len(y))
    x, y = (z.sort(0).values[(places * len(z)).long()] for z in (x, y))
    return float((x - y).square().mean())
