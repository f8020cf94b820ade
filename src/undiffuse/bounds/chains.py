"""The best chain of every length: which of a grid's times to keep (Watson et al. 2021).

The bound of a chain is a sum over its steps, and what a step from t to s costs does not depend on the others:

    L(t_1 < .. < t_k) = D(t_1) + sum_i C(t_i, t_{i+1}) + prior      D(t) = E[-log p(x_0 | x_t)]
    C(s, t) = E KL(q(x_s | x_t, x_0) || p(x_s | x_t))

One network call at each of n times therefore gives all n^2 of them, and dynamic programming the k times with
the lowest sum. A Gaussian step whose variance is not learned is as wide as is best (`contexts`): where q has
variance v_q and mean a x_0 + b x_t, and x_0-hat a mean squared error of e, that is

    v = v_q + a^2 e,      C(s, t) = D E[1/2 log(v / v_q)]      e: a function of x_0-hat, the same for every s

Chains and widths are the best for the examples that they were found on, which cost less on them than others
will; `follow` says what others cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.ambient import unaided
from undiffuse.bounds.optimal import check_fixed
from undiffuse.bounds.step_costs import Drawn
from undiffuse.devices import fetched
from undiffuse.model import Denoiser
from undiffuse.parameterizations import DiscretizedDecoder
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.track import SILENT, Track

Cost = Callable[[Tensor], Tensor]


class Best(NamedTuple):
    """A chain: its times as places in the grid, and its bound in nats an example."""

    places: tuple[int, ...]
    nats: float


@dataclass(frozen=True, eq=False)
class Costs:
    """What steps cost on average, in nats an example: `steps[i, j]` from grid[j] down to grid[i] < grid[j].

    The rest is of K knots, none where the model's variances are its own: `errors` are log2 of x_0-hat's mean
    squared error, `gains` log2(a^2 / v_q), and `scales` log2 of what the decoder's variance is multiplied by.
    """

    grid: Tensor  # (n,)
    first: Tensor  # (n,): the decoder at grid[i]
    steps: Tensor  # (n, n), infinite unless i < j
    errors: Tensor  # (n, K)
    gains: Tensor  # (n, n)
    scales: Tensor  # (n, K)
    prior: float

    def best(self, longest: int) -> list[Best]:
        """The best chains of 1, 2, .. `longest` times; all end at t = 1."""
        costs, before = [self.first], []
        for _ in range(min(longest, len(self.grid)) - 1):
            least = (costs[-1].unsqueeze(1) + self.steps).min(0)
            costs.append(least.values)
            before.append(least.indices)
        return [self._chain(float(cost[-1]), before[:k]) for k, cost in enumerate(costs)]

    def knots(self, places: tuple[int, ...]) -> Tensor:
        """Of a chain's widths, (k, K): `scales` of its first time, then log2(v / v_q - 1) of every step."""
        chain = torch.tensor(places)
        steps = self.gains[chain[:-1], chain[1:]].unsqueeze(1) + self.errors[chain[1:]]
        return torch.cat([self.scales[chain[:1]], steps])

    def _chain(self, cost: float, before: list[Tensor]) -> Best:
        places = [len(self.grid) - 1]
        for step in reversed(before):
            places.insert(0, int(step[places[0]]))
        return Best(tuple(places), cost + self.prior)


def same(nats: Tensor) -> Tensor:
    """A step costs its divergence."""
    return nats


@unaided
@torch.no_grad()
def costs(
    model: Denoiser,
    x_0: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    knots: Sequence[int] = (0,),
    cost: Cost = same,
    track: Track = SILENT,
) -> list[Costs]:
    """What every step between two times of the grid costs on average over x_0 (B, *shape).

    Of the best variances by context with so many knots, its decoder's too, or of the model's own for 0: one
    for each of `knots`. One draw of x_t and one network call a time. `cost` is what sending a step of so many
    nats really takes. Raises ValueError for knots where the steps are not Gaussian of a fixed variance, or
    the data have no levels.
    """
    grid = check_grid(grid)
    _check_knots(model, max(knots))
    prior = float(terms.prior(model, x_0).mean())
    found = [_unknown(grid, each, prior) for each in knots]
    for j, t in track.each(list(enumerate(grid))):
        drawn = Drawn(model, x_0, t, generator)
        for made in found:
            step_costs = drawn.fitted(made.errors.shape[1])
            made.first[j], made.errors[j], made.scales[j] = (
                step_costs.first.mean(),
                step_costs.error,
                step_costs.scale,
            )
            for i in range(j):
                nats, made.gains[i, j] = step_costs.step(grid[i])
                made.steps[i, j] = cost(nats).mean()
    return found


@unaided
@torch.no_grad()
def follow(
    model: Denoiser,
    x_0: Tensor,
    *,
    fitted: Sequence[Costs],
    generator: Generator,
    cost: Cost = same,
    track: Track = SILENT,
) -> list[Tensor]:
    """What the best chains of other examples cost each of x_0 (B, *shape): nats (n, B) of 1 .. n times.

    One for each of `fitted`, all of one grid and with the widths found there. Calls as in `costs`.
    """
    grid = fitted[0].grid
    chains = [[each.places for each in costs.best(len(grid))] for costs in fitted]
    nats = [fetched(terms.prior(model, x_0)).repeat(len(grid), 1) for _ in fitted]
    for j, t in track.each(list(enumerate(grid))):
        drawn = Drawn(model, x_0, t, generator)
        for costs, found, total in zip(fitted, chains, nats, strict=True):
            step_costs = drawn.under(costs.errors[j], costs.scales[j])
            for i, rows in _leaving(found, j).items():
                total[rows] += step_costs.first if i is None else cost(step_costs.step(grid[i])[0])
    return nats


def _leaving(chains: list[tuple[int, ...]], j: int) -> dict[int | None, list[int]]:
    """The chains through place j, by the place that they go to from there: None for the data."""
    found: dict[int | None, list[int]] = {}
    for row, chain in enumerate(chains):
        for i, here in pairwise((None, *chain)):
            if here == j:
                found.setdefault(i, []).append(row)
    return found


def _unknown(grid: Tensor, knots: int, prior: float) -> Costs:
    """Room for the costs."""
    n = len(grid)
    first, gains, steps = (torch.zeros(shape, dtype=torch.float64) for shape in ((n,), (n, n), (n, n)))
    errors, scales = (torch.zeros(n, knots, dtype=torch.float64) for _ in range(2))
    return Costs(grid, first, steps + torch.inf, errors, gains, scales, prior)


def _check_knots(model: Denoiser, knots: int) -> None:
    if not knots:
        return
    check_fixed(model)
    if not isinstance(model.decoder, DiscretizedDecoder):
        raise ValueError(f"knots={knots}: only a model of data with levels (decoder=discretized) has any")
