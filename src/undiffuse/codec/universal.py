"""Progressive coding by universal quantisation (Yang et al. 2024): what to compress pictures with.

With the kernel `kernels.Universal` a draw of q(x_s | x_t, x_0) = U(m - w/2, m + w/2) is the point of the grid
w (k + u) that is nearest to m, u uniform and shared, and the decoder expects it there with probability

    P(k) = Phi((w (k + 1/2 + u) - mean) / std) - Phi((w (k - 1/2 + u) - mean) / std)

so that a step costs what the bound says, whatever the number of examples, and one range coder does it.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from undiffuse.codec.alphabet import Lattice, numbers_of
from undiffuse.codec.chain import TAILS, Chain
from undiffuse.codec.coder import Law, QueueReader, QueueWriter
from undiffuse.codec.progressive import Progressive, shared
from undiffuse.codec.rounding import Rounding
from undiffuse.distributions import Normal, Smoothed
from undiffuse.kernels import Universal as Kernel
from undiffuse.model import Denoiser

FINE = 2**12  # parts of a cell: a law may be a two-hundredth of one wide (`chain.LEAST`)


class Universal(Progressive):
    """Needs few steps; any model of a Gaussian chain will do, whatever kernel it was trained with."""

    number, candidates = 2, 16

    def model(self, model: Denoiser) -> Denoiser:
        """The model with a universal kernel of the same schedule."""
        return super().model(model).under(Kernel(model.kernel.schedule))

    def send(
        self, chain: Chain, i: int, x: Tensor, x_0: Tensor, out: QueueWriter, rounding: Rounding, call: int
    ) -> Tensor:
        """The grid's points that are nearest to the bridge's mean."""
        grid, dither, law = self._grid(chain, i, x, rounding, call)
        aim = chain.model.kernel.bridge(x_0, x, *chain.grid[i - 2 : i]).mean
        numbers = numbers_of(((aim - dither) / grid.step).round().clamp(*grid.ends))
        out.push(law, numbers)
        return self._points(chain, grid, numbers) + dither

    def receive(
        self, chain: Chain, i: int, x: Tensor, read: QueueReader, rounding: Rounding, call: int
    ) -> Tensor:
        """The same points."""
        grid, dither, law = self._grid(chain, i, x, rounding, call)
        return self._points(chain, grid, read.pop(law)) + dither

    def _grid(
        self, chain: Chain, i: int, x: Tensor, rounding: Rounding, call: int
    ) -> tuple[Lattice, Tensor, Law]:
        """The grid, its shift w u, and the law over its points."""
        kernel: Any = chain.model.kernel
        (s, t), p = chain.grid[i - 2 : i], chain.back(i, x)
        if not isinstance(p, Smoothed):
            raise ValueError(
                "universal steps need variances above the bridge's, learned or planned: use at most 128 steps"
            )
        width = float(kernel.spacing(s, t))
        alpha, sigma = kernel.alpha_sigma(s)
        cells = int(np.ceil(float(alpha + TAILS * sigma) / width)) + 1
        grid = Lattice(-cells, cells, 0.0, width, FINE)
        dither = width * torch.from_numpy(shared("dither", i, call).random(tuple(x.shape))).to(x)
        return grid, dither, grid.law(Normal(p.loc - dither, p.var), rounding, call)

    def _points(self, chain: Chain, grid: Lattice, numbers: np.ndarray) -> Tensor:
        return chain.tensor(grid.values(numbers))
