"""Models: reverse processes whose every step is a distribution.

    p(x_0) = integral of pi(x_1) prod_i p(x_{t_{i-1}} | x_{t_i}) p(x_0 | x_{t_1})

Bounds, objectives and samplers see nothing but `predict`, `step`, `decode` and the kernel.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from undiffuse.distributions import Distribution
from undiffuse.kernels import Kernel
from undiffuse.parameterizations import (
    Decoder,
    Logit,
    NormalDecoder,
    Parameterization,
    Posterior,
    SymbolDecoder,
    V,
    Variance,
)


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

    `network(x, t)` takes the kernel's features of x_t and t as (B,) in [0, 1], both in x_t's dtype, and
    returns a tensor of the features' shape; twice as many channels (dimension 1) if the variance is learned.
    A step is the kernel's bridge at the prediction, with the variance's width (Ho et al. 2020, eq. 7). For
    Gaussian kernels the network predicts v unless told otherwise; for symbols it gives logits of x_0.

    Raises ValueError for parts that do not go together.
    """

    def __init__(
        self,
        network: nn.Module,
        kernel: Kernel,
        parameterization: Parameterization | None = None,
        variance: Variance | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        super().__init__()
        symbols = kernel.symbols is not None
        self.network = network
        self.kernel = kernel
        self.parameterization = parameterization or (Logit() if symbols else V())
        self.variance = variance or Posterior()
        self.decoder = decoder or (SymbolDecoder() if symbols else NormalDecoder())
        for part in (self.parameterization, self.variance, self.decoder):
            part.check(kernel)

    def output(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's output, and its second half if the variance is learned; in x_t's dtype."""
        x = self.kernel.features(x_t)
        out = self.network(x, t.to(x.device, x.dtype).expand(len(x))).to(x.dtype)
        if not self.variance.learned:
            return _checked(out, x, 1), None
        out, raw = _checked(out, x, 2).chunk(2, 1)
        return out, raw

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0-hat."""
        return self._x_0(self.output(x_t, t)[0], x_t, t)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """The bridge to the predicted x_0."""
        out, raw = self.output(x_t, t)
        return self.variance.step(self.kernel, self._x_0(out, x_t, t), raw, x_t, s, t)

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """The decoder around x_0-hat, in float64: a certain prediction leaves little to the other symbols."""
        out, x_t = self.output(x_t, t)[0].double(), x_t.double()
        return self.decoder(self._x_0(out, x_t, t), x_t, t, self.kernel)

    def _x_0(self, out: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return self.parameterization.predict(out, x_t, t, self.kernel)


def _checked(out: Tensor, x_t: Tensor, halves: int) -> Tensor:
    wanted = torch.Size((len(x_t), halves * x_t.shape[1], *x_t.shape[2:]))
    if out.shape != wanted:
        raise ValueError(
            f"the network gave {tuple(out.shape)} for x_t {tuple(x_t.shape)}; this model needs "
            f"{tuple(wanted)}" + (" (mean and variance)" if halves == 2 else "")
        )
    return out
