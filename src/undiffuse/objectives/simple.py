"""The simple objective: the mean error of the network's own output (Ho et al. 2020, eq. 14).

L = E_{t, eps} w(logsnr_t) |target - output(x_t, t)|^p,    x_t = alpha_t x_0 + sigma_t eps
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from undiffuse.model import Denoiser
from undiffuse.objectives.base import Objective
from undiffuse.objectives.times import Stratified, Times, place
from undiffuse.objectives.weights import Weight

LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss, "huber": functional.smooth_l1_loss}


class Simple(Objective):
    """Error of the output by `loss`, with an optional weight, at times of the grid (or continuous if None).

    Raises ValueError for a loss it does not know. A model with a learned variance is refused when it is
    called: this objective does not train it.
    """

    unit = "mean error of the network's output"

    def __init__(
        self,
        loss: Literal["l1", "l2", "huber"] = "l2",
        weight: Weight | None = None,
        times: Times | None = None,
        grid: Tensor | None = None,
    ) -> None:
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}")
        self.loss, self.weight = LOSSES[loss], weight
        self.times, self.grid = times or Stratified(), grid

    def __call__(self, model: Denoiser, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """(B,) mean errors over the dimensions."""
        if model.variance.learned:
            raise ValueError(
                "the simple objective does not train a learned variance; "
                "use objective.kind=variational or variance.kind=posterior"
            )
        t = place(self.grid, self.times.draw(len(x_0), generator))
        x_t = model.kernel.marginal(x_0, t).sample(generator)
        target = model.parameterization.target(x_0, x_t, t, model.kernel)
        error = self.loss(model.output(x_t, t)[0], target, reduction="none").flatten(1).mean(1)
        if self.weight is None:
            return error
        c_out = model.parameterization.coefficients(t, model.kernel)[1]
        scale = self.weight(model.kernel.schedule.logsnr(t)) * c_out.square()
        return error * scale.to(error.device, error.dtype)
