"""Tables for an entropy coder: each column its own alphabet, holes no part of any.

    Levels of a column    number n      value low + step n      by the normal law of their scores
    Symbols               number n
    Latents of scores     cell n

The shares that a normal law of scores gives a column's levels are of no family that a coder knows: its cells
are as wide as the column's map makes them. A level is found by halving what it may be,

    P(n > m | a <= n <= b) = share of (m, b] / share of [a, b],    m = (a + b) // 2

one bit after the other, each with a probability of its own. Which cells are holes is no part of a law: both
sides know it.

What is drawn from the stack is read in the opposite order of what is written there. On top of it lies where
the cell written last is in its law; if the same cell were drawn from that, its noise at t would go with its
noise at s, which costs about a bit a step where a group is one short row.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from undiffuse.codec.alphabet import Alphabet
from undiffuse.codec.coder import Law, Laws, constriction
from undiffuse.codec.rounding import Rounding
from undiffuse.distributions import Columns, Distribution, Scored
from undiffuse.marginals import Marginals, log_between

HOLE = np.int32(-(2**31))
CALLS = 32  # of a part, each of two roundings: every bit of a level has one
FARTHEST = 1e4  # deviations that an end of a cell is away, at most


class ColumnLevels(Alphabet):
    """The levels of columns of numbers, as far beyond those of the training data as these go."""

    def __init__(self, of: Marginals) -> None:
        if not bool((of.steps > 0).all()):
            raise ValueError("a column of continuous numbers, which no number of bits gives back exactly")
        self.of = of = deepcopy(of).cpu()
        first, last = ((of.knots[:, i] - of.lows) / of.steps for i in (0, -1))
        span = (last - first).ceil() + 1
        ends = ((first - span).floor(), (last + span).ceil())
        self.low, self.high = (end.long().numpy() for end in ends)
        if int((self.high - self.low).max(initial=0)) >= 2**31 - 1:
            raise ValueError("a column of more than a thousand million levels: round it first")

    @property
    def ends(self) -> Any:  # type: ignore[override]
        """Arrays, (n,)."""
        return self.low, self.high

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """Scores of levels (B, n)."""
        raw = self.of.lows + torch.from_numpy(numbers.astype(np.float64)) * self.of.steps
        found: np.ndarray = self.of.encode(raw).numpy()
        return found

    def law(self, p: Distribution, rounding: Rounding, call: int, closed: bool = False) -> Laws:
        """Of a law of scores."""
        assert isinstance(p, Scored)
        loc, std = p.law.loc.double().cpu(), p.law.var.double().cpu().sqrt().expand(p.shape)
        column = np.tile(np.arange(len(self.low)), len(loc))
        return Halved(self, loc.flatten(), std.flatten(), column, rounding, call)


@dataclass(frozen=True, eq=False)
class Halved:
    """The levels of scores N(loc, std^2), (k,), of these columns (k,)."""

    of: ColumnLevels
    loc: Tensor
    std: Tensor
    column: np.ndarray
    rounding: Rounding
    call: int

    def only(self, index: np.ndarray) -> "Halved":
        """Of these elements alone."""
        loc, std = self.loc[index], self.std[index]
        return replace(self, loc=loc, std=std, column=self.column[index])

    def pieces(self, numbers: np.ndarray) -> Iterator[tuple[Law, np.ndarray]]:
        """A law for every bit, and the bits."""
        wanted = numbers.astype(np.int64)
        search = _Search(self)
        while search.open.any():
            law = search.law()
            upper = wanted[search.open] > search.middle[search.open]
            yield law, upper.astype(np.int32)
            search.go(upper)

    def read(self, pop: Callable[[Law], np.ndarray]) -> np.ndarray:
        """The levels, int32."""
        search = _Search(self)
        while search.open.any():
            search.go(pop(search.law()).astype(bool))
        found: np.ndarray = search.low.astype(np.int32)
        return found


class _Search:
    """Where the levels of elements (k,) may be, from `low` to `high`; `open` where that is more than one."""

    def __init__(self, of: Halved) -> None:
        self.of, self.maps, self.depth = of, of.of.of, 0
        self.column = torch.from_numpy(of.column)
        self.low, self.high = (end[of.column] for end in of.of.ends)

    @property
    def open(self) -> np.ndarray:
        found: np.ndarray = self.low < self.high
        return found

    @property
    def middle(self) -> np.ndarray:
        found: np.ndarray = (self.low + self.high) // 2
        return found

    def law(self) -> Law:
        """Of the next bit of every open element: whether it is in the upper half."""
        some = np.flatnonzero(self.open)
        low, middle, high = (each[some] for each in (self.low - 1, self.middle, self.high))
        ends = [self._end(n, some) for n in (low, middle, high)]
        lower, upper = log_between(ends[0], ends[1]), log_between(ends[1], ends[2])
        apart = torch.where(upper == lower, 0.0, upper - lower).nan_to_num(0.0).numpy()
        odds = np.exp(-np.abs(apart))
        rarer = self.of.rounding.positive(odds / (1 + odds), 2 * self.of.call + self.depth)
        one = np.where(apart > 0, 1 - rarer, rarer)
        return Law(constriction().model.Bernoulli(perfect=False), (one,))

    def go(self, upper: np.ndarray) -> None:
        """Into the upper half, or the lower."""
        some = np.flatnonzero(self.open)
        middle = self.middle[some]
        self.low[some] = np.where(upper, middle + 1, self.low[some])
        self.high[some] = np.where(upper, self.high[some], middle)
        self.depth += 1

    def _end(self, number: np.ndarray, some: np.ndarray) -> Tensor:
        """The score, in deviations, of the upper end of a level's cell."""
        column = self.column[some]
        raw = self.maps.lows[column] + (torch.from_numpy(number).double() + 0.5) * self.maps.steps[column]
        score = self.maps.score_of(raw, column)
        return ((score - self.of.loc[some]) / self.of.std[some]).clamp(-FARTHEST, FARTHEST)


