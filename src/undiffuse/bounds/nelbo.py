"""The negative evidence lower bound (NELBO) of every example, term by term, in nats.

`terms=k` evaluates k of the T - 1 steps instead of all, one in each of k equal stretches of the chain, each
counted as often as its stretch is long: every entry of `steps` and their sum stay unbiased, and the extra
spread shows in the standard error over examples.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from undiffuse import terms as bound
from undiffuse.ambient import unaided
from undiffuse.bounds.drawing import Drawing
from undiffuse.devices import fetched
from undiffuse.estimate import Moments
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.track import SILENT, Track


@dataclass(frozen=True, eq=False)
class Nelbo:
    """-log p(x_0) <= total = prior + sum of steps + decode; nats, float64.

    `steps[:, i]` leaves the latent time grid[i + 1] for grid[i]. `edge` is what the fixed last step of the
    2015 paper costs in place of `decode`, `entropies` what its eq. 14 has in place of prior and last step.
    """

    prior: Tensor  # (B,)
    steps: Tensor  # (B, T - 1)
    decode: Tensor  # (B,)
    edge: Tensor  # (B,)
    entropies: Tensor  # (B,)

    @property
    def total(self) -> Tensor:
        """The bound, (B,)."""
        return self.prior + self.steps.sum(1) + self.decode

    @property
    def k(self) -> Tensor:
        """K, the lower bound on log p(x_0) with the fixed last step (2015, eqs. 12 and 44), (B,)."""
        return -(self.prior + self.steps.sum(1) + self.edge)

    @property
    def k_entropies(self) -> Tensor:
        """K by eq. 14: the same on average, if the data's mean of -log pi is the entropy of pi; (B,)."""
        return -(self.entropies + self.steps.sum(1))

    def first(self, count: int) -> "Nelbo":
        """The bound of the first `count` rows."""
        return Nelbo(*(getattr(self, part.name)[:count] for part in fields(self)))


@unaided
@torch.no_grad()
def nelbo(
    model: ReverseProcess,
    x_0: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    terms: int | None = None,
    drawing: Drawing | None = None,
    track: Track = SILENT,
) -> Nelbo:
    """The bound for x_0 (B, *shape) on the chain with these latent times (Ho et al. 2020, eq. 5).

    `drawing` says which steps so many `terms` are, by default one of each of as many equal stretches. Every
    term has its own draw of x_t. Memory does not grow with the chain but for one number a term and
    example. Raises ValueError for a grid that is none, terms < 1.
    """
    grid, places, values = check_grid(grid), [], []
    drawing = drawing or Drawing.even(len(grid) - 1)
    draws = drawing.drawn(model, x_0, grid, generator, terms)
    for one in track.each(draws, calls(grid, terms)):
        values.append(drawing.left(one))
        places.append(one.step.expand(len(x_0)))
    steps = torch.zeros(len(x_0), len(grid) - 1, dtype=torch.float64)
    if values:  # read at the end: nothing waits for a step
        steps.scatter_(1, torch.stack(places, 1), fetched(torch.stack(values, 1)))
    steps += drawing.known(x_0, grid)
    x_t = bound.noisy(model, x_0, grid[0], generator)
    decode, edge = (fetched(term(model, x_0, x_t, grid[0])) for term in (bound.decode, bound.edge))
    track.at(1)
    around = fetched(bound.entropies(model, x_0, grid[0]))
    return Nelbo(fetched(bound.prior(model, x_0)), steps, decode, edge, around)


def averaged(
    model: ReverseProcess,
    x_0: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    terms: int | None = None,
    rounds: int = 1,
    drawing: Drawing | None = None,
    track: Track = SILENT,
) -> tuple[Nelbo, Tensor]:
    """The mean of so many bounds, each of draws of its own, and the variance of its total, (B,); 0 of one.

    Raises ValueError as `nelbo` does, and for rounds below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least one")
    sums: dict[str, Tensor] = {}
    totals = Moments()
    for look in track.split(*[1] * rounds):
        one = nelbo(model, x_0, grid=grid, generator=generator, terms=terms, drawing=drawing, track=look)
        totals.add(one.total.unsqueeze(0))
        for part in fields(one):
            sums[part.name] = sums.get(part.name, 0) + getattr(one, part.name)
    mean = Nelbo(**{name: each / rounds for name, each in sums.items()})
    return mean, totals.squares / max(rounds - 1, 1) / rounds


def calls(grid: Tensor, terms: int | None) -> int:
    """Network calls that `nelbo` makes."""
    return min(len(grid) - 1, terms or len(grid)) + 1
