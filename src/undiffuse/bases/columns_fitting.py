"""How the base of a table is fitted: correlations of scores and indicators, frequencies of symbols.

Correlations are those of rows as normal vectors, the most likely ones where cells are missing: by EM, from
E[z z' | the cells that are known] of every row under the correlations R before,

    B = (R of the known cells)^-1,  0 elsewhere        E[z | z_known] = R B z        Cov = R - R B R

What is known of a score are the middles of its cells, of variance 1 - inner: where two scores have a
correlation of rho, these have rho sqrt(1 - inner_a) sqrt(1 - inner_b), nearly; so the scores' is found.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from undiffuse.bases.columns import RARE, ColumnsBase, hot_of
from undiffuse.bases.fitting import fit_frequencies
from undiffuse.bases.frequencies import Frequencies
from undiffuse.marginals import Marginals

WIDEST = 64  # numbers and indicators, beyond which none go with others: each row has its own inverse
SHRINK = 1e-2  # least width of a direction
WITHIN = 0.95  # variance of a score within its cells, at most
OF_NUMBERS, OF_INDICATORS = 2.0, 1.0  # rows that half a correlation is believed for; times how many
ROUNDS, ENOUGH, WORK = 30, 1e-3, 2**29  # of EM, at most; what ends it; rows times columns cubed of a round
CHUNK = 256  # rows whose matrices are there at once


def fit_columns(x_0: Tensor, counts: Sequence[int], marginals: Marginals) -> ColumnsBase:
    """The base of rows x_0 (N, D), NaN where nothing is known, whose numbers have these maps."""
    kinds = torch.tensor(list(counts))
    middles = x_0[:, kinds == 0].double()
    inner = (1 - _deviation(middles).square()).clamp(0.0, WITHIN)
    place, category = hot_of(list(counts)).T
    symbols = x_0[:, place].double()
    indicators = (symbols == category).double().masked_fill(symbols.isnan(), math.nan)
    together = torch.cat([_standard(middles), _standard(indicators)], 1)
    if together.shape[1] > WIDEST:
        corr = torch.eye(together.shape[1]).double()
    else:
        wider = torch.cat([(1 - inner).rsqrt(), torch.ones(len(place)).double()])
        corr = _lawful(_correlations(together, len(inner)) * wider * wider.unsqueeze(1))
    groups = ColumnsBase(kinds, corr, inner, marginals, []).members()
    found = [_frequencies(x_0[:, each], [counts[i] for i in each.tolist()]) for each in groups]
    return ColumnsBase(kinds, corr, inner, marginals, found)


def _deviation(x: Tensor) -> Tensor:
    """Of columns (N, E), 1 where they never vary."""
    squares = (x - x.nanmean(0)).square().nanmean(0)
    return torch.where(squares > 0, squares.sqrt(), 1.0)


def _standard(x: Tensor) -> Tensor:
    """Columns (N, E) of mean 0 and variance 1."""
    return (x - x.nanmean(0)) / _deviation(x)


def _correlations(z: Tensor, numbers: int) -> Tensor:
    """Of so many scores and the indicators (N, m), drawn to none as far as so few rows are worth.

    Indicators are many and tell little each, so that they need more rows the more they are. Of more rows with
    holes than `WORK` allows, pair by pair of what is known.
    """
    known = z.isfinite()
    z = z.nan_to_num(0.0).clamp(-6, 6)
    there = known.double()
    both = (there.T @ there).clamp(min=1.0)
    products, squares = z.T @ z, z.square().T @ there
    rows = torch.full_like(both, OF_INDICATORS * (len(both) - numbers))
    rows[:numbers, :numbers] = OF_NUMBERS
    found = _drawn(products / (squares * squares.T).sqrt().clamp(min=1e-12), both / (both + rows))
    if bool(known.all()) or len(z) * len(both) ** 3 > WORK:
        return found
    believed = len(z) / (len(z) + rows)
    for _ in range(ROUNDS):
        before, found = found, _drawn(moments(z, known, found), believed)
        if float((found - before).abs().max()) < ENOUGH:
            break
    return found


def moments(z: Tensor, known: Tensor, corr: Tensor) -> Tensor:
    """The mean of E[z z' | what is known] of rows (N, m), 0 where nothing is, under correlations (m, m)."""
    weights, total = torch.zeros_like(corr), torch.zeros_like(corr)
    for row, there in zip(torch.split(z, CHUNK), torch.split(known.double(), CHUNK), strict=True):
        pairs = there.unsqueeze(1) * there.unsqueeze(2)
        inverse = torch.linalg.inv(corr * pairs + torch.diag_embed(1 - there)) * pairs
        mean = torch.einsum("nij,nj->ni", inverse, row) @ corr
        weights += inverse.sum(0)
        total += mean.T @ mean
    return (total - corr @ weights @ corr) / len(z) + corr


def _drawn(moments: Tensor, believed: Tensor) -> Tensor:
    """The correlations of these moments (m, m), so far believed, and until they are those of some law."""
    scale = moments.diagonal().clamp(min=1e-12).rsqrt()
    return _lawful(moments * scale * scale.unsqueeze(1) * believed)


def _lawful(corr: Tensor) -> Tensor:
    """The correlations (m, m) of some law that are near these."""
    values, axes = torch.linalg.eigh(corr.clamp(-1.0, 1.0).fill_diagonal_(1.0))
    fixed = (axes * values.clamp(min=SHRINK)) @ axes.T
    scale = fixed.diagonal().rsqrt()
    scaled: Tensor = fixed * scale * scale.unsqueeze(1)
    return scaled


def _frequencies(x: Tensor, counts: Sequence[int]) -> Frequencies:
    """Of columns (N, C) of symbols, whose tables are as long as the longest: what is not there is rare."""
    tables = torch.full((len(counts), max(counts)), RARE, dtype=torch.float64)
    for i, count in enumerate(counts):
        known = x[~x[:, i].isnan(), i : i + 1]
        tables[i, :count] = fit_frequencies([known], count).log_probs[0].exp()
    return Frequencies(tables / tables.sum(-1, keepdim=True))
