"""The curve of mean squared errors: what every Gaussian chain of a model costs, and the times it should have.

With SNR = e^(logsnr), u = SNR / 2 and mse(u) = E|x_0 - x_0-hat(x_t)|^2, the steps of a chain cost, in nats,

    L_T = sum_i (u_{i-1} - u_i) mse(u_i)         steps of the bridge's variance
    L_T = D/2 sum_i log(1 + 2 (u_{i-1} - u_i) mse(u_i) / D)       of the best variance, one for all values
    L_inf = int mse du                           infinitely many steps

(Kingma et al. 2021, eqs. 13, 14; Bao et al. 2022). One pass over data gives mse at some u, and with it every
chain between them: dynamic programming the best (Watson et al. 2021), and, where a chain has many times,

    times at equal increments of int sqrt(|d mse / du|) du        of which the gap L_T - L_inf is the least,

since a step of length h in u costs h^2 |mse'| / 2 more than it must. For an exact denoiser the same gap is
what a sampler loses that holds its prediction for a step: E|D_s - D_t|^2 = mse_t - mse_s, and so

    L_T - L_inf = sum_i int_{u_i}^{u_{i-1}} E|D(x_u) - D(x_{u_i})|^2 du

(the cost of Sabour et al. 2024): the best chain for the bound is the best for such a sampler, by the
divergence of whole paths. Where a solver of higher order arrives at x_0 is another thing (`samplers.Tuner`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.bounds.chains import Costs
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched, wide
from undiffuse.estimate import Moments
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.schedules.grids import Grid, check_grid
from undiffuse.tensors import dims, total
from undiffuse.track import SILENT, Track


@dataclass(frozen=True, eq=False)
class Curve:
    """`mse` (K,) at the latent times `grid` (K,) whose log-SNR is `logsnr`, and its standard error `se`.

    Of `size` values of an example, summed over them.
    """

    grid: Grid
    logsnr: Tensor
    mse: Tensor
    se: Tensor
    size: int

    @property
    def u(self) -> Tensor:
        """SNR / 2, falling along the grid."""
        return self.logsnr.exp() / 2

    @property
    def falling(self) -> Tensor:
        """The mse that never rises with u, and is nearest to what was measured (isotonic regression)."""
        weights = 1 / self.se.square().clamp(min=1e-30 * float(self.mse.max()) ** 2 + 1e-300)
        return rising(self.mse, weights)

    def costs(self, best_variance: bool = False) -> Costs:
        """What every step costs, for the chains of these times that begin at the first of them."""
        length = (self.u.unsqueeze(1) - self.u) * self.mse
        if best_variance:
            length = self.size / 2 * torch.log1p(2 * length / self.size)
        n = len(self.grid)
        upwards = torch.ones(n, n, dtype=torch.bool).triu(1)
        first = torch.full((n,), torch.inf, dtype=torch.float64)
        first[0] = 0.0
        none, gains = torch.zeros(n, 0, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
        steps = torch.where(upwards, length, torch.inf)
        return Costs(self.grid, first, steps, none, gains, none, 0.0)

    def cost(self, times: Tensor, best_variance: bool = False) -> float:
        """L_T, in nats, of a chain of some of the times."""
        places = torch.searchsorted(self.grid, times.contiguous())
        return float(self.costs(best_variance).steps[places[:-1], places[1:]].sum())

    @property
    def limit(self) -> float:
        """L_inf, in nats, by the trapezoidal rule in u."""
        return float(torch.trapezoid(self.mse.flip(0), self.u.flip(0)))

    def best(self, steps: int, best_variance: bool = False) -> Grid:
        """The times of the least L_T. Raises ValueError for fewer than two, or more than there are."""
        self._check(steps)
        return check_grid(self.grid[list(self.costs(best_variance).best(steps)[-1].places)])

    def even(self, steps: int) -> Grid:
        """The times at equal increments of int sqrt(|d mse / du|) du. Raises ValueError as `best` does."""
        self._check(steps)
        increments = (self.falling.diff().clamp(min=0) * -self.u.diff()).sqrt()
        done = torch.cat([increments.new_zeros(1), increments.cumsum(0)])
        at = np.interp(np.linspace(0, float(done[-1]), steps), done.numpy(), self.grid.numpy())
        at[0], at[-1] = float(self.grid[0]), 1.0
        return check_grid(torch.from_numpy(at))

    def _check(self, steps: int) -> None:
        if not 2 <= steps <= len(self.grid):
            raise ValueError(f"steps={steps}: a chain on this curve has 2 to {len(self.grid)} times")


@unaided
@torch.no_grad()
def curve_of(
    model: ReverseProcess,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
) -> Curve:
    """The curve at these times, over the data (N, *shape), N >= 2: a call for each time and example.

    Raises ValueError for kernels of symbols.
    """
    kernel = model.kernel
    if not isinstance(kernel, Gaussian):
        kind = type(kernel).__name__
        raise ValueError(f"a {kind} kernel is of symbols, whose predictions have no squared error; use costs")
    grid, moments = check_grid(grid), Moments()
    for part, inner in track.over(Streamed(model, data, seed, "curve", encode, block, grid)):
        columns = []
        for t in inner.each(list(grid)):
            x_t = kernel.marginal(part.x_0, t).sample(part.streams)
            columns.append(total(wide(part.x_0 - part.model.predict(x_t, t)).square()))
        moments.add(fetched(torch.stack(columns, 1))[: part.kept])
    logsnr = kernel.schedule.logsnr(grid).detach()
    return Curve(grid, logsnr, moments.mean, moments.se, dims(tuple(data.shape[1:])))


def rising(values: Tensor, weights: Tensor) -> Tensor:
    """The nearest sequence that never falls, in weighted squares: neighbours that do are pooled."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, w, n), (b, v, m) = pools[-2:]
            pools[-2:] = [((a * w + b * v) / (w + v), w + v, n + m)]
    means, _, lengths = zip(*pools, strict=True)
    return torch.tensor(means, dtype=torch.float64).repeat_interleave(torch.tensor(lengths))
