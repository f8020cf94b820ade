"""Whether draws are as uncertain as they should be: the truth among n draws of it.

If the truth y is one more draw of the same law, its rank among them is uniform on 0 .. n (ties broken by
chance), and the interval from draw number k to number n + 1 - k holds it with probability

    1 - 2 k / (n + 1)

at least: more where values repeat, whose ends it has. How good draws are otherwise, the smaller the better:

    CRPS(y)     = mean |x_i - y| - 1/2 mean_{i != j} |x_i - x_j|           of one number
    energy(y)   = mean ||x_i - y|| - 1/2 mean_{i != j} ||x_i - x_j||       of all numbers of an example
    Brier(y)    = sum_k (p_k - [y = k])^2 - sum_k p_k (1 - p_k) / (n - 1)  of a symbol, p_k the share of draws

which are unbiased for few draws (Gneiting and Raftery 2007; Ferro 2014). Examples are independent, the
elements of one are not: errors are those of a ratio of sums over examples, and Pearson's statistic of uniform
ranks is divided by how much wider they are than those of independent elements (Rao and Scott 1984).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from undiffuse.estimate import Estimate
from undiffuse.random import Generator, uniform
from undiffuse.student import student

LEVELS = (0.5, 0.8, 0.9, 0.95)
DRAWS = 39  # the least that have intervals of just these
BINS, FEW = 10, 10  # of a histogram, at most; and what is the least that one has, about


@dataclass(frozen=True, eq=False)
class Numbers:
    """Of hidden numbers: `coverage` of intervals by their share, `ranks` (bins,) shares of the truth's rank.

    Both by intervals as they are, which hold their ends, and `fair`, ties broken by chance. `uniform` is the
    p value of a chi-squared test of ranks that are uniform.
    """

    count: int
    coverage: dict[float, Estimate]
    fair: dict[float, Estimate]
    ranks: list[Estimate]
    uniform: float
    crps: Estimate
    energy: Estimate


@dataclass(frozen=True, eq=False)
class Symbols:
    """Of hidden symbols: what share of draws is the truth, the Brier score, and how reliable shares are.

    `reliability` has, for shares of draws up to 0.1, 0.2 .., their mean and how often they were true.
    """

    count: int
    truth: Estimate
    brier: Estimate
    reliability: list[tuple[float, Estimate]]


def numbers(
    draws: Tensor, truth: Tensor, hidden: Tensor, scale: Tensor, generator: Generator
) -> Numbers | None:
    """Of draws (N, n, D) of `truth` (N, D) where `hidden` (N, D) is True; None if that is nowhere.

    CRPS and energy are in units of `scale` (D,). Raises ValueError for fewer than two draws or examples.
    """
    check_counts(*draws.shape[:2])
    if not bool(hidden.any()):
        return None
    n = draws.shape[1]
    x = draws.double().masked_fill(~hidden.unsqueeze(1), 0.0)
    y = truth.double().masked_fill(~hidden, 0.0)
    below, equal = ((each & hidden.unsqueeze(1)).sum(1) for each in (x < y.unsqueeze(1), x == y.unsqueeze(1)))
    chance = uniform(tuple(y.shape), generator, torch.float64)
    rank = below + (chance * (equal + 1)).floor().clamp(max=equal)
    inside, fair = {}, {}
    for level in LEVELS:
        k = rank_of(level, n)
        share = 1 - 2 * k / (n + 1)
        inside[share] = ratio((below <= n - k) & (below + equal >= k), hidden)
        fair[share] = ratio((rank >= k) & (rank <= n - k), hidden)
    most = max(2, min(2 * BINS, n + 1, int(hidden.sum()) // FEW))
    count = next(size for size in range(most, 0, -1) if (n + 1) % size == 0)
    bins = [ratio((rank * count // (n + 1)) == i, hidden) for i in range(count)]
    crps = ratio(crps_of(x, y) / scale, hidden)
    energy = ratio(_energy(x / scale, y / scale).unsqueeze(1), hidden.any(1, keepdim=True))
    return Numbers(int(hidden.sum()), inside, fair, bins, _uniform(bins, int(hidden.sum())), crps, energy)


def symbols(draws: Tensor, truth: Tensor, hidden: Tensor) -> Symbols | None:
    """Of draws (N, n, D) of symbols `truth` (N, D) where `hidden` is True; None if that is nowhere.

    Raises ValueError for fewer than two draws or examples.
    """
    check_counts(*draws.shape[:2])
    if not bool(hidden.any()):
        return None
    n, most = draws.shape[1], int(torch.maximum(draws.max(), truth[hidden].max())) + 1
    shares, own = torch.zeros(*truth.shape, most), torch.zeros(*truth.shape, most, dtype=torch.bool)
    kinds = torch.arange(most)
    for i in range(truth.shape[1]):  # a column at a time: no more memory than the draws take
        shares[:, i] = (draws[:, :, i].unsqueeze(-1) == kinds).double().mean(1).float()
        own[:, i] = truth[:, i].unsqueeze(-1) == kinds
    spread = shares.double() * (1 - shares.double()) / (n - 1)
    brier = ((shares.double() - own.double()).square() - spread).sum(-1)
    there = hidden.unsqueeze(-1) & (shares > 0)
    place = (shares * BINS - 1e-4).floor().clamp(0, BINS - 1)
    found = []
    for i in range(BINS):
        some = there & (place == i)
        if some.sum() >= FEW:
            mean = float(shares[some].double().mean())
            found.append((mean, ratio(own.flatten(1), some.flatten(1))))
    return Symbols(int(hidden.sum()), ratio((shares * own).sum(-1), hidden), ratio(brier, hidden), found)


def rank_of(level: float, n: int) -> int:
    """The rank k whose interval, from draw number k to n + 1 - k, holds this share, or as n draws can."""
    return max(1, int((n + 1) * (1 - level) / 2 + 1e-9))


def _uniform(bins: Sequence[Estimate], count: int) -> float:
    """The p value of so many ranks in bins."""
    if len(bins) < 2:
        return 1.0
    share = 1 / len(bins)
    found = torch.tensor([(each.mean, each.se) for each in bins], dtype=torch.float64)
    unit = share * (1 - share) / count
    wider = (found[:, 1].square().mean() / unit).clamp(min=1.0)
    pearson = count * ((found[:, 0] - share).square() / share).sum() / wider
    half = torch.tensor((len(bins) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half, pearson / 2))


def crps_of(x: Tensor, y: Tensor) -> Tensor:
    """CRPS (N, D) of values y (N, D) by draws x (N, n, D), in the units of these."""
    n = x.shape[1]
    order = (2 * torch.arange(1, n + 1) - n - 1).double().view(1, n, 1)
    between = (order * x.sort(1).values).sum(1) / (n * (n - 1))
    return (x - y.unsqueeze(1)).abs().mean(1) - between


def _energy(x: Tensor, y: Tensor) -> Tensor:
    """(N,) of draws (N, n, D)."""
    n = x.shape[1]
    apart = torch.cdist(x, x).sum((1, 2)) / (n * (n - 1))
    away: Tensor = torch.linalg.vector_norm(x - y.unsqueeze(1), dim=2).mean(1)
    return away - 0.5 * apart


def ratio(values: Tensor, counted: Tensor) -> Estimate:
    """The mean of values (N, ...) where they are counted, and its error over examples."""
    counts = counted.double().flatten(1).sum(1)
    sums = values.double().masked_fill(~counted, 0.0).flatten(1).sum(1)
    mean = sums.sum() / counts.sum()
    left = (sums - mean * counts).square().sum() * len(sums) / (len(sums) - 1)
    return Estimate(float(mean), float(left.sqrt() / counts.sum()) * student(len(sums)))


def check_counts(examples: int, draws: int) -> None:
    """Raise ValueError unless there are two of each."""
    if examples < 2 or draws < 2:
        raise ValueError(f"{examples} examples, n={draws} draws of each: at least two of both")


def summary(found: Numbers | Symbols) -> dict[str, Any]:
    """For JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, Estimate):
            return {"mean": value.mean, "standard_error": value.se}
        if isinstance(value, dict):
            return [{"share": share, **plain(each)} for share, each in value.items()]
        if isinstance(value, Sequence):
            return [plain(each) for each in value]
        return value

    return {name: plain(value) for name, value in vars(found).items()}
