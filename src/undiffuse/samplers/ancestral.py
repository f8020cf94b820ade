"""Ancestral sampling: draw from the model, step by step (Ho et al. 2020, algorithm 2). Any kernel."""

from typing import Any

from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.samplers.base import Sampler


class Ancestral(Sampler):
    """x_s ~ p(x_s | x_t), and at the end x_0 ~ p(x_0 | x_t): exact draws of the model on its grid."""

    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Any,
        generator: Generator,
    ) -> tuple[Tensor, Any]:
        """A draw of p(x_s | x_t)."""
        return model.step(x_t, t, s).sample(generator), state

    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """A draw of p(x_0 | x_t)."""
        return model.decode(x_t, t).sample(generator).to(x_t.dtype), state
