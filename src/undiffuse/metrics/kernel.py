"""Kernel distance: the squared maximum mean discrepancy of two sets of features, without bias.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)
    k(x, y) = (x.y / D + 1)^3

M. Binkowski et al., Demystifying MMD GANs, ICLR 2018, section 4 (there with Inception features: KID); the
unbiased estimate is eq. 3 of A. Gretton et al., A kernel two-sample test, JMLR 2012. Its mean is 0 for two
sets of one law, however few their examples, so it may be negative.

The paper averages over subsets. Here they are disjoint, hence independent, so that the standard error of
their mean is honest; subsets drawn anew each time overlap, and theirs is too small.
"""

import torch
from torch import Tensor

from undiffuse.estimate import Estimate, Moments
from undiffuse.metrics.rows import feature_rows, row_blocks

SIZE = 1000  # of a subset, as in the paper
SUBSETS = 10  # at least so many, if there are examples enough


def kernel_distance(
    samples: Tensor, data: Tensor, *, generator: torch.Generator, size: int | None = None
) -> Estimate:
    """MMD^2 and its standard error, from as many disjoint random pairs of subsets as there are.

    Memory: float64 copies of both sets, and 32 MiB.

    Args:
        samples: features ``(N, D)``, N >= 4.
        data: features ``(M, D)``, M >= 4.
        generator: on the CPU; decides which examples share a subset.
        size: examples of a subset, 2 to min(N, M) / 2. Default: 1000, or fewer if there would not be 10
            subsets.

    Raises:
        ValueError: too few rows, rows that are not finite floats, unequal D, a size that does not fit.
    """
    x, y = feature_rows(4, samples=samples, data=data)
    count = min(len(x), len(y))
    size = max(2, min(SIZE, count // SUBSETS)) if size is None else size
    if not 2 <= size <= count // 2:
        raise ValueError(
            f"size is {size}; with {count} examples choose 2 to {count // 2}: two subsets or more"
        )
    subsets = (torch.split(_shuffled(z, generator)[: count // size * size], size) for z in (x, y))
    found = Moments()
    found.add(torch.tensor([[_mmd2(a, b)] for a, b in zip(*subsets, strict=True)], dtype=torch.float64))
    return found.estimates()[0]


def mmd2(samples: Tensor, data: Tensor) -> float:
    """MMD^2 of the whole sets. Time grows with (N + M)^2 D, memory does not.

    Args:
        samples: features ``(N, D)``, N >= 2.
        data: features ``(M, D)``, M >= 2.

    Raises:
        ValueError: too few rows, rows that are not finite floats, unequal D.

    >>> round(mmd2(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]])), 6)
    7.0
    """
    return _mmd2(*feature_rows(2, samples=samples, data=data))


def _mmd2(x: Tensor, y: Tensor) -> float:
    own = sum((_sum(z, z) - _self(z)) / (len(z) * (len(z) - 1)) for z in (x, y))
    return own - 2 * _sum(x, y) / (len(x) * len(y))


def _sum(x: Tensor, y: Tensor) -> float:
    """Sum of k over all pairs, block by block."""
    return sum(float(_kernel(rows @ y.T, x.shape[1]).sum()) for _, rows in row_blocks(x, len(y)))


def _self(x: Tensor) -> float:
    """Sum of k(x_i, x_i)."""
    return float(_kernel(x.square().sum(1), x.shape[1]).sum())


def _kernel(products: Tensor, features: int) -> Tensor:
    return (products / features + 1) ** 3


def _shuffled(x: Tensor, generator: torch.Generator) -> Tensor:
    return x[torch.randperm(len(x), generator=generator)]
