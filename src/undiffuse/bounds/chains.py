"""The best chain of every length: which of a grid's times to keep (Watson et al. 2021).

The bound of a chain is a sum over its steps, and what a step from t to s costs does not depend on the others:

    L(t_1 < .. < t_k) = D(t_1) + sum_i C(t_i, t_{i+1}) + prior      D(t) = E[-log p(x_0 | x_t)]
    C(s, t) = E KL(q(x_s | x_t, x_0) || p(x_s | x_t))

One network call at each of n times therefore gives all n^2 of them, and dynamic programming the k times with
the lowest sum. A Gaussian step whose variance is not learned is as wide as is best (`contexts`): where q has
variance v_q and mean a x_0 + b x_t, and x_0-hat a mean squared error of e, that is

    v = v_q + a^2 e,      C(s, t) = D E[1/2 log(v / v_q)]      e: a function of x_0-hat, the same for every s
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.ambient import unaided
from undiffuse.bounds.contexts import decoder_scale, squared_error
from undiffuse.bounds.optimal import check_fixed
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import DiscretizedDecoder, Hats
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import ZERO, total


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


@unaided
@torch.no_grad()
def costs(
    model: Denoiser,
    x_0: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    knots: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> Costs:
    """What every step between two times of the grid costs on average over x_0 (B, *shape).

    Of the model's own variances, or of the best by context with so many `knots`, its decoder's too. One draw
    of x_t and one network call a time; `tick` is called after each. Raises ValueError for knots where the
    steps are not Gaussian of a fixed variance, or the data have no levels.
    """
    grid = check_grid(grid)
    if knots:
        check_fixed(model)
        if not isinstance(model.decoder, DiscretizedDecoder):
            raise ValueError(f"knots={knots}: only a model of data with levels (decoder=discretized) has any")
    n = len(grid)
    first, steps, gains = (torch.zeros(shape, dtype=torch.float64) for shape in ((n,), (n, n), (n, n)))
    steps += torch.inf
    errors, scales = torch.zeros(n, knots, dtype=torch.float64), torch.zeros(n, knots, dtype=torch.float64)
    for j, t in enumerate(grid):
        x_t = terms.noisy(model, x_0, t, generator)
        found: _Outlook | _Contextual = (
            _Contextual(model, x_0, x_t, t, knots) if knots else _Outlook(model, x_0, x_t, t)
        )
        first[j], errors[j], scales[j] = found.first, found.error, found.scale
        for i, s in enumerate(grid[:j]):
            steps[i, j], gains[i, j] = found.step(s)
        tick()
    return Costs(grid, first, steps, errors, gains, scales, float(terms.prior(model, x_0).mean()))


class _Outlook:
    """All that one network call at x_t tells: -log p(x_0 | x_t) on average, and every step from t."""

    def __init__(self, model: Denoiser, x_0: Tensor, x_t: Tensor, t: Tensor) -> None:
        self.model, self.x_0, self.x_t, self.t = model, x_0, x_t, t
        self.out, self.raw = model.output(x_t, t)
        self.error = self.scale = torch.zeros(0, dtype=torch.float64)
        self.first = total(-model.decode_from(self.out, self.raw, x_t, t).log_prob(x_0)).mean()

    def step(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """C(s, t), and log2(a^2 / v_q)."""
        q = self.model.kernel.bridge(self.x_0, self.x_t, s, self.t)
        return total(q.kl(self.model.step_from(self.out, self.raw, self.x_t, self.t, s))).mean(), ZERO


class _Contextual:
    """The same with widths by context."""

    def __init__(self, model: Denoiser, x_0: Tensor, x_t: Tensor, t: Tensor, knots: int) -> None:
        self.kernel, decoder = cast(Gaussian, model.kernel), cast(DiscretizedDecoder, model.decoder)
        self.x_0, self.x_t, self.t = x_0.double(), x_t.double(), t
        self.x = model.predict_from(model.output(x_t, t)[0].double(), self.x_t, t)
        hats = Hats(self.x, knots)
        self.error = squared_error(hats, self.x_0 - self.x)
        self.spread = hats(self.error)
        self.scale, loss = decoder_scale(decoder, self.error, self.x, self.x_0, t, self.kernel)
        self.first = total(loss).mean()

    def step(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """C(s, t) and the gain."""
        c = self.kernel.coefficients(s, self.t)
        gain = (c.a.square() / c.var).log2()
        q, p = (self.kernel.bridge(x, self.x_t, s, self.t) for x in (self.x_0, self.x))
        wide = self.kernel.around(p.mean, c.var * (1 + (gain + self.spread).exp2()), s, self.t)
        return total(q.kl(wide)).mean(), gain
