"""What a model knows of x_0 once it has seen x_t, as a normal: its mean, and its covariance C as an operator.

    mean = E[x_0 | x_t],    C = Cov(x_0 | x_t) = sigma_t^2 / alpha_t  d mean / d x_t

The second is Tweedie's formula of the second order, exact for a perfect denoiser (Boys et al. 2023; Rozet et
al. 2024). `Tweedie` asks the network for it: C v is a product with its Jacobian, and for examples of few
values all of C (see `moments`). `Flat` spares the Jacobian: C = sigma_t^2 v / (alpha_t^2 v + sigma_t^2),
as if the data were white of variance v (Song et al. 2023).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from undiffuse.devices import wide
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.moments import WIDE, clear, moments
from undiffuse.tensors import dims, like

DENSE = 32  # values of an example up to which C is a matrix
Beside = TypeVar("Beside")  # what a look at x_t gives beside the prediction: a step, or nothing
FAINT = 1e-5  # alpha_t below which x_t says nothing of x_0, and a product with the Jacobian nothing of C


@dataclass(frozen=True)
class Belief:
    """N(mean, C): `mean` (B, *shape), C as v -> C v or a `matrix` (B, n, n); `var` were the data white.

    No eigenvalue of C is above `most`.
    """

    mean: Tensor
    along: Callable[[Tensor], Tensor]
    var: Tensor
    most: Tensor
    iterations: int
    matrix: Tensor | None = None

    def spread(self, v: Tensor) -> Tensor:
        """C v, of v's shape and dtype."""
        if self.matrix is None:
            return self.along(v)
        return (self.matrix @ v.flatten(1).unsqueeze(-1).to(self.matrix)).view(v.shape).to(v.dtype)


@runtime_checkable
class Updating(Protocol):
    """A factor that says what it makes of a belief."""

    products: int  # with the Jacobian of a network, a step, that were measured best for it

    def update(self, belief: Belief) -> tuple[Belief, Callable[[], Tensor]]:
        """The belief given r, and log E[r], (B,), when asked."""


class Spread(ABC):
    """How wide the belief is."""

    @abstractmethod
    def __call__(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, look: Callable[[Tensor], tuple[Tensor, Beside]]
    ) -> tuple[Belief, Beside]:
        """The belief at x_t, and what `look` gives there beside E[x_0 | x_t]; it is asked once."""


class Flat(Spread):
    """As if the data were white of this variance; costs next to nothing."""

    def __init__(self, var: float = 1.0) -> None:
        if not 0 < var < float("inf"):
            raise ValueError(f"var={var}: the variance of the data is positive and finite")
        self.var = var

    def __call__(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, look: Callable[[Tensor], tuple[Tensor, Beside]]
    ) -> tuple[Belief, Beside]:
        """x_0-hat, and one number."""
        mean, beside = look(x_t)
        assert isinstance(model.kernel, Gaussian)
        mean, var = clear(model, model.kernel, x_t, t, mean), white(model, t, mean, self.var)
        few = dims(x_t.shape[1:]) <= DENSE
        matrix = torch.diag_embed(wide(var + 0 * mean).flatten(1)) if few else None
        return Belief(mean, lambda v: var * v, var, var, 30, matrix), beside


class Tweedie(Spread):
    """By the network: all of C for few values, else `iterations` products with its Jacobian a step."""

    def __init__(self, iterations: int = 2) -> None:
        if iterations < 1:
            raise ValueError(f"iterations={iterations}: at least one product with the Jacobian")
        self.iterations = iterations

    def __call__(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, look: Callable[[Tensor], tuple[Tensor, Beside]]
    ) -> tuple[Belief, Beside]:
        """x_0-hat, and its slopes."""
        assert isinstance(model.kernel, Gaussian)
        if dims(x_t.shape[1:]) > DENSE:
            return self._products(model, model.kernel, x_t, t, look)
        mean, beside = look(x_t)
        mean, matrix = moments(model, model.kernel, x_t, t, mean.detach())
        var = white(model, t, x_t, 1.0)
        return Belief(mean, lambda v: var * v, var, var, 1, matrix), beside

    def _products(
        self,
        model: ReverseProcess,
        kernel: Gaussian,
        x_t: Tensor,
        t: Tensor,
        look: Callable[[Tensor], tuple[Tensor, Beside]],
    ) -> tuple[Belief, Beside]:
        alpha_t, sigma_t = kernel.alpha_sigma(t)
        if bool((alpha_t < FAINT).any()):
            return Flat()(model, x_t, t, look)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            said, beside = look(x)
        ratio = like(sigma_t.square() / alpha_t, x)

        def spread(v: Tensor) -> Tensor:
            (found,) = torch.autograd.grad(said, x, v, retain_graph=True, allow_unused=True)
            return torch.zeros_like(x) if found is None else (ratio * found).detach()

        mean = clear(model, kernel, x_t, t, said.detach())
        var, most = (white(model, t, x_t, data) for data in (1.0, WIDE))
        return Belief(mean, spread, var, most, self.iterations), beside


def white(model: ReverseProcess, t: Tensor, x: Tensor, var: float) -> Tensor:
    """The variance of x_0 given x_t where the data are white of variance `var`."""
    assert isinstance(model.kernel, Gaussian)
    alpha_t, sigma_t = model.kernel.alpha_sigma(t)
    noise = sigma_t.square()
    return like(var * noise / (var * alpha_t.square() + noise), x)
