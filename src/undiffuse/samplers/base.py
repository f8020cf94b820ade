"""A sampler is one step from x_t to x_s and one last step to x_0; the loop is elsewhere, and one."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator


class Sampler(ABC):
    """One step of a way back through the chain."""

    order: int = 1  # of convergence, towards the continuous process
    deterministic: bool = False  # whether x_0 depends on x_1 alone

    def check(self, model: ReverseProcess) -> None:  # noqa: B027 - most samplers take any model
        """Raise ValueError for a model this sampler cannot walk."""

    def init(self) -> Any:
        """State before the first step; whatever `step` wants back."""
        return None

    @abstractmethod
    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Any,
        generator: Generator,
    ) -> tuple[Tensor, Any]:
        """x_s and the next state; t and s are 0-d."""

    @abstractmethod
    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """x_0 from the first latent, and the last state."""


def check_gaussian(model: ReverseProcess, name: str) -> None:
    """Refuse, for a sampler of this name, kernels without a noise to predict."""
    if not isinstance(model.kernel, Gaussian):
        raise ValueError(f"{name} needs a Gaussian kernel, not {type(model.kernel).__name__}; use ancestral")


def gaussian_of(model: ReverseProcess) -> Gaussian:
    """The kernel of a model that was checked."""
    assert isinstance(model.kernel, Gaussian)
    return model.kernel
