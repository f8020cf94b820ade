"""The hybrid objective: the simple one for the mean, the bound for the variance (Nichol & Dhariwal 2021).

    L = L_simple + lambda L_bound,    L_bound = T KL(q(x_s | x_t, x_0) || p(x_s | x_t)) in bits per dimension

(eq. 16) at one time of the grid an example, where the mean in the second term is held fixed, so that it
trains the variance alone. The last step has the decoder's own width and no part in it.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from undiffuse.devices import sent
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives.base import Objective
from undiffuse.objectives.simple import Simple
from undiffuse.objectives.times import Noise, Times
from undiffuse.objectives.weights import Weight
from undiffuse.parameterizations import Numbers
from undiffuse.tensors import total


class Hybrid(Objective):
    """Error of the output by `loss`, and `share` (lambda) times the bound's, on `grid`.

    Raises ValueError without a grid, for a share that is not positive, and, when called, unless the kernel is
    Gaussian and the model's variance learned.
    """

    unit = "mean error of the network's output, and a share of the bound"

    def __init__(
        self,
        loss: Literal["l1", "l2", "huber"] = "l2",
        weight: Weight | None = None,
        share: float = 1e-3,
        times: Times | None = None,
        grid: Tensor | None = None,
    ) -> None:
        if grid is None or len(grid) < 2:
            raise ValueError("the hybrid objective needs a grid of at least two steps")
        if not share > 0:
            raise ValueError(f"share={share}: the bound has a positive part; without it use kind=simple")
        self.simple, self.share, self.grid = Simple(loss, weight, times, grid), share, grid
        self.times = self.simple.times

    def __call__(self, model: Denoiser, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) errors."""
        if not (isinstance(model.parameterization, Numbers) and model.variance.learned):
            raise ValueError(
                "the hybrid objective trains a learned variance of a Gaussian chain: use "
                "variance.kind=interpolated, or objective.kind=simple for a fixed one"
            )
        u = self.times.draw(len(x_0), generator)
        index = (u * len(self.grid)).long()
        t = self.grid[index]
        x_t = model.kernel.marginal(x_0, t).sample(generator)
        output, raw = model.output(x_t, t)
        error = self.simple.error(model, output, x_0, x_t, t)
        return self.times.balance(u, error + self.share * self._bound(model, output, raw, x_0, x_t, index))

    def _bound(
        self, model: Denoiser, output: Tensor, raw: Tensor | None, x_0: Tensor, x_t: Tensor, index: Tensor
    ) -> Tensor:
        """T KL in bits per dimension, 0 where the step is the last one; (B,)."""
        kernel, t = model.kernel, self.grid[index]
        assert isinstance(kernel, Gaussian)
        s = torch.where(index > 0, self.grid[(index - 1).clamp(min=0)], t / 2)
        step = model.step_from(output.detach(), raw, x_t, t, s)
        kl = total(kernel.bridge(x_0, x_t, s, t).kl(step))
        scale = (index > 0) * len(self.grid) / (x_0[0].numel() * math.log(2))
        return (kl * sent(scale, kl.device)).to(output.dtype)
