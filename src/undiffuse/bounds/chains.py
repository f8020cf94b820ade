"""The best chain of every length: which of a grid's times to keep (Watson et al. 2021).

The bound of a chain is a sum over its steps, and what a step from t to s costs does not depend on the others:

    L(t_1 < .. < t_k) = D(t_1) + sum_i C(t_i, t_{i+1}) + prior      D(t) = E[-log p(x_0 | x_t)]
    C(s, t) = E KL(q(x_s | x_t, x_0) || p(x_s | x_t))

One network call at each of n times therefore gives all n^2 of them, and dynamic programming the k times with
the lowest sum. Gaussian steps of a variance that is not learned have their best one (`optimal`): with that

    C(s, t) = D/2 log(v* / v_q)
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import total


class Best(NamedTuple):
    """A chain: its times as places in the grid, its bound in nats an example, and v* / v_q of every step."""

    places: tuple[int, ...]
    nats: float
    ratios: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Costs:
    """What steps cost on average, in nats an example: `steps[i, j]` from grid[j] down to grid[i] < grid[j].

    `ratios` are v* / v_q of the same steps (1 where the model's variance is its own).
    """

    grid: Tensor  # (n,)
    first: Tensor  # (n,): the decoder at grid[i]
    steps: Tensor  # (n, n), infinite unless i < j
    ratios: Tensor  # (n, n)
    prior: float

    def best(self, longest: int) -> list[Best]:
        """The best chains of 1, 2, .. `longest` times; all end at t = 1."""
        costs, before = [self.first], []
        for _ in range(min(longest, len(self.grid)) - 1):
            least = (costs[-1].unsqueeze(1) + self.steps).min(0)
            costs.append(least.values)
            before.append(least.indices)
        return [self._chain(float(cost[-1]), before[:k]) for k, cost in enumerate(costs)]

    def _chain(self, cost: float, before: list[Tensor]) -> Best:
        places = [len(self.grid) - 1]
        for step in reversed(before):
            places.insert(0, int(step[places[0]]))
        ratios = tuple(float(self.ratios[i, j]) for i, j in pairwise(places))
        return Best(tuple(places), cost + self.prior, ratios)


@torch.no_grad()
def costs(
    model: Denoiser,
    x_0: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    tick: Callable[[], object] = lambda: None,
) -> Costs:
    """What every step between two times of the grid costs on average over x_0 (B, *shape).

    One draw of x_t and one network call a time; `tick` is called after each.
    """
    grid = check_grid(grid)
    n = len(grid)
    first = torch.empty(n, dtype=torch.float64)
    steps = torch.full((n, n), torch.inf, dtype=torch.float64)
    ratios = torch.ones(n, n, dtype=torch.float64)
    for j, t in enumerate(grid):
        x_t = terms.noisy(model, x_0, t, generator)
        out, raw = model.output(x_t, t)
        first[j] = -total(model.decode_from(out, raw, x_t, t).log_prob(x_0)).mean()
        for i, s in enumerate(grid[:j]):
            steps[i, j], ratios[i, j] = _step(model, out, raw, x_0, x_t, s, t)
        tick()
    return Costs(grid, first, steps, ratios, float(terms.prior(model, x_0).mean()))


def _step(
    model: Denoiser, out: Tensor, raw: Tensor | None, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """C(s, t), and v* / v_q."""
    kernel = model.kernel
    q, p, ratio = kernel.bridge(x_0, x_t, s, t), model.step_from(out, raw, x_t, t, s), torch.ones(())
    if isinstance(kernel, Gaussian) and not model.variance.learned:
        var = kernel.coefficients(s, t).var
        ratio = 1 + (q.mean - p.mean).square().double().mean() / var
        p = kernel.around(p.mean, ratio * var, s, t)
    return total(q.kl(p)).mean(), ratio
