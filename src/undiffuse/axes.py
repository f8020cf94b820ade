"""Orthogonal coordinates of examples of one shape, z = U' x, in which noise of one width stays what it is.

U is one matrix for all values of an example, or the product of one for each of its dimensions (such as a
cosine transform along rows and columns); a dimension without a matrix stays as it is.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WHOLE = -1  # the dimension of a matrix that mixes all values
NAMES = {WHOLE: "every", 0: "first", 1: "second", 2: "third"}  # of the matrices, where they are saved


class Axes(nn.Module):
    """x (B, *shape) <-> z of the same shape. `matrices[d]` (n, n) holds the axes of dimension d as columns.

    No matrices are the coordinates of x itself. `Axes.whole` is one matrix for all values.
    """

    def __init__(self, matrices: dict[int, Tensor] | None = None) -> None:
        super().__init__()
        self.dimensions = sorted(matrices or {})
        for dimension, matrix in (matrices or {}).items():
            self.register_buffer(NAMES[dimension], matrix.double())

    @classmethod
    def whole(cls, matrix: Tensor) -> "Axes":
        """One matrix (n, n) for all n values of an example."""
        return cls({WHOLE: matrix})

    def matrix(self, dimension: int, like: Tensor) -> Tensor:
        """The axes of a dimension, in the dtype of `like` and where it is."""
        found: Tensor = getattr(self, NAMES[dimension])
        return found.to(like.device, like.dtype)

    def along(self, x: Tensor) -> Tensor:
        """z = U' x."""
        for d in self.dimensions:
            x = _apply(x, self.matrix(d, x), d)
        return x

    def back(self, z: Tensor) -> Tensor:
        """x = U z."""
        for d in self.dimensions:
            z = _apply(z, self.matrix(d, z).mT, d)
        return z

    def diagonal(self, var: Tensor) -> Tensor:
        """The variances of the values of x, of variances (B, *shape) or (1, *shape) along the axes."""
        for d in self.dimensions:
            var = _apply(var, self.matrix(d, var).mT.square(), d)
        return var

    def dense(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """U as one matrix (n, n)."""
        unit = torch.eye(math.prod(shape), dtype=like.dtype, device=like.device)
        return self.back(unit.view(-1, *shape)).flatten(1).mT


def cosines(n: int) -> Tensor:
    """The cosine transform (DCT-II) as columns (n, n), constant first."""
    k, i = torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64).unsqueeze(1)
    waves = torch.cos(math.pi * (i + 0.5) * k / n) * math.sqrt(2 / n)
    waves[:, 0] = math.sqrt(1 / n)
    return waves


def _apply(x: Tensor, matrix: Tensor, dimension: int) -> Tensor:
    """sum_j x_j matrix_jk along a dimension of the examples."""
    if dimension == WHOLE:
        return (x.flatten(1) @ matrix).view(x.shape)
    place = dimension + 1
    if place == x.ndim - 1:
        return x @ matrix
    return (x.movedim(place, -1) @ matrix).movedim(-1, place)
