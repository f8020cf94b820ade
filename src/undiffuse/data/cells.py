"""The columns of a table, and its rows as x_0: numbers by their scores, symbols by their numbers.

Raw rows are float64 (N, D), NaN where nothing is known: a number as it is, a symbol as its place among the
column's categories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor

from undiffuse.data.cell import Cell
from undiffuse.data.rows import Examples, sample_of
from undiffuse.data.space import SPACES, Space, State
from undiffuse.marginals import Marginals

FITTED = 2**23  # values that maps are fitted to, at most


@final
class CellSpace(Space):
    """Rows of these columns; the numbers among them have `marginals`."""

    def __init__(self, columns: Sequence[Mapping[str, Any]], marginals: Sequence[dict[str, Any]]) -> None:
        try:
            cells = [Cell(**{**each, "categories": tuple(each["categories"])}) for each in columns]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the description of a table's columns: {error}") from error
        self._bind(cells, Marginals.from_state(marginals))

    def _bind(self, columns: Sequence[Cell], marginals: Marginals) -> None:
        self.columns, self.marginals = tuple(columns), marginals
        self.numbers = torch.tensor(
            [i for i, c in enumerate(self.columns) if not c.symbols], dtype=torch.long
        )
        if len(self.numbers) != len(marginals):
            raise ValueError(f"{len(self.numbers)} columns of numbers, {len(marginals)} maps of them")

    @classmethod
    def fit(cls, train: Examples, columns: Sequence[Cell]) -> "CellSpace":
        """The space of training rows (N, D), or of some at even distances of very many."""
        raw = sample_of(train, FITTED)
        numbers = [i for i, column in enumerate(columns) if not column.symbols]
        found = Marginals.fit(raw[:, numbers], [columns[i].step for i in numbers])
        made = cls.__new__(cls)
        steps = dict(zip(numbers, found.steps.tolist(), strict=True))
        made._bind([replace(c, step=steps.get(i, 0.0)) for i, c in enumerate(columns)], found)
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def counts(self) -> list[int]:
        """How many symbols each column has, 0 of numbers."""
        return [column.symbols for column in self.columns]

    def encode(self, raw: Tensor) -> Tensor:
        """Scores of numbers, symbols as they are; NaN stays.

        Raises ValueError for values that are not finite, and symbols that there are not.
        """
        self._check(raw)
        x_0 = raw.double().clone()
        if len(self.numbers):
            self._check_steps(x_0[:, self.numbers])
            x_0[:, self.numbers] = self.marginals.encode(x_0[:, self.numbers])
        return x_0.float()

    def decode(self, x_0: Tensor) -> Tensor:
        """Values of scores, the nearest symbols; NaN stays."""
        raw = x_0.double().clone()
        if len(self.numbers):
            raw[:, self.numbers] = self.marginals.decode(raw[:, self.numbers])
        for i, count in enumerate(self.counts):
            if count:
                raw[:, i] = raw[:, i].round().clamp(0, count - 1)
        return raw

    def numbered(self, raw: Tensor) -> Tensor:
        """Rows as whole numbers, float64: steps above the least value of a column, and symbols; NaN stays.

        Raises ValueError as `encode` does, and for columns of continuous numbers, which are no whole numbers.
        """
        self._check(raw)
        found = raw.double().clone()
        if len(self.numbers):
            continuous = [self.columns[i].name for i in self.numbers[self.marginals.steps == 0].tolist()]
            if continuous:
                raise ValueError(
                    f"column {continuous[0]!r}: continuous numbers, which no number of bits gives back; "
                    "round them before training"
                )
            self._check_steps(found[:, self.numbers])
            away = found[:, self.numbers] - self.marginals.lows
            found[:, self.numbers] = (away / self.marginals.steps).round()
        return found

    def unnumbered(self, numbers: Tensor) -> Tensor:
        """The rows of `numbered`."""
        found = numbers.clone()
        if len(self.numbers):
            of = self.marginals
            found[:, self.numbers] = of.lows + numbers[:, self.numbers] * of.steps
        for i in self.numbers.tolist():
            found[:, i] = found[:, i].round(decimals=self.columns[i].digits)
        return found

    def state(self) -> State:
        """``{"kind": "cells", "columns": ..., "marginals": ...}``."""
        state: dict[str, Any] = {"kind": "cells", "columns": [column.state() for column in self.columns]}
        return state | {"marginals": self.marginals.state()}

    def _check_steps(self, numbers: Tensor) -> None:
        """Raise ValueError for a value between two levels of its column."""
        away = (numbers - self.marginals.nearest(numbers)).abs() > 1e-3 * self.marginals.steps
        strict = torch.tensor([not self.columns[i].rounded for i in self.numbers.tolist()])
        wrong = away & strict & (self.marginals.steps > 0)
        if bool(wrong.any()):
            row, i = wrong.nonzero()[0].tolist()
            column = self.columns[int(self.numbers[i])]
            raise ValueError(
                f"column {column.name!r}: {numbers[row, i]:g}, where values go in steps of {column.step:g}"
            )

    def _check(self, raw: Tensor) -> None:
        if raw.ndim != 2 or raw.shape[1] != len(self.columns):
            raise ValueError(f"rows of shape {tuple(raw.shape)}: this table has {len(self.columns)} columns")
        if bool(raw.isinf().any()):
            name = self.columns[int(raw.isinf().any(0).nonzero()[0])].name
            raise ValueError(
                f"column {name!r}: holds infinite values; correct or remove them (NaN is a hole)"
            )
        for i, count in enumerate(self.counts):
            x = raw[:, i][~raw[:, i].isnan()]
            if count and len(x) and not bool(((x >= 0) & (x < count) & (x == x.round())).all()):
                raise ValueError(
                    f"column {self.columns[i].name!r}: symbols are numbered from 0 to {count - 1}"
                )


SPACES["cells"] = CellSpace