class Part(NamedTuple):
    """An alphabet, and which columns (n,) are of it."""

    columns: np.ndarray
    alphabet: Alphabet


class Rows(Alphabet):
    """Rows of D columns, flattened; the parts' columns are 0 .. D-1 together."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self.size = sum(len(part.columns) for part in parts)

    @property
    def ends(self) -> Any:  # type: ignore[override]
        """Arrays, (D,)."""
        found = np.zeros((2, self.size), np.int64)
        for columns, alphabet in self.parts:
            found[:, columns] = np.array([np.broadcast_to(end, len(columns)) for end in alphabet.ends])
        return found[0], found[1]

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """x of the numbers, NaN of holes."""
        rows = numbers.reshape(-1, self.size)
        found = np.empty(rows.shape)
        for columns, alphabet in self.parts:
            own = rows[:, columns]
            found[:, columns] = alphabet.values(np.where(own == HOLE, 0, own))
        found[rows == HOLE] = np.nan
        return found.ravel()

    def law(self, p: Columns, rounding: Rounding, call: int, closed: bool = False) -> Laws:
        """Part by part, of the cells that are no holes; of what is drawn in the opposite order."""
        there, order = ~p.out.cpu().numpy(), -1 if closed else 1
        laws = []
        for i, (part, (columns, alphabet)) in enumerate(zip(p.parts, self.parts, strict=True)):
            found = alphabet.law(part.law, rounding, CALLS * (len(self.parts) * call + i), closed)
            index = np.flatnonzero(there[:, columns])[::order]
            if len(index):
                laws.append(Placed(columns, index, found.only(index)))
        return Together(laws[::order], there.shape)


class Placed(NamedTuple):
    """A law, and which cells it is of: places (k,) among the flattened ones of these columns."""

    columns: np.ndarray
    cells: np.ndarray
    law: Laws


@dataclass(frozen=True, eq=False)
class Together:
    """Laws of some cells each, for rows of this shape."""

    laws: list[Placed]
    shape: tuple[int, ...]

    def only(self, index: np.ndarray) -> "Together":
        """Not asked for: holes are left out of the parts."""
        raise TypeError("laws of rows are of whole rows")

    def pieces(self, numbers: np.ndarray) -> Iterator[tuple[Law, np.ndarray]]:
        """Those of the parts, in turn."""
        rows = numbers.reshape(self.shape)
        for columns, cells, law in self.laws:
            yield from law.pieces(rows[:, columns].ravel()[cells])

    def read(self, pop: Callable[[Law], np.ndarray]) -> np.ndarray:
        """Rows, flattened, with holes."""
        rows = np.full(self.shape, HOLE, np.int32)
        for columns, cells, law in self.laws:
            own = np.full(len(rows) * len(columns), HOLE, np.int32)
            own[cells] = law.read(pop)
            rows[:, columns] = own.reshape(len(rows), -1)
        return rows.ravel()


class RowNumbers:
    """Rows (B, D) of whole numbers, NaN where there are holes, and x_0."""

    def __init__(self, alphabet: Rows) -> None:
        self.alphabet = alphabet

    def encode(self, rows: Tensor) -> Tensor:
        """x_0, float32. Raises ValueError for numbers that are not the table's."""
        numbers = whole(rows)
        for columns, alphabet in self.alphabet.parts:
            own = numbers[:, columns]
            low, high = alphabet.ends
            beyond = (own != HOLE) & ((own < low) | (own > high))
            if beyond.any():
                row, place = np.argwhere(beyond)[0]
                raise ValueError(
                    f"row {row}, column {columns[place]}: {own[row, place]} steps from the least, too far "
                    "beyond the training data"
                )
        x_0: Tensor = torch.from_numpy(self.alphabet.values(numbers)).view(rows.shape).float()
        return x_0

    def decode(self, x_0: Tensor) -> Tensor:
        """The numbers, float64."""
        found = x_0.double().clone()
        for columns, alphabet in self.alphabet.parts:
            if isinstance(alphabet, ColumnLevels):
                of = alphabet.of
                found[:, columns] = ((of.decode(found[:, columns]) - of.lows) / of.steps).round()
        return found


def whole(rows: Tensor) -> np.ndarray:
    """Whole numbers (B, D), int32, with holes."""
    there = rows.isfinite().numpy()
    found: np.ndarray = np.where(there, rows.nan_to_num(0.0).clamp(-(2.0**31) + 1, 2.0**31 - 1).numpy(), HOLE)
    return found.astype(np.int32)


def packed_holes(numbers: np.ndarray) -> bytes:
    """Which of the numbers are holes; nothing if none are."""
    holes = numbers == HOLE
    return zlib.compress(np.packbits(holes).tobytes(), 9) if holes.any() else b""


def holes_in(packed: bytes, shape: tuple[int, ...]) -> np.ndarray | None:
    """Which cells of rows of this shape are holes. Raises ValueError for what nobody packed."""
    if not packed:
        return None
    size = -(-math.prod(shape) // 8)
    unpack = zlib.decompressobj()
    try:
        found = unpack.decompress(packed, size)
    except zlib.error as error:
        raise ValueError(f"damaged: the list of holes cannot be read ({error})") from error
    if len(found) != size or unpack.unconsumed_tail or not unpack.eof:
        raise ValueError("damaged: the list of holes is not that of its rows")
    bits = np.unpackbits(np.frombuffer(found, np.uint8))[: math.prod(shape)]
    return bits.astype(bool).reshape(shape)
