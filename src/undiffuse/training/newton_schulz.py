"""The nearest orthogonal matrix, roughly, by products alone: the Newton-Schulz iteration of Muon.

X_0 = G / |G|, and five times X <- p(X X') X with p(s) = a + b s + c s^2, which moves every singular value
of G into about 0.7 to 1.2 and leaves the singular vectors as they are (Jordan et al. 2024). The polynomials
of all steps commute, since all are polynomials of X_0 X_0'. So a matrix that is much wider than tall is
multiplied twice only: X_5 = Q X_0, with Q worked out from the small X_0 X_0'. That squares the condition
number, which float32 can bear and bfloat16 cannot.
"""

import torch
from torch import Tensor

A, B, C = 3.4445, -4.7750, 2.0315  # those of Muon's authors
STEPS = 5
WIDE = 1.5  # columns a row from which on the small products are fewer: 12 r^3 + 2 r^2 c < 10 r^2 c


def orthogonal(g: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Matrices (N, rows, columns), each with its singular values near 1, computed in this type."""
    tall = g.shape[-2] > g.shape[-1]
    x = (g.mT if tall else g).to(dtype)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    wide = dtype == torch.float32 and x.shape[-1] > WIDE * x.shape[-2]
    x = _by_gram(x) if wide else _by_steps(x)
    return (x.mT if tall else x).to(g.dtype)


def _by_steps(x: Tensor) -> Tensor:
    for _ in range(STEPS):
        s = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=B, alpha=C), x, beta=A)
    return x


def _by_gram(x: Tensor) -> Tensor:
    s = x @ x.mT
    q = p = _polynomial(s)
    for _ in range(STEPS - 1):
        s = p @ s @ p
        p = _polynomial(s)
        q = p @ q
    return q @ x


def _polynomial(s: Tensor) -> Tensor:
    p = torch.baddbmm(s, s, s, beta=B, alpha=C)
    p.diagonal(dim1=-2, dim2=-1).add_(A)
    return p
