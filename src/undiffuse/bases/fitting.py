"""How a base is fitted: in one pass over the data, and what it is chosen by.

How far a covariance is drawn to its diagonal, whether pictures have one of cosines, and whether a mixture is
better, and of how many components: each is chosen by the log-density of examples that it was not fitted to.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from undiffuse.axes import Axes, cosines
from undiffuse.bases.base import Base
from undiffuse.bases.em import FLOOR, fit_mixture
from undiffuse.bases.frequencies import Frequencies
from undiffuse.bases.gaussian import GaussianBase
from undiffuse.bases.mixture import MixtureBase
from undiffuse.kernels import Kernel
from undiffuse.random import keyed
from undiffuse.tensors import dims

FOLDS = 5  # parts of the data
SCORED = 5_000  # examples up to which each is held out once; so many are, at most, of more
WIDE, WIDEST = 48, 1024  # values of an example up to which that is done, and covariances are full
MIXED = 64  # and up to which mixtures are tried
SHRINKS = (0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)
PRIORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
COUNTS, MIXTURE_PRIORS, MOST_MIXED = (2, 3, 4, 6, 8, 12, 16, 24, 32), (0.1, 1.0, 5.0), 10_000
Stream = Iterable[Tensor]  # x_0 (n, *shape), part by part


def fit(stream: Stream, kernel: Kernel, seed: int = 0, *, mixture: bool = True) -> Base:
    """The base of these examples for a chain of this kernel: one pass.

    Frequencies for symbols; for numbers a normal density, or a `mixture` where that is better. Raises
    ValueError for no examples, and for fewer than two of numbers.
    """
    if kernel.symbols is not None:
        return fit_frequencies(stream, kernel.symbols)
    return fit_numbers(torch.cat(list(stream)), seed, mixture=mixture)


def fit_frequencies(stream: Stream, symbols: int) -> Frequencies:
    """Frequencies (*shape, symbols), drawn to those of all places by as many prior examples as do best.

    Best is what leaves the least surprise when one example is left out at a time, which counts alone tell.
    """
    counts, count = torch.zeros(()), 0
    for x_0 in stream:
        cells = x_0.long().flatten(1) + symbols * torch.arange(x_0[0].numel())
        found = torch.bincount(cells.flatten(), minlength=x_0[0].numel() * symbols)
        counts = counts + found.view(*x_0.shape[1:], symbols).double()
        count += len(x_0)
    if not count:
        raise ValueError("no examples: a base is fitted to at least one")
    common = counts.flatten(0, -2).sum(0) + 0.5
    common = common / common.sum()

    def smoothed(counts: Tensor, number: int, prior: float) -> Tensor:
        return (counts + prior * common) / (number + prior)

    def left_out(prior: float) -> float:
        others = smoothed((counts - 1).clamp(min=0), count - 1, prior)
        return float((counts * others.log()).sum())

    probs = smoothed(counts, count, max(PRIORS, key=left_out))
    return Frequencies(probs / probs.sum(-1, keepdim=True))


def fit_independent(rows: Tensor) -> GaussianBase:
    """A normal density of every value alone, of examples (N, *shape)."""
    return _normal(rows.double(), Axes())


def fit_numbers(rows: Tensor, seed: int = 0, *, mixture: bool = True) -> GaussianBase | MixtureBase:
    """The normal density that is best for examples it has not seen; or a mixture, if surely better.

    Of examples (N, *shape). Raises ValueError for fewer than two.
    """
    rows = rows.double()
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} example(s): a normal density is fitted to at least two")
    folds = _folds(rows, seed)
    scores = [torch.cat(each) for each in zip(*(_scored(*pair) for pair in folds), strict=True)]
    best = max(range(len(scores)), key=lambda i: float(scores[i].mean())) if scores else 0
    normal = _normals(rows)[best]()
    if not mixture or dims(normal.shape) > MIXED or len(rows) < 10 * FOLDS:
        return normal
    return _best_mixture(rows, normal, scores[best], folds, seed) or normal


def _folds(rows: Tensor, seed: int) -> list[tuple[Tensor, Tensor]]:
    """(rows to fit, rows to score): each row scored once, or a part alone of many or wide ones."""
    if len(rows) <= FOLDS:
        return []
    fold = torch.randperm(len(rows), generator=keyed(seed, "folds")) % FOLDS
    every = len(rows) <= SCORED and rows[0].numel() <= WIDE
    return [(rows[fold != k], rows[fold == k][:SCORED]) for k in range(FOLDS if every else 1)]


def _scored(fitted: Tensor, held: Tensor) -> list[Tensor]:
    return [build().log_prob(held) for build in _normals(fitted)]


def _normals(rows: Tensor) -> list[Callable[[], GaussianBase]]:
    """Normal densities of these rows, the plainest first, each made when it is asked for."""
    shape = tuple(rows.shape[1:])
    found: list[Callable[[], GaussianBase]] = [partial(_normal, rows, Axes())]
    if len(shape) == 3 and min(shape[1:]) > 1:
        found.append(partial(_cosines, rows))
    if 1 < dims(shape) <= WIDEST:
        away = (rows - rows.mean(0)).flatten(1)
        covariance = away.T @ away / len(rows)
        shares = SHRINKS if dims(shape) <= WIDE else SHRINKS[::3]
        found += [partial(_full, rows.mean(0), covariance, share) for share in shares]
    return found


def _cosines(rows: Tensor) -> GaussianBase:
    """Pictures whose statistics are the same everywhere have the axes of the cosine transform, nearly."""
    channels, height, width = rows.shape[1:]
    colours = (rows - rows.mean((0, 2, 3), keepdim=True)).movedim(1, 0).flatten(1)
    axes = {0: torch.linalg.eigh(colours @ colours.T)[1]} if channels > 1 else {}
    return _normal(rows, Axes(axes | {1: cosines(height), 2: cosines(width)}))


def _full(mean: Tensor, covariance: Tensor, share: float) -> GaussianBase:
    """All covariances, drawn by this share to none."""
    drawn = (1 - share) * covariance + share * torch.diag(covariance.diagonal())
    var, axes = torch.linalg.eigh(drawn)
    return GaussianBase(mean, _floored(var).view(mean.shape), Axes.whole(axes))


def _normal(rows: Tensor, axes: Axes) -> GaussianBase:
    mean = rows.mean(0)
    return GaussianBase(mean, _floored(axes.along(rows - mean).square().mean(0)), axes)


def _floored(var: Tensor) -> Tensor:
    return var.clamp(min=FLOOR * max(float(var.mean()), 1e-12))


def _best_mixture(
    rows: Tensor, normal: GaussianBase, score: Tensor, folds: list[tuple[Tensor, Tensor]], seed: int
) -> MixtureBase | None:
    """The mixture whose held-out log-density is highest, unless the normal's is as high within two errors."""

    def fitted(x: Tensor, count: int, prior: float) -> MixtureBase:
        x = x[:: -(-len(x) // MOST_MIXED)]
        return fit_mixture(x, count, prior, normal, keyed(seed, "mixture", count))

    best: tuple[float, int, float] | None = None
    for prior in MIXTURE_PRIORS:
        since = 0
        for count in COUNTS:
            if count * FOLDS * 2 > len(rows) or since == 2:
                break
            theirs = torch.cat([fitted(x, count, prior).log_prob(held) for x, held in folds])
            gain = theirs - score
            mean, error = float(gain.mean()), float(gain.std()) / math.sqrt(len(gain))
            better = mean > 2 * error and (best is None or mean > best[0])
            best, since = ((mean, count, prior), 0) if better else (best, since + 1)
    return None if best is None else fitted(rows, *best[1:])
