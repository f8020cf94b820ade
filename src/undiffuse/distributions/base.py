"""What a distribution can do; one exponential family per file beside this one."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from undiffuse.devices import sent
from undiffuse.random import Generator


class Distribution(ABC):
    """Independent variables, one for every element of a tensor; all results are per element, in nats.

    Parameters broadcast against each other; results have the broadcast shape. Those that
    are `continuous` have densities.
    """

    continuous: ClassVar[bool] = False

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """Of a draw."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E[x]."""

    @abstractmethod
    def sample(self, generator: Generator) -> Tensor:
        """One draw for every element."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x); a density for continuous families."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """-E[log p(x)]; differential for continuous families."""

    @abstractmethod
    def kl(self, other: "Distribution") -> Tensor:
        """KL(self || other) = E_self[log self(x) - log other(x)]."""

    def kl_from(self, first: "Distribution") -> Tensor:
        """KL(first || self), for a `first` of another family. Raises TypeError where it is not known."""
        raise TypeError(f"KL from a {type(first).__name__} is not known to {self!r}")

    def elementwise(self) -> "Distribution":
        """The same law with results that are those of the elements, of some given the ones before them."""
        return self

    def alone(self) -> "Distribution":
        """The law of every element alone, where the elements of an example are not independent."""
        return self

    def joint(self) -> "Distribution":
        """The same law as a normal one of whole examples. Raises TypeError for what is no normal."""
        raise TypeError(f"known of normal distributions alone, not of {self!r}")

    @abstractmethod
    def tilt(self, g: Tensor) -> "Distribution":
        """The distribution proportional to p(x) exp(g x)."""

    @abstractmethod
    def blend(self, other: "Distribution", weight: float) -> "Distribution":
        """The distribution proportional to p(x)^weight other(x)^(1 - weight), of the same family.

        weight = 1 is p itself; beyond 1 leads away from the other. Raises ValueError where there is none.
        """

    @abstractmethod
    def pin(self, mask: Tensor, value: Tensor) -> "Distribution":
        """The same, but certainly `value` (for symbols and levels: the nearest) where the bool mask is True.

        Draws of the other elements stay the same, bit for bit.
        """

    @abstractmethod
    def rows(self, index: Tensor) -> "Distribution":
        """The same for these rows of the batch (B, *shape)."""

    @abstractmethod
    def patch(self, mask: Tensor, other: "Distribution") -> "Distribution":
        """Where the bool mask is True the other, of the same family; elsewhere the same."""


def picked(x: Tensor, index: Tensor, beside: Tensor) -> Tensor:
    """These rows of a parameter that broadcasts to another, unless it is one for all."""
    return x if x.ndim < beside.ndim or len(x) == 1 else x[sent(index, x.device)]


def blended(p: Tensor, q: Tensor, weight: float) -> Tensor:
    """weight p + (1 - weight) q for log-probabilities; what p cannot be, or a lighter q cannot, stays so."""
    mixed = weight * p + (1 - weight) * q.clamp(min=-1e3)
    never = p.isneginf() | (q.isneginf() if weight < 1 else torch.zeros_like(p, dtype=torch.bool))
    return mixed.masked_fill(never, -torch.inf)
