"""Which chain a file is coded on: the times that a few of its examples say are best.

`trade` is the lowest bound of every number of steps; what coding takes grows with that number. A plan has the
fewest steps whose bound is within `CLOSE` of the lowest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.bounds import Costs, costs
from undiffuse.codec.chain import DECODED, EXCESS, OCTAVE, Plan, evenly
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
    costs: Costs
    chains: list[tuple[int, ...]]
    bits: tuple[float, ...]

    def plan(self, steps: int | None, resolution: int = 3) -> Plan:
        """The plan of so many steps, or of the fewest that are close to the best.

        Raises ValueError for more steps than the chain has.
        """
        if steps is None:
            steps = next(k for k, bits in enumerate(self.bits, 1) if bits <= CLOSE * min(self.bits))
        if not 1 <= steps <= self.base:
            raise ValueError(f"steps={steps}: this chain can be thinned to 1 to {self.base} steps")
        if steps > len(self.chains):
            return Plan(self.base, evenly(self.base, steps), (), resolution)
        chain = self.chains[steps - 1]
        return Plan(self.base, tuple(self.places[list(chain)].tolist()), self._codes(chain), resolution)

    def _codes(self, chain: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The codes that are nearest to the best widths; none where there are no knots."""
        knots = self.costs.knots(chain)
        if not knots.shape[1]:
            return ()
        least = torch.tensor([[DECODED], *[[EXCESS]] * (len(chain) - 1)], dtype=torch.float64)
        codes = (OCTAVE * (knots - least)).round().clamp(0, 255).long()
        return tuple(tuple(row) for row in codes.tolist())


def trade(
    model: Denoiser,
    x_0: Tensor,
    grid: Tensor,
    count: int,
    knots: int = 1,
    tick: Callable[[], object] = lambda: None,
) -> Trade:
    """What a chain of every number of steps costs, on x_0 (B, *shape); `tick` after every network call.

    Its times are among `count` of the grid's, evenly spread; its variances the best of so many `knots`,
    unless they are learned.
    """
    places = torch.tensor(evenly(len(grid), count))
    varied = isinstance(model.kernel, Gaussian) and not model.variance.learned
    generator = keyed("und", "plan")
    found = costs(model, x_0, grid=grid[places], generator=generator, knots=knots if varied else 0, tick=tick)
    best = found.best(len(places))
    scale = 1 / (dims(tuple(x_0.shape[1:])) * math.log(2))
    return Trade(
        len(grid), places, found, [each.places for each in best], tuple(each.nats * scale for each in best)
    )
