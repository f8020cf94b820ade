"""Exact counts: an absorbing chain walked back by as many symbols a step as the chain reveals on average.

The ancestral step reveals every masked symbol with a probability of its own, so that many may fall into one
step by chance, where each is drawn as if it were alone. Here each step reveals a fixed number of them, which
of them at random:

    masked at s = round(D (1 - keep_s)),    x_i ~ p(x_s,i | x_t, not masked)

Given how many are masked at a time, which ones are is uniform in the forward process too, so that for an
exact prediction nothing is lost but what symbols of one step tell of each other: of D symbols, D steps draw
from the data's own law (`benchmarks/symbol_laws.py`), while ancestral ones never do.
"""

from typing import Any

import torch
from torch import Tensor

from undiffuse.distributions import Categorical
from undiffuse.kernels import Absorbing
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator, uniform
from undiffuse.samplers.ancestral import Ancestral
from undiffuse.tensors import dims


class Counted(Ancestral):
    """For absorbing kernels; the last step is the model's decoder, for all that is masked still."""

    def check(self, model: ReverseProcess) -> None:
        """Refuse other kernels."""
        if not isinstance(model.kernel, Absorbing):
            kind = type(model.kernel).__name__
            raise ValueError(f"Counted counts masks, of which a {kind} kernel has none; use ancestral")

    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Any,
        generator: Generator,
    ) -> tuple[Tensor, Any]:
        """x_t with so many of its masks replaced that the number left is that of time s."""
        kernel, law = model.kernel, model.step(x_t, t, s)
        assert isinstance(kernel, Absorbing) and isinstance(law, Categorical)
        masked = x_t == kernel.symbols
        left = round(dims(tuple(x_t.shape[1:])) * (1 - float(kernel.schedule.keep(s))))
        order = uniform(tuple(x_t.shape), generator, x_t.dtype, x_t.device).masked_fill(~masked, torch.inf)
        rank = order.flatten(1).argsort(1).argsort(1).view(x_t.shape)
        revealed = masked & (rank < masked.flatten(1).sum(1).view(-1, *[1] * (x_t.ndim - 1)) - left)
        shown = Categorical(law.logits[..., : kernel.symbols], law.values[: kernel.symbols])
        return torch.where(revealed, shown.sample(generator).to(x_t.dtype), x_t), state
