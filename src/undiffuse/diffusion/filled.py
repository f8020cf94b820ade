"""The holes of a table, filled: many draws of what is missing, and what they say of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from undiffuse.data import Cell
from undiffuse.data.frame import filled_into
from undiffuse.diffusion.containers import Container
from undiffuse.metrics.calibration import rank_of


@dataclass(frozen=True, eq=False)
class Filled:
    """`draws` (N, n, D) of raw rows whose `holes` (N, D) are drawn and whose other cells are as they were.

    What is asked of it is of the kind, torch, numpy or pandas, of the rows that came in.
    """

    draws: Tensor
    holes: Tensor
    columns: tuple[Cell, ...]
    kind: Container = field(default_factory=Container)

    @property
    def filled(self) -> Any:
        """The rows with the median of a number's draws, and the most frequent of a symbol's."""
        return self._put(self._each(lambda x: _ranked(x, (x.shape[1] + 1) // 2), _mode))

    def draw(self, i: int) -> Any:
        """The rows with draw number i, as one data set that could have been. Raises IndexError for none."""
        return self._put(self.draws[:, i])

    def interval(self, share: float = 0.9) -> tuple[Any, Any]:
        """The ends of the interval of this share of a number's draws, as rows; symbols as in `filled`.

        Raises ValueError for a share outside (0, 1).
        """
        if not 0 < share < 1:
            raise ValueError(f"share={share}: of the draws, between 0 and 1")
        n = self.draws.shape[1]
        rank = rank_of(share, n)  # so that one more draw lies within as often
        low, high = (self._each(partial(_ranked, rank=k), _mode) for k in (rank, n + 1 - rank))
        return self._put(low), self._put(high)

    def of_kind(self, kind: Container) -> "Filled":
        """The same, of another kind."""
        return replace(self, kind=kind)

    def __repr__(self) -> str:
        rows, n, width = self.draws.shape
        cells = f"{int(self.holes.sum()):,} of {rows * width:,} cells"
        return f"{cells}, drawn {n:,} times: .filled, .draw(i), .interval()"

    def _put(self, rows: Tensor) -> Any:
        """Of a DataFrame all of it, filled."""
        found = self.kind.put(rows)
        return found if self.kind.frame is None else filled_into(self.kind.frame, found)

    def _each(self, number: Callable[[Tensor], Tensor], symbol: Callable[[Tensor], Tensor]) -> Tensor:
        columns = [(symbol if c.symbols else number)(self.draws[:, :, i]) for i, c in enumerate(self.columns)]
        return torch.stack(columns, 1)


def _ranked(x: Tensor, rank: int) -> Tensor:
    """Of draws (N, n) number `rank` in their order, from 1 on: one of them, so that levels stay levels."""
    return x.sort(1).values[:, rank - 1]


def _mode(x: Tensor) -> Tensor:
    return x.mode(1).values
