"""What the distances between two sets of features share: checked rows, and squared lengths of differences."""

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 2**22  # numbers held at a time: 32 MiB


def feature_rows(least: int, **arrays: Tensor) -> list[Tensor]:
    """Each array as float64 ``(N, D)`` on the CPU.

    Args:
        least: N that each must have.
        arrays: floats ``(N, D)``, under the names that errors give them.

    Raises:
        ValueError: fewer than `least` rows, rows that are no vectors of floats, not finite, or of other
            lengths than the first array's.
    """
    first, wide = next((name, array.shape[-1] if array.ndim else 0) for name, array in arrays.items())
    for name, array in arrays.items():
        if array.ndim != 2 or array.numel() == 0:
            raise ValueError(
                f"{name} has shape {tuple(array.shape)}; give features (N, D), one row an example"
            )
        if not array.is_floating_point():
            raise ValueError(f"{name} is {array.dtype}; give floats: pixels / 255, or features of a network")
        if len(array) < least:
            raise ValueError(f"{name} has {len(array)} rows; give at least {least}")
        if array.shape[1] != wide:
            raise ValueError(f"{name} has {array.shape[1]} features, {first} has {wide}; use one extractor")
        if not array.isfinite().all():
            raise ValueError(f"{name} has values that are not finite; leave those examples out")
    return [array.detach().cpu().double() for array in arrays.values()]


def row_blocks(rows: Tensor, columns: int) -> Iterator[tuple[int, Tensor]]:
    """(number of the first, some rows), so that a matrix of rows x `columns` has at most CHUNK numbers."""
    height = max(1, CHUNK // columns)
    for begin in range(0, len(rows), height):
        yield begin, rows[begin : begin + height]


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """``|x_i - y_j|^2``, float64 ``(N, M)``, from |x|^2 + |y|^2 - 2 x.y.

    What cancels leaves an error near 2^-52 R^2, where R is the largest length: put the origin amid the data.
    """
    distance = torch.addmm(y.square().sum(1), x, y.T, alpha=-2)
    return distance.add_(x.square().sum(1, keepdim=True)).clamp_(min=0)
