"""DDIM (Song et al. 2021, eqs. 12, 16): the predicted x_0 and the noise that goes with it, re-mixed.

    x_s = alpha_s x_0-hat + sqrt(sigma_s^2 - var) eps-hat + sqrt(var) z,    var = eta^2 beta-tilde

eta = 0 is deterministic, the first-order solution of the probability-flow equation in sigma / alpha.
"""

from typing import Any

from torch import Tensor

from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator, normal
from undiffuse.samplers.base import Sampler, check_gaussian
from undiffuse.tensors import like


class DDIM(Sampler):
    """For Gaussian kernels. Raises ValueError unless 0 <= eta <= 1."""

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"eta={eta:g}: from 0 (deterministic) to 1 (as much noise as the chain)")
        self.eta = eta

    def check(self, model: ReverseProcess) -> None:
        """Refuse kernels without a noise to predict."""
        check_gaussian(model, "DDIM")

    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Any,
        generator: Generator,
    ) -> tuple[Tensor, Any]:
        """The re-mixed x_s."""
        assert isinstance(model.kernel, Gaussian)
        alpha_t, sigma_t = model.kernel.alpha_sigma(t)
        alpha_s, sigma_s = model.kernel.alpha_sigma(s)
        var = self.eta**2 * model.kernel.coefficients(s, t).var
        direction = (sigma_s.square() - var).clamp(min=0)  # is 0 up to rounding if keep_t = 0, eta = 1
        kept = direction.sqrt() / sigma_t  # of the noise in x_t
        x_0 = model.predict(x_t, t)
        x_s = like(alpha_s - kept * alpha_t, x_t) * x_0 + like(kept, x_t) * x_t
        if self.eta > 0:
            noise = normal(tuple(x_t.shape), generator, x_t.dtype, x_t.device)
            x_s = x_s + like(var.sqrt(), x_t) * noise
        return x_s, state

    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """x_0-hat, noiselessly."""
        return model.predict(x_t, t), state
