"""The simple objective: the mean error of the network's own output (Ho et al. 2020, eq. 14).

L = E_{t, eps} rho(target - output(x_t, t)),    x_t = alpha_t x_0 + sigma_t eps

where rho is |r|, r^2 or Huber's. With a weight w the residual is that of x_0-hat times sqrt(w(logsnr_t)): the
squared one carries w, and every rho is of the same number, whatever the network's output means.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives.base import Objective
from undiffuse.objectives.times import Noise, Stratified, Times, times_at
from undiffuse.objectives.weights import Weight
from undiffuse.parameterizations import Numbers
from undiffuse.tensors import like

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

    def __call__(self, model: Denoiser, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) mean errors over the dimensions."""
        self.check(model)
        u = self.times.draw(len(x_0), generator)
        t = times_at(self.grid, u)
        x_t = model.kernel.marginal(x_0, t).sample(generator)
        return self.times.balance(u, self.error(model, model.output(x_t, t)[0], x_0, x_t, t))

    def check(self, model: Denoiser) -> None:
        """Raise ValueError for a model that this does not train."""
        if not (isinstance(model.kernel, Gaussian) and isinstance(model.parameterization, Numbers)):
            raise ValueError("the simple objective is for Gaussian kernels; use objective.kind=variational")
        _check_fixed(model)

    def error(self, model: Denoiser, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The mean error of this output at x_t, weighted, (B,)."""
        kernel, said = model.kernel, model.parameterization
        assert isinstance(kernel, Gaussian) and isinstance(said, Numbers)
        target = said.target(x_0, x_t, t, kernel)
        if self.weight is not None:
            scale = like(self.weight(kernel.schedule.logsnr(t)).sqrt(), x_0) * said.gain(x_t, t, kernel)
            output, target = scale * output, scale * target
        return self.loss(output, target, reduction="none").flatten(1).mean(1)


def _check_fixed(model: Denoiser) -> None:
    """Refuse what this objective would leave untrained, or could lower by cheating."""
    if model.variance.learned:
        raise ValueError(
            "the simple objective does not train a learned variance; "
            "use objective.kind=hybrid or variational, or variance.kind=posterior"
        )
    if any(p.requires_grad for p in model.kernel.parameters()):
        raise ValueError("the simple objective cannot learn a schedule; use objective.kind=variational")
