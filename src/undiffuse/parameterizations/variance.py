"""How wide a reverse step p(x_s | x_t) is.

For a step from t to s of a Gaussian chain the exact variance lies between two bounds (2015, eq. 24):

    beta-tilde = beta sigma_s^2 / sigma_t^2    exact if the data are one point
    beta                                       exact if the data are standard normal

For symbols the bridge to the predicted x_0 is the step, so there only Posterior applies.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from undiffuse.devices import fetched
from undiffuse.distributions import Distribution, Normal
from undiffuse.kernels import Bridge, Gaussian, Kernel, Universal
from undiffuse.tensors import ZERO, like


class Variance(ABC):
    """How wide p(x_s | x_t) is, of the bridge's coefficients and perhaps the network."""

    learned = False  # whether the network has a second output, `raw`, for it
    last = False  # whether a step to t = 0 has a width too

    @abstractmethod
    def check(self, kernel: Kernel) -> None:
        """Raise ValueError unless steps of this kernel have such a width."""

    @abstractmethod
    def step(
        self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor
    ) -> Distribution:
        """p(x_s | x_t): the bridge to the prediction x_0, of this width; `raw` has x_t's shape if learned."""

    @abstractmethod
    def last_step(self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor) -> Distribution:
        """p(x_0 | x_t) about the prediction, as wide as a step to 0, where there is one (`last`)."""


class Single(Variance):
    """A variance for each value alone."""

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels whose steps have none."""
        if not isinstance(kernel, Gaussian):
            raise ValueError(
                f"{type(self).__name__} is a variance of Gaussian steps; for symbols use variance=posterior"
            )

    def step(
        self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor
    ) -> Distribution:
        """The bridge to the prediction, with this variance."""
        bridge = kernel.coefficients(s, t)
        mean = like(bridge.a, x_t) * x_0 + like(bridge.b, x_t) * x_t
        found: Distribution = kernel.around(mean, self(bridge, raw, x_t, s, t), s, t)
        return found

    def last_step(self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor) -> Distribution:
        """A normal about the prediction, with the variance of a step to 0."""
        return Normal(x_0, self(kernel.coefficients(ZERO, t), raw, x_t, ZERO, t))

    @abstractmethod
    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Variance broadcastable to x_t; `raw` has x_t's shape if learned, else is None."""


class Posterior(Single):
    """beta-tilde, the variance of q(x_s | x_t, x_0): the step is the bridge itself, of any kernel."""

    def check(self, kernel: Kernel) -> None:
        """Refuse bridges that no model's step can be, since they end."""
        if isinstance(kernel, Universal):
            raise ValueError(
                "variance=posterior: a step of kernel=universal is wider than the bridge; use forward, "
                "interpolated or free"
            )

    def step(
        self, kernel: Kernel, x_0: Tensor, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor
    ) -> Distribution:
        """The bridge."""
        return kernel.bridge(x_0, x_t, s, t)

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """The bridge's variance."""
        return like(bridge.var, x_t)


class Forward(Single):
    """beta, the variance of the forward step."""

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """The forward rate."""
        return like(bridge.beta, x_t)


class Interpolated(Single):
    """Learned between the two bounds, linear in the log (Nichol & Dhariwal 2021, eq. 15).

    raw = -1 is beta-tilde and raw = 1 is beta; the network may go beyond.
    """

    learned = True

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """exp(u log beta + (1 - u) log beta-tilde), u = (raw + 1) / 2."""
        assert raw is not None
        low, high = like(bridge.var.log(), x_t), like(bridge.beta.log(), x_t)
        return torch.exp(low + (high - low) * (raw + 1) / 2)


class Free(Single):
    """Learned without bounds: beta exp(raw)."""

    learned = last = True

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Log-variance is log beta + raw."""
        assert raw is not None
        return torch.exp(like(bridge.beta.log(), x_t) + raw)


class Sigmoid(Single):
    """sigmoid(scale raw + logit beta): learned in (0, 1) around the forward one (2015, eq. 64).

    The reference implementation of the paper takes a `scale` of 1/sqrt(T).
    """

    learned = last = True

    def __init__(self, scale: float = 1.0) -> None:
        if not scale > 0:
            raise ValueError(f"scale={scale}: the factor of the network's output is positive")
        self.scale = scale

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """raw = 0 is beta."""
        assert raw is not None
        return torch.sigmoid(self.scale * raw + like(bridge.beta.logit(), x_t))


class Table(Single):
    """A fixed variance for every step of a T-step chain: `values[i]` for the step that leaves (i+1)/T.

    The first value belongs to the step to t = 0, which the decoder replaces; it is not used.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.values = torch.as_tensor(values, dtype=torch.float64)
        if self.values.ndim != 1 or not bool((self.values > 0).all()):
            raise ValueError("values: a list of T positive variances, one a step of the chain")
        self.grid = torch.arange(1, len(self.values) + 1, dtype=torch.float64) / len(self.values)

    @classmethod
    def on(cls, grid: Tensor, values: Tensor) -> "Table":
        """`values[i]` (T,) for the step that leaves grid[i], of any grid (T,). ValueError if they differ."""
        table = cls(values.tolist())
        if grid.shape != table.grid.shape:
            raise ValueError(f"values: {len(values)} variances for a grid of {len(grid)} times")
        table.grid = fetched(grid)
        return table

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """The table's value at t; ValueError unless the step is one of its own, from a time to the next."""
        return like(self.values[step_index(self.grid, s, t)], x_t)


def step_index(grid: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The index of t in the grid (T,). ValueError unless s is the time before it, or 0 before the first."""
    steps, times = len(grid), torch.cat([torch.zeros(1, dtype=torch.float64), grid])
    index = (grid - t.unsqueeze(-1)).abs().argmin(-1)
    off = torch.maximum((t - times[index + 1]).abs(), (s - times[index]).abs())
    if bool((off > 1e-6 / steps).any()):
        raise ValueError(
            f"a table of {steps} variances knows only the single steps of its own chain: sample and "
            f"evaluate on all {steps} of them, or use variance=posterior"
        )
    return index
