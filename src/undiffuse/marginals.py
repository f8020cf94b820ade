"""What each column of numbers is like alone: an increasing map between its values and normal scores.

    z = g(v),    Phi(g(v)) ~ the share of values up to v

g is linear between knots at quantiles of the training data, and goes on as it ends beyond them, so that any
value has a score, heavy tails are drawn in, and a normal z gives the column's own distribution back. Values
that go in steps are *levels*: each owns a cell of values half a step to either side, whose ends have scores
too. Where levels are few, or many rows have one, its cell is wide: it is an *atom*. The score of a level is
that which halves the cell's share of a standard normal distribution.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.special import log_ndtr, ndtr, ndtri

from undiffuse.devices import wide

ATOMS, OFTEN = 12, 1 / 32  # levels up to which each is an atom; share of one among more
FEWEST, MOST = 6, 96  # knots at quantiles
BROAD = 3.0  # standard deviations of the normal law that a share of one row is spread by
GRID = 2**40  # steps between the ends of a column of levels, at most: beyond them it is continuous


class Column(NamedTuple):
    """Knots (n,) of a column with their scores, its step and where steps are counted from, and its atoms."""

    knots: Tensor
    scores: Tensor
    step: float
    low: float
    atoms: Tensor


class Marginals(nn.Module):
    """The maps of D columns, float64; `steps` are 0 where a column is continuous.

    Built by `fit`, or from the lists that `state` gives. Raises ValueError for what is no increasing map.
    """

    knots: Tensor  # (D, M)
    scores: Tensor  # (D, M)
    steps: Tensor  # (D,)
    lows: Tensor  # (D,)
    atoms: Tensor  # (D, A), raw values
    there: Tensor  # (D, A): whether there is one, as columns have fewer or more
    low_ends: Tensor  # (D, A): scores of the ends of the atoms' cells
    high_ends: Tensor
    places: Tensor  # (D, A): scores of the atoms

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        for column in columns:
            _check(column)
        most = max((len(c.knots) for c in columns), default=2)
        self.register_buffer("knots", _stack([_longer(c.knots, most) for c in columns], most))
        self.register_buffer("scores", _stack([_longer(c.scores, most) for c in columns], most))
        for name in ("step", "low"):
            values = torch.tensor([getattr(c, name) for c in columns], dtype=torch.float64)
            self.register_buffer(f"{name}s", values)
        count = max((len(c.atoms) for c in columns), default=0)
        padded = [torch.nn.functional.pad(c.atoms, (0, count - len(c.atoms)), value=c.low) for c in columns]
        self.register_buffer("atoms", _stack(padded, count))
        there = [torch.arange(count) < len(c.atoms) for c in columns]
        self.register_buffer(
            "there", torch.stack(there) if there else torch.zeros(0, count, dtype=torch.bool)
        )
        ends = [self._g(self.atoms.T + half * self.steps).T for half in (-0.5, 0.5)]
        self.register_buffer("low_ends", ends[0])
        self.register_buffer("high_ends", ends[1])
        self.register_buffer("places", middle(*ends))

    def __len__(self) -> int:
        return len(self.steps)

    @classmethod
    def fit(cls, raw: Tensor, steps: Sequence[float]) -> "Marginals":
        """The maps of raw (N, D), NaN where nothing is known. Raises ValueError for a column of no values."""
        return cls([_fitted(raw[:, i].double(), step, i) for i, step in enumerate(steps)])

    def encode(self, raw: Tensor) -> Tensor:
        """Scores (B, D) of values; of levels those of their cells' middles, in share. NaN stays."""
        lower, upper = (self._g(self.nearest(raw) + half * self.steps) for half in (-0.5, 0.5))
        return torch.where(self.steps > 0, middle(lower, upper), self._g(wide(raw)))

    def decode(self, z: Tensor) -> Tensor:
        """Values (B, D) of scores; the levels in whose cells they lie."""
        return self.nearest(_linear(wide(z), self.scores, self.knots))

    def score_of(self, raw: Tensor, column: Tensor) -> Tensor:
        """Scores of values (k,) of these columns, (k,)."""
        found = torch.empty_like(raw)
        for i in torch.unique(column).tolist():
            some = column == i
            one = slice(i, i + 1)
            found[some] = _linear(raw[some].unsqueeze(1), self.knots[one], self.scores[one])[:, 0]
        return found

    def nearest(self, raw: Tensor) -> Tensor:
        """The levels nearest to values, float64; others as they are."""
        steps = torch.where(self.steps > 0, self.steps, 1.0)
        raw = wide(raw)
        levels = self.lows + ((raw - self.lows) / steps).round() * steps
        return torch.where(self.steps > 0, levels, raw)

    def cells(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, D) of the lower and the upper end of the cell of the level that has this score."""
        level = self.decode(z)
        return self._g(level - self.steps / 2), self._g(level + self.steps / 2)

    def near(self, z: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The `count` levels about the one that has this score: ends of their cells, places, (B, D, count).

        And whether they are any, and no atoms.
        """
        away = torch.arange(count, device=self.steps.device) - count // 2
        level = self.decode(z).unsqueeze(-1) + self.steps.unsqueeze(-1) * away
        halves = (level[..., :1] - self.steps.unsqueeze(-1) / 2, level + self.steps.unsqueeze(-1) / 2)
        raw = torch.cat(halves, -1).movedim(-1, 0)  # (count + 1, B, D)
        ends = self._g(raw.flatten(0, 1)).view_as(raw).movedim(0, -1)
        lower, upper = ends[..., :-1], ends[..., 1:]
        same = (level.unsqueeze(-1) - self.atoms.unsqueeze(1)).abs() < self.steps.view(-1, 1, 1) / 2
        known = (same & self.there.unsqueeze(1)).any(-1)
        return lower, upper, middle(lower, upper), (self.steps.unsqueeze(-1) > 0) & ~known

    def log_slope(self, z: Tensor) -> Tensor:
        """log dz / dv at a score, (B, D)."""
        place = _segment(wide(z), self.scores)
        rise, run = (_at(each.diff(dim=1), place) for each in (self.scores, self.knots))
        return rise.log() - run.log()

    def log_prob(self, raw: Tensor) -> Tensor:
        """log p (B, D) where scores are standard normal: probabilities of levels, densities of others."""
        z = self.encode(raw)
        density = -0.5 * (z.square() + math.log(2 * math.pi)) + self.log_slope(z)
        return torch.where(self.steps > 0, log_between(*self.cells(z)), density)

    def state(self) -> list[dict[str, Any]]:
        """Of each column what `from_state` takes, exact to the last bit."""
        return [
            {
                "knots": self.knots[i].tolist(),
                "scores": self.scores[i].tolist(),
                "step": float(self.steps[i]),
                "low": float(self.lows[i]),
                "atoms": self.atoms[i][self.there[i]].tolist(),
            }
            for i in range(len(self))
        ]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]]) -> "Marginals":
        """The same again. Raises ValueError for what `state` did not write."""
        try:
            columns = [
                Column(
                    _table(each["knots"]),
                    _table(each["scores"]),
                    each["step"],
                    each["low"],
                    _table(each["atoms"]),
                )
                for each in state
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no map of a column of numbers: {error}") from error
        return cls(columns)

    def _g(self, raw: Tensor) -> Tensor:
        return _linear(raw, self.knots, self.scores)


def _table(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def middle(lower: Tensor, upper: Tensor) -> Tensor:
    """The score that halves the share of a standard normal distribution between two scores."""
    flip = lower + upper > 0  # on the side where both shares have all their digits
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    half = ndtri((ndtr(a) + ndtr(b)) / 2)
    found = torch.where(half.isfinite(), half, (a + b) / 2).clamp(a, b)
    return torch.where(flip, -found, found)


def log_between(lower: Tensor, upper: Tensor) -> Tensor:
    """log(Phi(upper) - Phi(lower)) for lower < upper.

    Worked out on the side of the mean where both terms are small, so that neither tail loses its digits:

        log(Phi(b) - Phi(a)) = log Phi(b) + log(1 - exp(log Phi(a) - log Phi(b))),    a < b, a + b <= 0
    """
    right = lower + upper > 0
    a, b = torch.where(right, -upper, lower), torch.where(right, -lower, upper)
    top = log_ndtr(b)
    gap = (log_ndtr(a) - top).clamp(max=-1e-300)  # a < b up to rounding
    found: Tensor = top + torch.log(-torch.expm1(gap))
    return found


def _fitted(values: Tensor, step: float, number: int) -> Column:
    """The map of one column (N,)."""
    values = values[values.isfinite()]
    if not len(values):
        raise ValueError(f"column {number}: no value is known of it")
    low = float(values.min())
    if step > 0 and (float(values.max()) - low) / step > GRID:
        step = 0.0
    if step > 0:
        values = low + ((values - low) / step).round() * step
    found, counts = torch.unique(values, return_counts=True)
    shares = counts.double() / len(values)
    atoms = found[(shares >= OFTEN) | (len(found) <= ATOMS)] if step > 0 else found[:0]
    knots = _edges(found, shares, step, atoms)
    done = torch.cat([shares.new_zeros(1), shares.cumsum(0)])
    below = done[torch.searchsorted(found, knots)]
    mean, std = float(values.mean()), float(values.std(correction=0)) or max(step, 1.0)
    own = 1 / (len(values) + 1)
    share = (1 - own) * below + own * ndtr((knots - mean) / (BROAD * std))
    share = share.clamp(own / 1000, 1 - own / 1000)
    return Column(knots, _increasing(ndtri(share)), step, low, atoms)


def _edges(found: Tensor, shares: Tensor, step: float, atoms: Tensor) -> Tensor:
    """Where the knots of these values are: at the ends of atoms, and near quantiles."""
    half = step / 2
    if step > 0:
        edges: Tensor = torch.unique(torch.cat([found - half, found + half]))
        edges = edges[torch.cat([edges.diff() > half, torch.ones(1, dtype=torch.bool)])]
    elif len(found) > 1:
        ends = (found[:1] - (found[1:2] - found[:1]) / 2, found[-1:] + (found[-1:] - found[-2:-1]) / 2)
        edges = torch.cat([ends[0], (found[1:] + found[:-1]) / 2, ends[1]])
    else:
        edges = torch.cat([found - 0.5, found + 0.5])
    count = min(MOST, max(FEWEST, round(2 * (1 / float(shares.min())) ** (1 / 3))))
    if len(edges) <= count + 2 * len(atoms):
        return edges
    common = torch.isin(found, atoms)
    others = torch.where(common, 0.0, shares)
    others = others / others.sum() if bool(others.any()) else shares
    done = torch.cat([shares.new_zeros(1), others.cumsum(0)])[torch.searchsorted(found, edges)]
    wanted = torch.linspace(0, 1, count + 1, dtype=torch.float64)
    near = torch.searchsorted(done, wanted).clamp(max=len(edges) - 1)
    held = torch.cat([atoms - half, atoms + half])
    kept = torch.searchsorted(edges, held - half / 2).clamp(max=len(edges) - 1)
    chosen: Tensor = edges[torch.unique(torch.cat([near, kept, torch.tensor([0, len(edges) - 1])]))]
    return chosen


def _increasing(scores: Tensor) -> Tensor:
    """Scores that rise by a little at least."""
    least = 1e-9 * torch.arange(len(scores), dtype=torch.float64)
    found: Tensor = (scores - least).cummax(0).values + least
    return found


def _check(column: Column) -> None:
    increasing = len(column.knots) == len(column.scores) > 1 and all(
        bool(each.isfinite().all()) and bool((each.diff() > 0).all())
        for each in (column.knots, column.scores)
    )
    if not increasing or not 0 <= column.step < math.inf or not math.isfinite(column.low):
        raise ValueError(
            "a column's knots and their scores are finite and rise, its step is none or positive"
        )


def _longer(x: Tensor, count: int) -> Tensor:
    """With more knots, further on as it ends."""
    more = torch.arange(1, count - len(x) + 1, dtype=torch.float64)
    return torch.cat([x, x[-1] + more * (x[-1] - x[-2])])


def _stack(rows: Sequence[Tensor], count: int) -> Tensor:
    return torch.stack(list(rows)) if rows else torch.zeros(0, count, dtype=torch.float64)


def _segment(x: Tensor, knots: Tensor) -> Tensor:
    """Which stretch between knots (D, M) each of x (B, D) is in, the outermost beyond the ends."""
    found = torch.searchsorted(knots, x.nan_to_num(0.0).T.contiguous())
    return found.clamp(1, knots.shape[1] - 1).T - 1


def _at(table: Tensor, place: Tensor) -> Tensor:
    """Entries (B, D) of a table (D, M) at these places."""
    return table.gather(1, place.T.contiguous()).T


def _linear(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    place = _segment(x, knots)
    begin, end = (_at(knots, place + i) for i in (0, 1))
    low, high = (_at(values, place + i) for i in (0, 1))
    return low + (x - begin) / (end - begin) * (high - low)
