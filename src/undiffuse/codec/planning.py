"""Which chain a file is coded on: the times and widths that some examples say are best, and what others cost.

A plan is found on examples of the model's own training data, and each of its chains is weighed on new ones,
which it was not fitted to: what is coded is new, too. Of all chains the one is taken that has the fewest
steps among those whose file is expected within `CLOSE` of the smallest; the plan itself and what lies on the
stack at first count in it, so that few examples get a short chain of few numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.bounds import Costs, costs, follow
from undiffuse.codec.chain import DECODED, EXCESS, OCTAVE, Plan, evenly
from undiffuse.codec.container import PROGRESSIVE, header_bytes
from undiffuse.codec.method import Method
from undiffuse.estimate import Moments
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.random import keyed
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

CLOSE = 1.03
MANY = 128  # steps up to which the best are looked for; beyond, even ones are as good
NEVER = 1e9  # bits per dimension of what a chain cannot be


@dataclass(frozen=True)
class Option:
    """A plan, what an example is expected to cost on it, and its standard error, in bits per dimension.

    `beside` are bits that a file takes beside its examples and its header. Of a chain that nobody has
    weighed, `bits` is NaN; of one that no new examples have, the error.
    """

    plan: Plan
    bits: float
    se: float
    beside: float

    @property
    def steps(self) -> int:
        """Of the chain."""
        return len(self.plan.places)


@dataclass(frozen=True)
class Trade:
    """Plans of every number of steps, of some numbers of knots each: time against size.

    `coder`, `shape` and `levels` are those of the files. `held`: so many new examples weighed the plans; 0 if
    they are weighed by those that they were fitted to, which cost less than others will.
    """

    coder: int
    shape: tuple[int, ...]
    levels: int
    base: int
    held: int
    options: tuple[Option, ...]

    @property
    def lengths(self) -> list[int]:
        """The numbers of steps there are plans of."""
        return sorted({each.steps for each in self.options})

    def size(self, option: Option, count: int) -> float:
        """Bytes expected of a file of so many examples."""
        chunks = option.steps if self.coder in PROGRESSIVE else 1
        head = header_bytes(self.coder, self.shape, self.levels, option.plan, count, chunks)
        return head + (count * dims(self.shape) * option.bits + option.beside) / 8

    def best(self, count: int, steps: int | None = None) -> Option:
        """What to code so many examples on; `steps` fixes the chain's length.

        Raises ValueError for more steps than the chain has.
        """
        if steps is not None and not 1 <= steps <= self.base:
            raise ValueError(f"steps={steps}: this chain can be thinned to 1 to {self.base} steps")
        sizes = {each: self.size(each, count) for each in self.options if steps in (None, each.steps)}
        if not sizes:
            assert steps is not None
            return Option(Plan(self.base, evenly(self.base, steps)), math.nan, math.nan, 0.0)
        least = min(sizes.values())
        return min(
            (each for each in sizes if sizes[each] <= CLOSE * least), key=lambda o: (o.steps, sizes[o])
        )


def trade(
    how: Method,
    model: Denoiser,
    x_0: Tensor,
    grid: Tensor,
    count: int,
    *,
    levels: int,
    new: Tensor | None = None,
    knots: Sequence[int] = (1,),
    track: Track = SILENT,
) -> Trade:
    """The best chain of every number of steps for x_0 (B, *shape), weighed on `new` (N, *shape).

    Its times are among `count` of the grid's, evenly spread; its variances the best of so many `knots`,
    unless they are learned.
    """
    places, shape = torch.tensor(evenly(len(grid), count)), tuple(x_0.shape[1:])
    varied = isinstance(model.kernel, Gaussian) and not model.variance.learned
    fit, weigh = track.split(1, 0 if new is None else 1)
    fitted = costs(
        model,
        x_0,
        grid=grid[places],
        generator=keyed("und", "plan"),
        knots=knots if varied else (0,),
        cost=how.cost,
        track=fit,
    )
    nats = [torch.tensor([[each.nats] for each in found.best(count)]) for found in fitted]
    if new is not None:
        nats = follow(model, new, fitted=fitted, generator=keyed("und", "weigh"), cost=how.cost, track=weigh)
    options = []
    for found, rows in zip(fitted, nats, strict=True):
        bits = Moments()
        bits.add(torch.nan_to_num(rows.T / (dims(shape) * math.log(2)), NEVER, NEVER).clamp(max=NEVER))
        for chain, each in zip(found.best(count), bits.estimates(), strict=True):
            plan = Plan(len(grid), tuple(places[list(chain.places)].tolist()), _codes(found, chain.places))
            beside = how.beside(model, shape, plan, grid, _parts(found, chain.places))
            options.append(Option(plan, each.mean, each.se, beside))
    held = 0 if new is None else len(new)
    return Trade(how.number, shape, levels, len(grid), held, tuple(options))


def _parts(found: Costs, chain: tuple[int, ...]) -> Tensor:
    """Nats of an example: the data, then every step from the data up, (k,)."""
    return torch.cat([found.first[list(chain[:1])], found.steps[list(chain[:-1]), list(chain[1:])]])


def _codes(found: Costs, chain: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The codes that are nearest to the best widths; none where there are no knots."""
    knots = found.knots(chain)
    if not knots.shape[1]:
        return ()
    least = torch.tensor([[DECODED], *[[EXCESS]] * (len(chain) - 1)], dtype=torch.float64)
    codes = (OCTAVE * (knots - least)).round().clamp(0, 255).long()
    return tuple(tuple(row) for row in codes.tolist())
