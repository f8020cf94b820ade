"""Which chain a file is coded on: the times that a few of its examples say are best.

`trade` is the lowest bound of every number of steps; what coding takes grows with that number. A plan has the
fewest steps whose bound is within `CLOSE` of the lowest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.bounds import Best, costs
from undiffuse.codec.chain import LEAST, OCTAVE, Plan, evenly
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.random import keyed
from undiffuse.tensors import dims

CLOSE = 1.03
MANY = 128  # steps up to which the best are looked for; beyond, even ones are as good


@dataclass(frozen=True, eq=False)
class Trade:
    """The best chain of every number of steps; `bits[k - 1]` is the bound of k steps, per dimension."""

    base: int
    places: Tensor
    best: list[Best]
    bits: tuple[float, ...]
    varied: bool

    def plan(self, steps: int | None, resolution: int = 3) -> Plan:
        """The plan of so many steps, or of the fewest that are close to the best.

        Raises ValueError for more steps than the chain has.
        """
        if steps is None:
            steps = next(k for k, bits in enumerate(self.bits, 1) if bits <= CLOSE * min(self.bits))
        if not 1 <= steps <= self.base:
            raise ValueError(f"steps={steps}: this chain can be thinned to 1 to {self.base} steps")
        if steps > len(self.best):
            return Plan(self.base, evenly(self.base, steps), None, resolution)
        found = self.best[steps - 1]
        codes = tuple(_code(ratio) for ratio in found.ratios) if self.varied else None
        return Plan(self.base, tuple(self.places[list(found.places)].tolist()), codes, resolution)


def trade(
    model: Denoiser,
    x_0: Tensor,
    grid: Tensor,
    count: int,
    tick: Callable[[], object] = lambda: None,
) -> Trade:
    """What a chain of every number of steps costs, on x_0 (B, *shape); `tick` after every network call.

    Its times are among `count` of the grid's, evenly spread.
    """
    places = torch.tensor(evenly(len(grid), count))
    found = costs(model, x_0, grid=grid[places], generator=keyed("und", "plan"), tick=tick)
    best = found.best(len(places))
    scale = 1 / (dims(tuple(x_0.shape[1:])) * math.log(2))
    varied = isinstance(model.kernel, Gaussian) and not model.variance.learned
    return Trade(len(grid), places, best, tuple(each.nats * scale for each in best), varied)


def _code(ratio: float) -> int:
    """The code of the variance that is nearest to so many times beta-tilde."""
    return min(255, round(OCTAVE * math.log2(max(1, (ratio - 1) / LEAST))))
