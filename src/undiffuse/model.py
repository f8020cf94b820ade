"""Models: reverse processes whose every step is a distribution.

    p(x_0) = integral of pi(x_1) prod_i p(x_{t_{i-1}} | x_{t_i}) p(x_0 | x_{t_1})

Bounds, objectives and samplers see nothing but `predict`, `step`, `decode` and the kernel.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from undiffuse.distributions import Distribution, Normal
from undiffuse.kernels import Gaussian, Kernel
from undiffuse.parameterizations import (
    Decoder,
    NormalDecoder,
    Parameterization,
    Posterior,
    V,
    Variance,
)
from undiffuse.tensors import like


class ReverseProcess(nn.Module, ABC):
    """A model. x_t is (B, *shape); t > s are float64, 0-d or (B,)."""

    kernel: Kernel

    @abstractmethod
    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], of x_t's shape."""

    @abstractmethod
    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """p(x_s | x_t)."""

    @abstractmethod
    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """p(x_0 | x_t), for the first latent time of a grid."""


class Denoiser(ReverseProcess):
    """A network that predicts the data from a noisy version of it, as a reverse process.

    `network(x_t, t)` takes t as (B,) in [0, 1] in x_t's dtype and returns a tensor of x_t's shape; twice
    as many channels (dimension 1) if the variance is learned. A step is the kernel's bridge at the
    prediction, with the variance's width:

        p(x_s | x_t) = N(a x_0-hat + b x_t, var)        (Ho et al. 2020, eq. 7)

    Raises ValueError for parts that do not go together.
    """

    kernel: Gaussian

    def __init__(
        self,
        network: nn.Module,
        kernel: Gaussian,
        parameterization: Parameterization | None = None,
        variance: Variance | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.kernel = kernel
        self.parameterization = parameterization or V()
        self.variance = variance or Posterior()
        self.decoder = decoder or NormalDecoder()
        self.parameterization.check(kernel)

    def output(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's output, and its second half if the variance is learned; x_t's shape and dtype."""
        out = self.network(x_t, t.to(x_t.device, x_t.dtype).expand(len(x_t))).to(x_t.dtype)
        if not self.variance.learned:
            return _checked(out, x_t, 1), None
        out, raw = _checked(out, x_t, 2).chunk(2, 1)
        return out, raw

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0-hat."""
        return self._x_0(self.output(x_t, t)[0], x_t, t)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Normal:
        """The bridge to the predicted x_0."""
        out, raw = self.output(x_t, t)
        return self._step(self._x_0(out, x_t, t), raw, x_t, t, s)

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """The decoder around x_0-hat."""
        return self.decoder(self.predict(x_t, t), t, self.kernel)

    def _x_0(self, out: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return self.parameterization.predict(out, x_t, t, self.kernel)

    def _step(self, x_0: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor, s: Tensor) -> Normal:
        bridge = self.kernel.coefficients(s, t)
        mean = like(bridge.a, x_t) * x_0 + like(bridge.b, x_t) * x_t
        return Normal(mean, self.variance(bridge, raw, x_t, s, t))


def _checked(out: Tensor, x_t: Tensor, halves: int) -> Tensor:
    wanted = torch.Size((len(x_t), halves * x_t.shape[1], *x_t.shape[2:]))
    if out.shape != wanted:
        raise ValueError(
            f"the network gave {tuple(out.shape)} for x_t {tuple(x_t.shape)}; this model needs "
            f"{tuple(wanted)}" + (" (mean and variance)" if halves == 2 else "")
        )
    return out
