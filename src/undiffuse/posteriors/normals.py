"""Normal distributions at work: moved, factorised, and linear equations with their covariances."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from undiffuse.devices import onto, sent, wide, widest
from undiffuse.distributions import Correlated, Discretized, Distribution, Normal, Rotated


def shifted(p: Distribution, by: Tensor) -> Distribution:
    """p about another mean. Raises ValueError for what is no normal."""
    if isinstance(p, Normal | Correlated | Rotated | Discretized):
        return replace(p, loc=p.loc + by)
    raise ValueError(f"a {type(p).__name__} cannot be shifted: posteriors of numbers need a normal last step")


def conjugate_gradients(
    product: Callable[[Tensor], tuple[Tensor, Tensor]],
    b: Tensor,
    iterations: int,
    most: Tensor,
) -> Tensor:
    """C A' x with V x = b, V = A C A' + std^2, row by row; a row stops where it cannot go on.

    `product` gives V w and C A' w of w, and is asked once an iteration. C is symmetric, with eigenvalues from
    0 to `most`, a number or one a row, so that w' V w >= |C A' w|^2 / most. What a network says of C may be
    otherwise, and without that bound a w' V w that is nearly 0 by chance leads anywhere.
    """
    rest, way, left = b, b, _dot(b, b)
    least = 1e-12 * left + torch.finfo(b.dtype).tiny
    found: Tensor | None = None
    for _ in range(iterations):
        if found is not None and not bool((left > least).any()):
            break
        seen, carried = product(way)
        curved = _dot(way, seen)
        go = (curved > 0) & (left > least)
        curved = curved.maximum(_rows(_dot(carried, carried), way) / _rows(most.to(way), way))
        pace = torch.where(go, left / curved.masked_fill(~go, 1), 0)
        more = _rows(pace, carried) * carried
        found, rest = more if found is None else found + more, rest - pace * seen
        new = _dot(rest, rest)
        way, left = rest + new / left.clamp(min=torch.finfo(b.dtype).tiny) * way, new
    assert found is not None
    return found


def stable_root(var: Tensor, before: Tensor | None = None) -> Tensor:
    """Cholesky's factor of symmetric matrices (B, n, n) >= 0, of a tiny bit more where they are singular.

    Tiny beside `before`, what var was before something was taken from it: var itself may be all rounding.
    Raises FloatingPointError for what is no covariance.
    """
    whole = var if before is None else before
    scale = whole.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-300)[..., None, None]
    unit = torch.eye(var.shape[-1], dtype=var.dtype, device=var.device)
    root, failed = torch.linalg.cholesky_ex(var)
    more = 1e-12
    while bool(failed.any()):
        if more > 1:
            raise FloatingPointError(
                "a covariance is not finite, or far from positive: is the network's output?"
            )
        root, failed = torch.linalg.cholesky_ex(var + more * scale * unit)
        more *= 100
    found: Tensor = root
    return found


def inverse(var: Tensor) -> Tensor:
    """Of symmetric matrices (B, n, n) > 0."""
    found: Tensor = torch.cholesky_inverse(stable_root(var))
    return found


def variance(p: Distribution) -> Tensor:
    """The covariance matrices (B, n, n), or (1, n, n), of normals, float64. Raises ValueError for others."""
    if isinstance(p, Rotated):
        dense = p.axes.dense(p.shape[1:], wide(p.loc))
        return dense * wide(p.var).flatten(1).unsqueeze(-2) @ dense.mT
    if isinstance(p, Correlated):
        return wide(p.root @ p.root.mT)
    if isinstance(p, Normal):
        return torch.diag_embed(wide(onto(p.var, p.loc)).expand(p.shape).flatten(1))
    raise ValueError(f"a {type(p).__name__} is no normal step: posteriors of numbers need those")


def rows(coefficient: Tensor, like: Tensor, ndim: int) -> Tensor:
    """Float64 on the device of `like`: 0-d as it is, (B,) to broadcast against so many dimensions."""
    found = sent(coefficient, like.device, widest(like.device))
    return found.view(-1, *[1] * (ndim - 1)) if found.ndim else found


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, to broadcast against a."""
    return _rows((a * b).flatten(1).sum(1), a)


def _rows(numbers: Tensor, of: Tensor) -> Tensor:
    """One number, or one a row, to broadcast against `of`."""
    return numbers.reshape(-1, *[1] * (of.ndim - 1))
