r"""Densities along the probability flow of a Gaussian chain, without a bound.

Where x_1 of the prior is carried to x_{t_1} (`transport`), with lambda = log(alpha / sigma), D = E[x_0 | x],

    log p(x_{t_1}) = log pi(x_1) + d log(sigma_1 / sigma_{t_1}) - int alpha div D dlambda

from lambda_1 to lambda_{t_1} (Song et al. 2021, eq. 39, the linear part integrated). Every prediction on the
way has a divergence: the trace of its Jacobian J, or, of examples of many values, v' J v for random signs v,
which is unbiased (Hutchinson 1990) and never noisier than with normal v. The integral is that of polynomials
through the six nearest of them.

What is found is the density of x_{t_1} / alpha_{t_1}: of data with noise of width sigma_{t_1} / alpha_{t_1}.
How far it is right, two numbers say: a standard error over the signs, and the grid's error. That is the whole
difference from a walk of every other time: Richardson's share of it, a seventh at third order, is too little
where the flow passes close by a boundary, as half of its error may be left by twice as many times.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.devices import wide, widest
from undiffuse.distributions import Distribution
from undiffuse.flow.transport import carried, check_flow
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator, uniform
from undiffuse.samplers import Exponential, UniPC
from undiffuse.samplers.base import gaussian_of
from undiffuse.samplers.quadrature import weights
from undiffuse.schedules.grids import check_grid
from undiffuse.student import student
from undiffuse.tensors import dims, total
from undiffuse.track import SILENT, Track

NEAREST = 6  # predictions that each part of the integral goes through
EXACT = 16  # values of an example up to which the divergence is exact, unless told


class LogProb(NamedTuple):
    """log p(x) in nats, (B,), its standard error over random signs, and the grid's error; float64."""

    value: Tensor
    se: Tensor
    error: Tensor


class Diverging(ReverseProcess):
    """A model that notes the divergence of each prediction: (lambda, alpha div D of (K, B))."""

    def __init__(self, model: ReverseProcess, signs: Tensor | None, graph: bool) -> None:
        super().__init__()
        self.model, self.kernel, self.signs, self.graph = model, model.kernel, signs, graph
        self.seen: list[tuple[float, Tensor]] = []

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The model's."""
        level = gaussian_of(self.model).level(t)
        with torch.enable_grad():
            x = x_t if self.graph else x_t.detach()
            x = x if x.requires_grad else x.requires_grad_()
            x_0 = self.model.predict(x, t)
            if not x_0.requires_grad:
                name = type(self.model).__name__
                raise ValueError(f"{name}: predictions without a gradient in x_t; its flow has no density")
            found = self._exact(x_0, x) if self.signs is None else self._signed(x_0, x)
        self.seen.append((level.place, level.alpha * found))
        return x_0 if self.graph else x_0.detach()

    def _exact(self, x_0: Tensor, x: Tensor) -> Tensor:
        """The trace of the Jacobian, (1, B)."""
        flat, trace = x_0.flatten(1), torch.zeros(len(x), dtype=widest(x.device), device=x.device)
        for i in range(flat.shape[1]):
            (row,) = torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True, create_graph=self.graph)
            trace = trace + wide(row.flatten(1)[:, i])
        return trace.unsqueeze(0)

    def _signed(self, x_0: Tensor, x: Tensor) -> Tensor:
        """v' J v of every v, (K, B)."""
        assert self.signs is not None
        each = []
        for v in self.signs:
            (row,) = torch.autograd.grad((x_0 * v).sum(), x, retain_graph=True, create_graph=self.graph)
            each.append(total(row * v))
        return torch.stack(each)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """The model's."""
        return self.model.step(x_t, t, s)

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """The model's."""
        return self.model.decode(x_t, t)


@unaided
def log_prob(
    model: ReverseProcess,
    x: Tensor,
    *,
    grid: Tensor,
    generator: Generator,
    signs: int | None = None,
    solver: Exponential | None = None,
    track: Track = SILENT,
) -> LogProb:
    """log of the density of x_{t_1} / alpha_{t_1} at x (B, *shape), t_1 being grid[0]: two walks.

    The grid has an odd number of times, five at least; as many calls and half of them again are made. `signs`
    are so many random ones a row, two at least, or 0 for the trace itself, which unless told is taken up to
    16 values. It has a gradient where x has. Raises ValueError for a model, grid, solver or signs that give
    no density.
    """
    solver, grid, d = solver or UniPC(4), check_grid(grid), dims(tuple(x.shape[1:]))
    check_flow(model, solver)
    if len(grid) < 5 or len(grid) % 2 == 0:
        raise ValueError(
            f"grid: {len(grid)} times; an odd number from 5 on, since every other one is walked too"
        )
    if signs is None:
        signs = 0 if d <= EXACT else 2
    if signs < 0 or signs == 1:
        raise ValueError(f"signs={signs}: two at least, since one has no error, or 0 for the trace itself")
    v, (first, second) = _signs(x, signs, generator) if signs else None, track.split(2, 1)
    fine = _walk(model, x, grid, solver, v, first)
    with torch.no_grad():
        coarse = _walk(model, x, grid[::2], solver, v, second)
    error = (fine.detach() - coarse).mean(0).abs()
    se = fine.detach().std(0) / math.sqrt(signs) * student(signs) if signs else torch.zeros_like(error)
    return LogProb(fine.mean(0), se, error)


def _walk(
    model: ReverseProcess, x: Tensor, grid: Tensor, solver: Exponential, signs: Tensor | None, track: Track
) -> Tensor:
    """log p (K, B) by one walk up the grid."""
    watched = Diverging(model, signs, x.requires_grad and torch.is_grad_enabled())
    first, last = (gaussian_of(model).level(t) for t in (grid[0], grid[-1]))
    with torch.set_grad_enabled(watched.graph):
        x_1 = carried(watched, x * first.alpha, grid, solver, track)
        end = total(model.prior(x_1).log_prob(x_1))
        volume = dims(tuple(x.shape[1:])) * math.log(last.sigma / first.sigma * first.alpha)
        return end + volume - integral(watched.seen)


def integral(seen: list[tuple[float, Tensor]]) -> Tensor:
    """Of values (..) at places, from the lowest to the highest, by polynomials through the nearest few.

    From a place of -infinity to the next they are taken to rise like alpha^2, which they do there.
    """
    ordered = sorted(seen, key=lambda pair: pair[0])
    endless = math.isinf(ordered[0][0])
    tail, ordered = ordered[1][1] / 2 * endless, ordered[endless:]
    places, count = [place for place, _ in ordered], min(NEAREST, len(ordered))
    shares = [0.0] * len(places)
    for i in range(len(places) - 1):
        begin = min(max(0, i + 1 - count // 2), len(places) - count)
        h = places[i + 1] - places[i]
        near = range(begin, begin + count)
        for j, weight in zip(near, weights([(places[j] - places[i]) / h for j in near], 0.0), strict=True):
            shares[j] += h * weight
    return sum((share * value for share, (_, value) in zip(shares, ordered, strict=True)), start=tail)


def _signs(x: Tensor, count: int, generator: Generator) -> Tensor:
    """(K, *x.shape) of -1 and 1."""
    drawn = (uniform(tuple(x.shape), generator, x.dtype, x.device) for _ in range(count))
    return torch.stack([2 * (u < 0.5).to(x) - 1 for u in drawn])
