"""Mean and spread of columns of any length, a part at a time, in float64."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Moments:
    """Of columns: how many values, their mean, the sum of squares about it, and their ends, in float64."""

    count: int
    mean: Tensor
    squares: Tensor
    low: Tensor
    high: Tensor


def moments_of(parts: Iterable[Tensor]) -> Moments:
    """Moments of all rows of the parts (n, D), merged part by part.

    Reference: T. Chan, G. Golub and R. LeVeque, Algorithms for computing the sample variance, 1983, eq. 2.1.
    """
    merged = None
    for part in parts:
        rows = part.double()
        mean = rows.mean(0)
        new = Moments(len(rows), mean, (rows - mean).square().sum(0), rows.amin(0), rows.amax(0))
        merged = new if merged is None else _merged(merged, new)
    assert merged is not None  # a split is never empty
    return merged


def _merged(a: Moments, b: Moments) -> Moments:
    count, apart = a.count + b.count, b.mean - a.mean
    mean = a.mean + apart * (b.count / count)
    squares = a.squares + b.squares + apart.square() * (a.count * (b.count / count))
    return Moments(count, mean, squares, torch.minimum(a.low, b.low), torch.maximum(a.high, b.high))
