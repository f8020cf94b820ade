"""How the base of a table is fitted: correlations of scores and indicators, frequencies of symbols."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from undiffuse.bases.columns import RARE, ColumnsBase, hot_of, within
from undiffuse.bases.fitting import fit_frequencies
from undiffuse.bases.frequencies import Frequencies
from undiffuse.marginals import Marginals
from undiffuse.random import Generator

WIDEST = 64  # numbers and indicators, beyond which none go with others: each row has its own inverse
SHRINK = 1e-2  # least width of a direction
NUMBERS, INDICATORS = 2.0, 4.0  # rows for which half of a correlation is believed; times how many there are


def fit_columns(
    x_0: Tensor, counts: Sequence[int], marginals: Marginals, generator: Generator
) -> ColumnsBase:
    """The base of rows x_0 (N, D), NaN where nothing is known, whose numbers have these maps."""
    kinds = torch.tensor(list(counts))
    middles = x_0[:, kinds == 0].double()
    z = within(marginals, middles.nan_to_num(0.0), generator).masked_fill(middles.isnan(), math.nan)
    inner = (1 - _deviation(middles).square()).clamp(0.0, 1.0)
    place, category = hot_of(list(counts)).T
    symbols = x_0[:, place].double()
    indicators = (symbols == category).double().masked_fill(symbols.isnan(), math.nan)
    indicators = (indicators - indicators.nanmean(0)) / _deviation(indicators)
    together = torch.cat([z, indicators], 1)
    wide = together.shape[1] > WIDEST
    corr = torch.eye(together.shape[1]).double() if wide else _correlations(together, z.shape[1])
    groups = ColumnsBase(kinds, corr, inner, marginals, []).members()
    found = [_frequencies(x_0[:, each], [counts[i] for i in each.tolist()]) for each in groups]
    return ColumnsBase(kinds, corr, inner, marginals, found)


def _deviation(x: Tensor) -> Tensor:
    """Of columns (N, E), 1 where they never vary."""
    squares = (x - x.nanmean(0)).square().nanmean(0)
    return torch.where(squares > 0, squares.sqrt(), 1.0)


def _correlations(z: Tensor, numbers: int) -> Tensor:
    """Of so many scores and the indicators (N, m), pair by pair of what is known, drawn to none.

    As far as so few rows are worth, and until they are those of some law. Indicators are many and tell little
    each, so that they need more rows the more they are.
    """
    known = z.isfinite().double()
    z = z.nan_to_num(0.0).clamp(-6, 6)
    both = (known.T @ known).clamp(min=1.0)
    products, squares = z.T @ z, z.square().T @ known
    found = products / (squares * squares.T).sqrt().clamp(min=1e-12)
    rows = torch.full_like(found, INDICATORS * (len(found) - numbers))
    rows[:numbers, :numbers] = NUMBERS
    found = found * (both / (both + rows))
    found = found.fill_diagonal_(1.0)
    values, axes = torch.linalg.eigh(found)
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
