"""The best fixed variance of every reverse step (Bao et al. 2022, Analytic-DPM).

With a mean mu_p that is given and one variance v for all D dimensions and all x_t, a step costs on average

    E KL(N(mu_q, v_q) || N(mu_p, v)) = D/2 [log(v / v_q) - 1 + (v_q + E|mu_q - mu_p|^2 / D) / v]

where q(x_s | x_t, x_0) = N(mu_q, v_q). Its derivative in v vanishes at the only minimum,

    v* = v_q + E|mu_q - mu_p|^2 / D = E|x_s - mu_p(x_t)|^2 / D

With the exact mean this is their theorem 1, written there by the score. It lies at or above beta-tilde = v_q,
which it is for data at one point; for standard normal data it is beta (Ho et al. 2020, section 3.2). Of all
tables it gives the lowest bound on the data it was computed on; on other data it is an estimate.
"""

from collections.abc import Callable
from copy import copy
from itertools import pairwise
from typing import NoReturn

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.ambient import unaided
from undiffuse.bounds.streamed import Streamed
from undiffuse.devices import fetched
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import Table
from undiffuse.random import Generator
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import dims, total
from undiffuse.track import SILENT, Track


@unaided
@torch.no_grad()
def optimal_variance(
    model: Denoiser,
    data: Tensor,
    *,
    grid: Tensor,
    seed: int = 0,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    block: int | None = None,
    track: Track = SILENT,
) -> Table:
    """v* of every step of the chain, over the data (N, *shape), as a variance for `widened`.

    `evaluate` with the same data, seed, grid and block draws the same noise, so that there no other variance
    that depends on the step alone gives a lower bound. Raises ValueError for chains of symbols, variances
    that are learned, no data, or a grid of less than two times.
    """
    check_fixed(model)
    grid = check_grid(grid)
    if len(grid) < 2 or not len(data):
        _refuse(
            f"{len(grid)} latent times and {len(data)} examples", "give at least two times and one example"
        )
    sums = torch.zeros(len(grid) - 1, dtype=torch.float64)
    parts = Streamed(model, data, seed, "nelbo", encode, block, grid)
    steps = list(enumerate(pairwise(grid)))[::-1]  # the order of draws in `nelbo`
    for (given, x_0, count, streams), inner in track.over(parts):
        for i, (s, t) in inner.each(steps):
            sums[i] += fetched(spread(given, x_0, s, t, streams)[:count].sum())
    best = sums / len(data)
    return Table.on(grid, torch.cat([best[:1], best]))  # the first is of the step to 0, which has no use


def spread(model: ReverseProcess, x_0: Tensor, s: Tensor, t: Tensor, generator: Generator) -> Tensor:
    """E|x_s - mu_p(x_t)|^2 / D over q(x_s | x_t, x_0), at one draw of x_t; (B,). s and t are 0-d."""
    kernel = model.kernel
    assert isinstance(kernel, Gaussian)
    x_t = terms.noisy(model, x_0, t, generator)
    away = total((kernel.bridge(x_0, x_t, s, t).mean - model.step(x_t, t, s).mean).square())
    return kernel.coefficients(s, t).var + away / dims(tuple(x_0.shape[1:]))


def widened(model: Denoiser, table: Table) -> Denoiser:
    """The same model with this variance. Raises ValueError as `optimal_variance` does."""
    check_fixed(model)
    wide = copy(model)
    wide.variance = table
    return wide


def check_fixed(model: Denoiser) -> None:
    """Raise ValueError unless the model's steps are Gaussian, of a variance that is not learned."""
    if not isinstance(model.kernel, Gaussian):
        _refuse(
            f"a {type(model.kernel).__name__.lower()} chain", "only Gaussian steps have a variance to choose"
        )
    if model.variance.learned:
        _refuse(f"variance={type(model.variance).__name__.lower()}", "this model has learned its own already")


def _refuse(found: str, why: str) -> NoReturn:
    raise ValueError(f"no optimal variance for {found}: {why}")
