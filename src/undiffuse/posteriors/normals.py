"""Normal distributions at work: moved, factorised, and linear equations with their covariances."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from undiffuse.distributions import Correlated, Discretized, Distribution, Normal


def shifted(p: Distribution, by: Tensor) -> Distribution:
    """p about another mean. Raises ValueError for what is no normal."""
    if isinstance(p, Normal | Correlated | Discretized):
        return replace(p, loc=p.loc + by)
    raise ValueError(f"a {type(p).__name__} cannot be shifted: posteriors of numbers need a normal last step")


def conjugate_gradients(product: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """x with product(x) = b, row by row, for a symmetric product >= 0; a row stops where it cannot go on."""
    x, rest = torch.zeros_like(b), b
    way, left = rest, _dot(rest, rest)
    least = 1e-12 * left + torch.finfo(b.dtype).tiny
    for _ in range(iterations):
        if not bool((left > least).any()):
            break
        seen = product(way)
        curved = _dot(way, seen)
        go = (curved > 0) & (left > least)
        pace = torch.where(go, left / curved.masked_fill(~go, 1), 0)
        x, rest = x + pace * way, rest - pace * seen
        new = _dot(rest, rest)
        way, left = rest + new / left.clamp(min=torch.finfo(b.dtype).tiny) * way, new
    return x


def stable_root(var: Tensor) -> Tensor:
    """Cholesky's factor of symmetric matrices (B, n, n) >= 0, of a tiny bit more where they are singular."""
    scale = var.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-300)[..., None, None]
    unit = torch.eye(var.shape[-1], dtype=var.dtype, device=var.device)
    root, failed = torch.linalg.cholesky_ex(var)
    more = 1e-12
    while bool(failed.any()):
        root, failed = torch.linalg.cholesky_ex(var + more * scale * unit)
        more *= 100
    found: Tensor = root
    return found


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, to broadcast against a."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))
