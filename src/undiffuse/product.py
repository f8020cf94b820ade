"""A model times a factor r(x_0) >= 0, and how r enters the steps (Sohl-Dickstein et al. 2015, section 2.5).

    p~(x_0) prop. to p(x_0) r(x_0)

Its chain multiplies every x_t by some r_t(x_t) with r_0 = r,

    p~(x_1) prop. to pi(x_1) r_1(x_1),    p~(x_s | x_t) prop. to p(x_s | x_t) r_s(x_s)

and leads to p~(x_0) exactly if r_t(x_t) = E[r(x_0) | x_t], for then every step's normaliser is r_t(x_t). That
expectation is seldom known, so a product is a class of its own for every choice of r_t and of the step: a
`Product`, which is a model. `model * factor` is the one that was measured best for the factor and the kernel.

With any r_t > 0, and any step that is a distribution, weights repair what the choice left wrong
(`samplers.Particles`): a path's is

    pi(x_1) / p~(x_1)  prod p(x_s | x_t) / p~(x_s | x_t)  r(x_0)

and r_t only says how it is spread over the way: the part that has come by x_t is multiplied by r_t(x_t).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from undiffuse.devices import sent
from undiffuse.distributions import Distribution
from undiffuse.kernels import Kernel, Universal
from undiffuse.model import Multiplier, ReverseProcess
from undiffuse.tensors import ONE, like, total


class Factor(Multiplier):
    """r(x_0), in x_0's coordinates, alike for a batch or one a row."""

    pinned: Tensor | None = None  # bool: the elements of x_0 that r leaves no freedom
    smooth: bool = True  # whether log r has a gradient in x
    masks: bool = False  # whether log r knows masks too, which x_t of an absorbing chain has

    @abstractmethod
    def check(self, kernel: Kernel) -> None:
        """Raise ValueError for a kernel whose data this is no factor of."""

    @abstractmethod
    def log(self, x: Tensor) -> Tensor:
        """log r(x), (B,), float64; of pinned elements nothing, they are as they must be."""

    def fill(self, x: Tensor) -> Tensor:
        """x, with pinned elements as they must be."""
        return x

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """p(x) r(x)^power, renormalised: exact where conjugate, else with log r linear about p's mean.

        The power is 0-d, or (B,): one a row.
        """
        mean = p.mean.detach()
        return p.tilt(like(power, mean) * self.slope(mean).to(mean))

    def normaliser(self, p: Distribution) -> Tensor:
        """log E_p[r(x)], (B,), float64: exact where conjugate, else log r at p's mean."""
        return self.log(p.mean)

    @torch.enable_grad()
    def slope(self, x: Tensor) -> Tensor:
        """The gradient of log r at x, of x's shape. Raises ValueError for an r that has none."""
        x = x.detach().requires_grad_()
        log_r = self.log(x)
        if not log_r.requires_grad:
            raise ValueError(f"{type(self).__name__}: log r(x) has no gradient in x; make it differentiable")
        found: Tensor = torch.autograd.grad(log_r.sum(), x)[0]
        return found


class Density(Protocol):
    """Rows of densities, normalised or not."""

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density of every element."""

    def rows(self, index: Tensor) -> "Density":
        """The same for these rows."""


@dataclass(frozen=True)
class Look:
    """What is seen at x_t: `base`, the step that is meant, the `step` that is made, and log r_t(x_t) (B,)."""

    base: Density
    step: Distribution
    log_r: Callable[[], Tensor]


class Weighable(ReverseProcess, ABC):
    """A model that makes steps p~(x_s | x_t) where others are meant, such as p(x_s | x_t) up to r.

    Paths have weights, which make up for the difference (`samplers.Particles`). `model` starts from the prior
    that is meant.
    """

    model: ReverseProcess

    @abstractmethod
    def check_weights(self) -> None:
        """Raise ValueError if paths have no weights."""

    @abstractmethod
    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        """All there is to know at x_t for a step to s, or to x_0 if s is None."""

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """p~(x_s | x_t)."""
        return self.look(x_t, t, s).step

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """p~(x_0 | x_t)."""
        return self.look(x_t, t, None).step

    def log_weight(self, look: Look, x_0: Tensor) -> Tensor:
        """log of what is meant over p~(x_0 | x_t), (B,): the last part of a path's weight."""
        return total(look.base.log_prob(x_0)) - total(look.step.log_prob(x_0))


class Product(Weighable, ABC):
    """A model times a factor, by one rule. Raises ValueError if the two do not go together."""

    weighable = True  # whether paths can be weighed

    def __init__(self, model: ReverseProcess, factor: Factor) -> None:
        super().__init__()
        check_steps(model.kernel)
        factor.check(model.kernel)
        self.model, self.factor, self.kernel = model, factor, model.kernel

    def check_weights(self) -> None:
        """Refuse rules that leave the model's paths."""
        if not self.weighable:
            raise ValueError(
                f"{type(self).__name__} with {type(self.factor).__name__} holds elements where no path of "
                "the model goes, so that paths have no weight: use Matched, or Tilted for symbols"
            )

    def of(self, model: ReverseProcess, factor: Factor) -> "Product":
        """The product of these by the same rule."""
        return type(self)(model, factor)

    @property
    def examples(self) -> int | None:
        """Those of its model."""
        return self.model.examples

    def rows(self, index: Tensor) -> "Product":
        """The model for these rows of the batch it is conditioned on, times the same factor."""
        return self.of(self.model.rows(index), self.factor)

    def log_weight(self, look: Look, x_0: Tensor) -> Tensor:
        """log p(x_0 | x_t) r(x_0) / p~(x_0 | x_t), (B,): the last part of a path's weight."""
        gained, spent = look.base.log_prob(x_0), look.step.log_prob(x_0)
        if self.factor.pinned is not None:  # certain under p~: where it lies costs nothing
            spent = spent.masked_fill(sent(self.factor.pinned, spent.device), 0)
        return (gained - spent).flatten(1).sum(1, dtype=torch.float64) + self.factor.log(x_0)


def check_steps(kernel: Kernel) -> None:
    """Raise ValueError for a kernel whose steps are of no family that can be multiplied."""
    if isinstance(kernel, Universal):
        raise ValueError(
            "steps of kernel=universal can be neither multiplied nor mixed: take the same network on "
            "kernel=gaussian, model.under(kernels.Gaussian(model.kernel.schedule))"
        )
