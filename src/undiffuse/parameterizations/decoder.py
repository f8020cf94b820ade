"""The last step p(x_0 | x_t), at the first latent time of the grid: a density, or probabilities of symbols.

For Gaussian kernels its mean is x_0-hat. Its width, unless given, is sigma_t / alpha_t: exact where the data
look flat at that scale, q(x_0 | x_t) = N(x_t / alpha_t, (sigma_t / alpha_t)^2).
"""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from undiffuse.distributions import Discretized, Distribution, Normal
from undiffuse.distributions.discretized import check_levels
from undiffuse.kernels import Discrete, Gaussian, Kernel
from undiffuse.tensors import like


class Decoder(ABC):
    """p(x_0 | x_t) around a prediction."""

    learned = False  # whether it is given the step to t = 0 that the model's variance means

    @abstractmethod
    def check(self, kernel: Kernel) -> None:
        """Raise ValueError for a kernel this is no last step of."""

    @abstractmethod
    def __call__(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Any, last: Distribution | None = None
    ) -> Distribution:
        """The distribution of the data at x_t, where x_0 is predicted; `last` is for learned ones."""


class SymbolDecoder(Decoder):
    """The predicted probabilities of the symbols."""

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels for real numbers."""
        if not isinstance(kernel, Discrete):
            raise ValueError("decoder=symbols is for symbols: use normal or discretized")

    def __call__(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Discrete, last: Distribution | None = None
    ) -> Distribution:
        """The law that the prediction is."""
        return kernel.law(x_0)


class FixedDecoder(Decoder):
    """Nothing learned: the forward kernel, run backwards (Sohl-Dickstein et al. 2015, eq. 44).

    p(x_0 | x_t) = q(x_t | x_0) pi(x_0) / pi(x_t) = T_pi(x_0 | x_t), so that the bound is the paper's K. A
    density, or probabilities of symbols.
    """

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels that do not look the same backwards."""
        if not kernel.reversible:
            raise ValueError("decoder=fixed: an absorbing chain cannot be run backwards; use symbols")

    def __call__(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Kernel, last: Distribution | None = None
    ) -> Distribution:
        """T_pi from x_t."""
        return kernel.marginal(x_t, t)


class LearnedDecoder(Decoder):
    """A density as wide as the variance says a step to t = 0 is; with variance free, sigmoid or residual."""

    learned = True

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels that are not Gaussian."""
        if not isinstance(kernel, Gaussian):
            raise ValueError("decoder=learned is a density: for symbols use decoder=symbols")

    def __call__(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian, last: Distribution | None = None
    ) -> Distribution:
        """That step."""
        assert last is not None
        return last


class Around(Decoder):
    """A normal around x_0-hat; `std` overrides the width."""

    def __init__(self, std: float | None = None) -> None:
        if std is not None and not std > 0:
            raise ValueError(f"std={std}: the decoder's width is positive (or null: sigma/alpha)")
        self.std = std

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels that are not Gaussian."""
        if not isinstance(kernel, Gaussian):
            raise ValueError(f"{type(self).__name__} is for Gaussian kernels: use decoder=symbols")

    def width(self, x_0: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """Standard deviation, broadcastable to x_0. Raises ValueError where the default is infinite."""
        alpha_t, sigma_t = kernel.alpha_sigma(t)
        here = (
            alpha_t.device.type == "cpu"
        )  # elsewhere they are of a schedule that is learned, which stays finite
        if self.std is None and here and bool((alpha_t == 0).any()):
            raise ValueError(
                "the chain's first latent keeps nothing of the data, so sigma/alpha is no width: "
                "use a grid of more steps, or set decoder.std"
            )
        width = sigma_t / alpha_t if self.std is None else 0 * alpha_t + self.std
        return like(width, x_0)


class NormalDecoder(Around):
    """A density, for continuous data."""

    def __call__(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian, last: Distribution | None = None
    ) -> Normal:
        """N(x_0-hat, width^2)."""
        return Normal(x_0, self.width(x_0, t, kernel).square())


class DiscretizedDecoder(Around):
    """Probabilities of K levels in [-1, 1] (Ho et al. 2020, eq. 13)."""

    def __init__(self, levels: int = 256, std: float | None = None) -> None:
        super().__init__(std)
        check_levels(levels)
        self.levels = levels

    def __call__(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Gaussian, last: Distribution | None = None
    ) -> Discretized:
        """N(x_0-hat, width^2) rounded to the levels."""
        return Discretized(x_0, self.width(x_0, t, kernel), self.levels)
