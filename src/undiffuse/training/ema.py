"""An exponential moving average of the weights, with warm-up.

average += (1 - d) (weights - average),    d = min(decay, (1 + step) / (10 + step))
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from undiffuse.training.parallel import local


class EMA:
    """The averaged weights of a module, as plain tensors beside it."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = dict(module.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average, weights = (list(map(local, each.values())) for each in (self.average, self.weights))
        torch._foreach_lerp_(average, weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the module has the averaged weights; afterwards its own again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self.weights.items():
            own = weight.clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(own)
