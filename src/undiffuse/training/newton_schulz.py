"""The nearest orthogonal matrix, roughly, by products alone: the Newton-Schulz iteration of Muon.

X_0 = G / |G|, and five times X <- p(X X') X with p(s) = a + b s + c s^2, which moves every singular value
of G into about 0.7 to 1.2 and leaves the singular vectors as they are (Jordan et al. 2024). The polynomials
of all steps commute, since all are polynomials of X_0 X_0'. So a matrix much wider than tall need be
multiplied only twice: X_5 = Q X_0, with Q worked out from X_0 X_0', at once for all matrices of as many rows.
That squares the condition number, which float32 can bear and bfloat16 cannot.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

A, B, C = 3.4445, -4.7750, 2.0315  # those of Muon's authors
STEPS = 5
WIDE = 1.5  # columns a row from which on Q takes fewer operations: 34 r^3 + 4 r^2 c < 10 r^3 + 20 r^2 c


def orthogonal(matrices: Sequence[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Each of the matrices with its singular values near 1, computed in this type."""
    flat = [(g if g.shape[0] <= g.shape[1] else g.mT).to(dtype) for g in matrices]
    xs = [x / x.norm().clamp(min=1e-7) for x in flat]
    alike = defaultdict(list)  # numbers of wide ones, by rows
    for number, x in enumerate(xs):
        if dtype == torch.float32 and x.shape[1] > WIDE * x.shape[0]:
            alike[len(x)].append(number)
        else:
            xs[number] = _stepwise(x)
    for numbers in alike.values():
        q = _product(torch.stack([xs[number] @ xs[number].mT for number in numbers]))
        for number, each in zip(numbers, q, strict=True):
            xs[number] = each @ xs[number]
    return [(x if x.shape == g.shape else x.mT).to(g.dtype) for x, g in zip(xs, matrices, strict=True)]


def _stepwise(x: Tensor) -> Tensor:
    for _ in range(STEPS):
        s = x @ x.mT
        x = torch.addmm(x, torch.addmm(s, s, s, beta=B, alpha=C), x, beta=A)
    return x


def _product(s: Tensor) -> Tensor:
    """Of the polynomials of all steps, for X_0 X_0' (N, rows, rows)."""
    q = p = _polynomial(s)
    for _ in range(STEPS - 1):
        s = p @ s @ p
        p = _polynomial(s)
        q = p @ q
    return q


def _polynomial(s: Tensor) -> Tensor:
    p = torch.baddbmm(s, s, s, beta=B, alpha=C)
    p.diagonal(dim1=-2, dim2=-1).add_(A)
    return p
