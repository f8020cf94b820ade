"""The base of a table: numbers by a normal copula with atoms, and independent symbols.

Every number is a cell of values whose scores (`undiffuse.marginals`) are standard normal, with correlations
R between the columns; x_0 is the score of its middle. Of numbers a cell c is seen with noise of variance
s_c = sigma^2 / alpha^2 where it is on its way, none where it is given, infinite where it is left out. Scores
in a cell have a variance, `inner_c`, about its middle, so that this is worth a score with noise of r_c:

    y_c = x_c / (1 - inner_c),    r_c = (inner_c (1 - inner_c) + s_c) / (1 - inner_c)^2
    Cov = (R^-1 + diag(1 / r))^-1,    mean = Cov y / r

Beside them stand indicators of the symbols, 1 of a category and else 0, as normal values that go with the
scores: of a symbol on its way one of x_t is an indicator of x_0 with noise, since E[1_k(x_t) | x_0] =
keep 1_k(x_0) + (1 - keep) pi_k. Of mean and covariance what a cell says of itself is taken out again
(1/v' = 1/v - 1/r, the cavity): that is what the others say of it. A column's atoms, values that many rows
have, and the levels next to the mean, are weighed by it,

    p(level k | y)  prop. to  (Phi(b_k) - Phi(a_k)) N(y; z_k, sigma^2 / alpha^2)

with the ends a, b of its cell in the cavity's deviations, beside the normal law outside of these
cells; and beside a cell in a thousand that goes with no other and lies twice as far out, since real tables
have wrong ones. So a column of atoms that goes with no other has its own frequencies, nearly. Of symbols the
base knows their frequencies (`bases.Frequencies`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.special import ndtr, ndtri

from undiffuse.bases.base import Base
from undiffuse.bases.frequencies import Frequencies
from undiffuse.devices import onto, wide
from undiffuse.distributions import Distribution
from undiffuse.kernels import Kernel, Mixed
from undiffuse.kernels.mixed import members_of
from undiffuse.marginals import Marginals
from undiffuse.random import Generator, uniform
from undiffuse.tensors import column

EXACT = 1e-6  # variance of a cell that is given
SURE = 0.03  # of the normal law's deviation, which no atom makes less
RARE = 1e-12  # share of an atom, at least
NEAR = 8  # levels about a mean that are told apart where noise is less than they are
ODD, FREE = 1e-3, 4.0  # share of cells that go with no others, and the variance of their scores
NOISE = 1e-2  # variance of an indicator that is known, of unit variance: it is not normal
INDICATORS, FEW = 48, 24  # numbers and indicators together, at most; categories of a column that has them


class Cells(NamedTuple):
    """Cells (B, n) at time t: values x_t, or x_0 where they are `given`; 0 where they are left `out`."""

    x: Tensor
    given: Tensor
    out: Tensor


class Belief(NamedTuple):
    """What scores are thought to be, (B, n), float64: mean and standard deviation."""

    mean: Tensor
    std: Tensor


class ColumnsBase(Base):
    """A density of rows (B, D): `counts` (D,) are the symbols of each column, 0 for numbers.

    The n columns of numbers, and the indicators (`hot_of`), have correlations `corr` (n + E, n + E), `inner`
    (n,) are the variances of scores within their cells, and `symbols` the frequencies of every group of
    columns of symbols, in the kernel's order. Raises ValueError for parts that do not go together.
    """

    counts: Tensor
    corr: Tensor
    inner: Tensor
    inverse: Tensor
    numbers: Tensor  # (n,): which columns are numbers
    hot: Tensor  # (E, 2): column and category of every indicator
    rates: Tensor  # (E,): how frequent these are

    def __init__(
        self,
        counts: Tensor,
        corr: Tensor,
        inner: Tensor,
        marginals: Marginals,
        symbols: Sequence[Frequencies],
    ) -> None:
        super().__init__()
        n, hot = int((counts == 0).sum()), hot_of(counts.tolist())
        if corr.shape != (n + len(hot), n + len(hot)) or inner.shape != (n,) or len(marginals) != n:
            raise ValueError(
                f"base: {n} columns of numbers, correlations {tuple(corr.shape)}, {len(marginals)} maps"
            )
        for name, value in (("corr", corr.double()), ("inner", inner.double())):
            self.register_buffer(name, value)
        self.register_buffer("counts", counts)
        self.register_buffer("inverse", torch.linalg.inv(self.corr), persistent=False)
        self.register_buffer("hot", hot, persistent=False)
        self.register_buffer("numbers", (counts == 0).nonzero()[:, 0], persistent=False)
        self.alone = bool((self.corr == torch.eye(len(corr))).all())  # whether no column goes with another
        self.marginals, self.symbols = marginals, nn.ModuleList(symbols)
        self.register_buffer(
            "rates", self._rates() if symbols else corr.new_zeros(len(hot)), persistent=False
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,)."""
        return tuple(self.counts.shape)

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels of other columns."""
        if not isinstance(kernel, Mixed) or list(kernel.columns) != self.counts.tolist():
            raise ValueError("base: of a table's columns; the kernel is of others: use kernel.kind=mixed")

    def belief(self, cells: Cells, t: Tensor, kernel: Mixed) -> Belief:
        """What scores of numbers (B, n) are thought to be at t, of all cells (B, D)."""
        x, given, out = (each[:, self.numbers] for each in cells)
        x = wide(x)
        snr, scale = (onto(column(each, x), x) for each in _levels(t, kernel))
        y = torch.where(given, x, x * scale)
        noise = torch.where(given, EXACT, (1 / snr).expand_as(x))
        middle = (1 - self.inner).clamp(min=RARE)  # variance of a cell's middle
        w = (middle.square() / (self.inner * middle + noise)).masked_fill(out, 0.0)
        n, (beside, weight) = len(self.inner), self._indicated(cells, t, kernel)
        seen, weights = torch.cat([y / middle, beside], 1), torch.cat([w, weight], 1)
        mean, var = (each[:, :n] for each in self._normal(seen, weights))
        apart = (1 / var - w).clamp(min=1.0)  # what the prior alone says of a cell is least
        cavity = (mean / var - w * y / middle) / apart
        return self._weighed(y, (1 / noise).masked_fill(out, 0.0), cavity, 1 / apart)

    def _indicated(self, cells: Cells, t: Tensor, kernel: Mixed) -> tuple[Tensor, Tensor]:
        """What is seen of the indicators (B, E), of unit variance, and how surely: one over its noise."""
        place, category = self.hot.T
        x, given, out = (each[:, place] for each in cells)
        rate = self.rates
        width = (rate * (1 - rate)).clamp(min=RARE)
        seen = wide(x == category)
        keep = onto(column(kernel.symbol_schedule.keep(t), seen), seen).clamp(min=1e-4)
        home = 1 / wide(self.counts[place])
        chance = keep * rate + (1 - keep) * home
        noise = (chance * (1 - chance) / keep.square() / width - 1).clamp(min=NOISE)
        y = (torch.where(given, seen, (seen - (1 - keep) * home) / keep) - rate) / width.sqrt()
        return y, torch.where(given, 1 / NOISE, 1 / noise).masked_fill(out, 0.0)

    def _rates(self) -> Tensor:
        """How frequent every indicator's category is, (E,)."""
        tables = [cast(Frequencies, each).log_probs.exp() for each in self.symbols]
        rows = {
            int(place): table[i]
            for columns, table in zip(self.members(), tables, strict=True)
            for i, place in enumerate(columns)
        }
        found = [rows[place][category] for place, category in self.hot.tolist()]
        return torch.stack(found) if found else self.corr.new_zeros(0)

    def _normal(self, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variances of the normal law."""
        if self.alone:
            var = 1 / (1 + w)
            return var * w * y, var
        cov = torch.cholesky_inverse(torch.linalg.cholesky(self.inverse + torch.diag_embed(w)))
        return (cov @ (w * y).unsqueeze(-1)).squeeze(-1), cov.diagonal(dim1=-2, dim2=-1)

    def _weighed(self, y: Tensor, w: Tensor, cavity: Tensor, spread: Tensor) -> Belief:
        """Moments of the mixture of the cavity's normal law, the free one, and levels."""
        var = spread / (1 + w * spread)
        mean = cavity + w * var * (y - cavity)
        lower, upper, places, there = self._levels(mean)
        rest = (1 - _inside(mean, var.sqrt(), lower, upper, there).sum(-1)).clamp(min=RARE).log()
        shares = _inside(cavity, spread.sqrt(), lower, upper, there).clamp(min=RARE).log()
        away = shares - 0.5 * w.unsqueeze(-1) * (y.unsqueeze(-1) - places).square()
        loose = FREE / (1 + w * FREE)
        logits = [
            _evidence(y, w, cavity, spread) + rest + math.log1p(-ODD),
            _evidence(y, w, torch.zeros_like(y), torch.full_like(y, FREE)) + rest + math.log(ODD),
        ]
        beside = torch.stack(logits, -1)
        weights = torch.cat([beside, away.masked_fill(~there, -math.inf)], -1).softmax(-1)
        centres = torch.cat([torch.stack([mean, w * loose * y], -1), places], -1)
        middle = (weights * centres).sum(-1)
        total = (weights * (centres - middle.unsqueeze(-1)).square()).sum(-1)
        total = total + weights[..., 0] * var + weights[..., 1] * loose
        return Belief(middle, torch.maximum(total, SURE**2 * var).sqrt())

    def _levels(self, mean: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Atoms, and the levels about a mean: their cells' ends, their places, and whether they are any."""
        of = self.marginals
        near = of.near(mean, NEAR)
        atoms = (of.low_ends, of.high_ends, of.places, of.there)
        pairs = zip(atoms, near, strict=True)
        lower, upper, places, there = (
            torch.cat([atom.expand(len(mean), -1, -1), level], -1) for atom, level in pairs
        )
        return lower, upper, places, there

    def log_prob(self, x_0: Tensor) -> Tensor:
        """log p of rows (B, D) whose columns do not go together; cells that are NaN count nothing."""
        z = x_0[:, self.numbers].double()
        alone = self.marginals.log_prob(self.marginals.decode(z.nan_to_num(0.0)))
        found = alone.masked_fill(z.isnan(), 0.0).sum(1)
        for columns, each in zip(self.members(), self.symbols, strict=True):
            x = x_0[:, columns]
            table = cast(Frequencies, each).log_probs.expand(len(x), -1, -1)
            picked = table.gather(-1, x.nan_to_num(0.0).long().unsqueeze(-1)).squeeze(-1)
            found = found + picked.masked_fill(x.isnan(), 0.0).sum(1)
        return found

    def log_copula(self, x_0: Tensor, generator: Generator) -> Tensor:
        """What correlations add to that, (B,), by a draw of every score within its cell: on average a bound.

        log N(z; 0, R') - log N(z; 0, 1), of the cells that are no NaN. Draws go together by their cells
        alone: R'_ab = R_ab (1 - inner_a) (1 - inner_b).
        """
        if self.alone:
            return torch.zeros(len(x_0), dtype=torch.float64)
        z = x_0[:, self.numbers].double()
        out = z.isnan()
        z = within(self.marginals, z.nan_to_num(0.0), generator).masked_fill(out, 0.0)
        n, middle = len(self.inner), 1 - self.inner
        drawn = (self.corr[:n, :n] * middle * middle.unsqueeze(1)).fill_diagonal_(1.0)
        there = drawn.masked_fill(out.unsqueeze(1) | out.unsqueeze(2), 0.0)
        factor = torch.linalg.cholesky(there + torch.diag_embed(out.double()))
        white = torch.linalg.solve_triangular(factor, z.unsqueeze(-1), upper=False).squeeze(-1)
        log_volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(1)
        found: Tensor = 0.5 * (z.square() - white.square()).sum(1) - log_volume
        return found

    def members(self) -> list[Tensor]:
        """The columns of every group of symbols."""
        counts: list[int] = self.counts.tolist()
        return [torch.tensor(group) for group in members_of(counts) if counts[group[0]]]

    def prior(self, like: Tensor, kernel: Mixed) -> Distribution:
        """The kernel's: nothing that counts is left of x_0."""
        return kernel.prior(like)

    def features(self, x_t: Tensor, t: Tensor, kernel: Mixed) -> Tensor:
        """They depend on what is given: `undiffuse.mixed`."""
        raise TypeError("features of a table's cells depend on what is given: use MixedDenoiser")

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Mixed) -> Tensor:
        """It depends on what is given: `undiffuse.mixed`."""
        raise TypeError("predictions of a table's cells depend on what is given: use MixedDenoiser")


def within(of: Marginals, z: Tensor, generator: Generator) -> Tensor:
    """A draw of the score within its cell, of levels; others as they are."""
    lower, upper = of.cells(z)
    flip = lower + upper > 0
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    u = uniform(tuple(z.shape), generator, torch.float64)
    drawn = ndtri(ndtr(a) + u * (ndtr(b) - ndtr(a))).clamp(a, b)
    return torch.where(of.steps > 0, torch.where(flip, -drawn, drawn), z)


def hot_of(counts: Sequence[int]) -> Tensor:
    """(E, 2): column and category of every indicator, of columns of few symbols, but for the first."""
    room = INDICATORS - sum(k == 0 for k in counts)
    found: list[tuple[int, int]] = []
    for i, count in enumerate(counts):
        if 2 <= count <= FEW and len(found) + count - 1 <= room:
            found += [(i, category) for category in range(1, count)]
    return torch.tensor(found, dtype=torch.long).view(-1, 2)


def _inside(mean: Tensor, std: Tensor, lower: Tensor, upper: Tensor, there: Tensor) -> Tensor:
    """Shares (B, n, L) of normal laws that lie in the levels' cells."""
    mean, std = mean.unsqueeze(-1), std.unsqueeze(-1)
    share = ndtr((upper - mean) / std) - ndtr((lower - mean) / std)
    found: Tensor = share.masked_fill(~there, 0.0)
    return found


def _evidence(y: Tensor, w: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """log N(y; mean, spread + 1 / w), but for a term that is the same for all."""
    wider = 1 + w * spread
    return -0.5 * w / wider * (y - mean).square() - 0.5 * wider.log()


def _levels(t: Tensor, kernel: Mixed) -> tuple[Tensor, Tensor]:
    """The signal-to-noise ratio of numbers at t, and 1 / alpha."""
    logsnr = kernel.schedule.logsnr(t)
    return logsnr.exp(), logsnr.sigmoid().rsqrt()
