"""The variational objective: an unbiased estimate of the bound itself, in bits per dimension.

A chain of T latent times has T terms that depend on the network: the decoder at t_1 and T - 1 steps. One
of them is drawn for every example and counted T times.
"""

import math

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.devices import sent, widest
from undiffuse.model import ReverseProcess
from undiffuse.objectives.base import Objective
from undiffuse.objectives.times import Noise, Stratified, Times
from undiffuse.random import Batch


class Variational(Objective):
    """The bound on `grid`, at `draws` terms for every example.

    Raises ValueError without a grid or for draws < 1.
    """

    unit = "bits/dim"
    even = False  # a batch without a term of the decoder needs one call less

    def __init__(self, times: Times | None = None, draws: int = 1, grid: Tensor | None = None) -> None:
        if grid is None:
            raise ValueError("the variational objective needs a grid, such as grid.kind=uniform")
        if draws < 1:
            raise ValueError(f"draws={draws}: at least one term an example")
        self.times, self.draws, self.grid = times or Stratified(), draws, grid

    def __call__(self, model: ReverseProcess, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) estimates of the bound, in bits per dimension."""
        x = x_0.repeat_interleave(self.draws, 0)
        generator = generator.repeated(self.draws) if isinstance(generator, Batch) else generator
        u = self.times.draw(len(x), generator)
        rows = torch.arange(len(x_0)).repeat_interleave(self.draws)
        loss = self._terms(model.rows(rows), x, (u * len(self.grid)).long(), generator) * len(self.grid)
        loss = self.times.balance(u, loss).view(len(x_0), self.draws).mean(1) + terms.prior(model, x_0)
        return loss / (x_0[0].numel() * math.log(2))

    def _terms(self, model: ReverseProcess, x: Tensor, index: Tensor, generator: Noise) -> Tensor:
        """The term number `index` of every row: 0 is the decoder."""
        loss = torch.zeros(len(x), dtype=widest(x.device), device=x.device)
        first, later = (index == 0).nonzero()[:, 0], index.nonzero()[:, 0]
        if len(first):
            rows = sent(first, x.device)
            t = self.grid[index[first]]
            x_t = terms.noisy(model, x[rows], t, _of(generator, "first", first))
            loss = loss.index_put((rows,), terms.decode(model.rows(first), x[rows], x_t, t))
        if len(later):
            rows = sent(later, x.device)
            s, t = self.grid[index[later] - 1], self.grid[index[later]]
            noise = _of(generator, "later", later)
            loss = loss.index_put((rows,), terms.step(model.rows(later), x[rows], s, t, noise))
        return loss


def _of(generator: Noise, name: str, rows: Tensor) -> Noise:
    """What these rows of the batch draw with."""
    return generator.part(name, rows) if isinstance(generator, Batch) else generator
