"""How few terms of a bound bring its error down to what is asked for, by a look at some examples.

A first pass over them with equal shares, and a second with those that it taught, tell how large the steps'
costs are and how they go with the control: in parts of the chain that had equally many draws, C_j's slope is
the best one through the origin, and the share of a step as the root mean square of what is left. A third
measures the noise that is left. R rounds of k terms, of N examples, then leave an error of

    noise^2 = (D + S / k) / (R N),      at R (k + 1) calls for each example

where D is the variance of the decoder's term and S that of the steps drawn one at a time, so that R is best$
sqrt(D), R k as sqrt(S).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.bounds.drawing import Control, Drawing
from undiffuse.bounds.nelbo import nelbo
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched
from undiffuse.model import ReverseProcess
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

EXAMPLES, TERMS = 64, 8  # of a look
PARTS = 32  # of the chain
FLOOR = 0.1  # of the shares is equal
MARGIN = 1.2  # of the variance


@dataclass(frozen=True, eq=False)
class Plan:
    """So many rounds of so many terms, drawn like this."""

    drawing: Drawing
    terms: int
    rounds: int


@unaided
@torch.no_grad()
def plan(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    error: float,
    seed: int = 0,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    control: Control | None = None,
    track: Track = SILENT,
) -> Plan:
    """What brings the noise in the mean bound of the data (N, *shape) to `error`, in bits per dimension.

    Raises ValueError for an error that is none.
    """
    if not 0 < error < math.inf:
        raise ValueError(f"error={error}: a positive number of bits per dimension, such as 0.01")
    grid = check_grid(grid)
    rows = torch.linspace(0, len(data) - 1, min(EXAMPLES, len(data))).round().long()
    look, parts = Look(model.rows(rows), data[rows], grid, seed, encode), track.split(*[1] * 4)
    drawing = Drawing.even(len(grid) - 1, control)
    for number in range(2 if len(grid) > 1 else 0):  # a chain of one time has no steps to draw
        drawing = taught(look.draws(number, drawing, parts[number]), drawing)
    allowed = len(data) * (error * dims(tuple(data.shape[1:])) * math.log(2)) ** 2 / MARGIN
    decoder, steps = look.noise(2, drawing, TERMS, parts[2])
    each = (decoder**0.5 + (TERMS * steps) ** 0.5) / allowed
    rounds = max(2.0, decoder**0.5 * each)
    terms = math.ceil(TERMS * steps / max(rounds * allowed - decoder, 1e-300))
    terms = min(max(1, terms), max(1, len(grid) - 1))
    noise = sum(look.noise(3, drawing, terms, parts[3]))
    return Plan(drawing, terms, max(2, math.ceil(noise / allowed)))


@dataclass(frozen=True, eq=False)
class Look:
    """Some examples, to be looked at more than once with other draws."""

    model: ReverseProcess
    data: Tensor
    grid: Tensor
    seed: int
    encode: Callable[[Tensor], Tensor]

    def blocks(self, number: int) -> Streamed:
        """The examples with the noise of look `number`."""
        return Streamed(self.model, self.data, self.seed, f"pilot {number}", self.encode, None, self.grid)

    def draws(self, number: int, drawing: Drawing, track: Track) -> Tensor:
        """(4, M): step, weight, cost and control of what is drawn."""
        found = []
        for (model, x_0, kept, streams), part in track.over(self.blocks(number)):
            for one in part.each(drawing.drawn(model, x_0, self.grid, streams, TERMS), TERMS):
                columns = [fetched(column).double().expand(len(x_0)) for column in one]
                found.append(torch.stack(columns)[:, :kept])
        return torch.cat(found, 1)

    def noise(self, number: int, drawing: Drawing, terms: int, track: Track) -> tuple[float, float]:
        """Variances of the decoder's term and of so many steps, nats^2, the mean over examples."""
        decoder, steps = [], []
        for (model, x_0, kept, streams), part in track.over(self.blocks(number)):
            how: dict[str, Any] = {"grid": self.grid, "terms": terms, "drawing": drawing}
            pair = [nelbo(model, x_0, generator=streams, track=each, **how) for each in part.split(1, 1)]
            decoder.append(torch.stack([one.decode[:kept] for one in pair]))
            steps.append(torch.stack([one.steps[:kept].sum(1) for one in pair]))
        of_decoder, of_steps = (float(torch.cat(each, 1).var(0).mean()) for each in (decoder, steps))
        return of_decoder, of_steps


def taught(draws: Tensor, before: Drawing) -> Drawing:
    """A drawing by what was found of steps: draws (4, M) of their number, weight, cost and control."""
    place, weight, cost, control = draws[:, draws[0].argsort(stable=True)]
    ends = torch.linspace(0, len(place), PARTS + 1).round().long()
    first = place[ends[:-1].clamp(max=len(place) - 1)].long()
    part = (torch.searchsorted(first, torch.arange(len(before.shares)), right=True) - 1).clamp(min=0)
    of = part[place.long()]

    def mean(values: Tensor) -> Tensor:
        return torch.zeros(PARTS, dtype=torch.float64).index_add(0, of, weight * values)

    squares = mean(control.square())
    slopes = torch.where(squares > 0, mean(cost * control) / squares.clamp(min=1e-300), 0.0)
    left = mean((cost - slopes[of] * control).square()) / mean(torch.ones_like(cost)).clamp(min=1e-300)
    share = left.sqrt()[part]
    share = share / share.sum() if bool(share.any()) else before.shares
    return Drawing((1 - FLOOR) * share + FLOOR / len(share), slopes[part], before.control)
