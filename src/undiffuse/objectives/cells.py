"""The bound of rows of a table, some of whose cells are given and some left out, by random patterns.

Of a share `joint` of the rows all known cells are on their way. Of the others every known cell is given with
a probability that is uniform from row to row, and of every other one of these rows what is left is left out,
cell by cell, with probability one half: so any cells can be given and any left out afterwards. Cells that
the data do not have are left out always.
"""

import math

import torch
from torch import Tensor

from undiffuse.conditions import Given
from undiffuse.mixed import CELLS, MixedDenoiser
from undiffuse.model import ReverseProcess
from undiffuse.objectives.times import Noise, Times
from undiffuse.objectives.variational import Variational
from undiffuse.random import Batch, uniform


class Cells(Variational):
    """The bound on `grid` of what is on its way, in bits per column.

    Raises ValueError for a `joint` that is no share, and as `Variational` does.
    """

    def __init__(
        self, times: Times | None = None, joint: float = 0.5, draws: int = 1, grid: Tensor | None = None
    ) -> None:
        super().__init__(times, draws, grid)
        if not 0 <= joint <= 1:
            raise ValueError(f"joint={joint}: a share of the rows, from 0 to 1")
        self.joint = joint

    def __call__(self, model: ReverseProcess, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) estimates. Raises ValueError for a model that is none of a table."""
        if not isinstance(model, MixedDenoiser):
            raise ValueError("objective.kind=cells: for tables, of kernel.kind=mixed")
        noise = generator.part("cells", torch.arange(len(x_0))) if isinstance(generator, Batch) else generator
        given, out = patterns(x_0, noise, self.joint)
        told = x_0.masked_fill(~given, math.nan)
        return super().__call__(
            model.told(Given({CELLS: told})), x_0.masked_fill(given | out, math.nan), generator
        )


def patterns(x_0: Tensor, generator: Noise, joint: float) -> tuple[Tensor, Tensor]:
    """Which known cells (B, D) are given, and which are left out."""
    shape = tuple(x_0.shape)
    row, rate, half = (uniform((len(x_0), 1), generator, torch.float64) for _ in range(3))
    first, second = (uniform(shape, generator, torch.float64) for _ in range(2))
    apart = row >= joint
    given = apart & (first < rate) & ~x_0.isnan().cpu()
    out = apart & (half < 0.5) & (second < 0.5) & ~given
    return given.to(x_0.device), out.to(x_0.device)
