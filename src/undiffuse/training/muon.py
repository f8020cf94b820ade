"""Muon for matrices, AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024) turns the averaged gradient of a matrix into the nearest orthogonal one, so that all
its directions move at the same rate. Here the filters of a convolution are the rows of one, and its steps
have the size that AdamW's would have, 0.2 sqrt(max(rows, columns)) times as long as an orthogonal matrix (Liu
et al. 2025, section 2.2), so that one learning rate serves both. PyTorch's own Muon takes matrices alone, one
by one, and works in bfloat16 whatever the processor makes of it; on most it is fifty times slower.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.training.adamw import AdamW, Weights
from undiffuse.training.newton_schulz import orthogonal
from undiffuse.training.settings import Settings

LEAST = 16  # rows and columns of what Muon takes: narrower layers are ends of the network
MOMENTUM = 0.95


class Matrices(Weights):
    """Muon, with Nesterov's momentum, on weights of two or more axes."""

    def __init__(
        self, weights: Sequence[Tensor], lr: float, weight_decay: float, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(weights, lr=lr, weight_decay=weight_decay)
        self._dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """One step of all weights that have a gradient."""
        for group in self.param_groups:
            moved = [weight for weight in group["params"] if weight.grad is not None]
            moves = orthogonal([self._ahead(weight, weight.grad).flatten(1) for weight in moved], self._dtype)
            for weight, move in zip(moved, moves, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                length = 0.2 * max(move.shape) ** 0.5
                weight.add_(move.view(weight.shape), alpha=-group["lr"] * length)

    def _ahead(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """The average of the weight's gradients, counted in, where Nesterov's momentum sees it."""
        average = self._average(weight).lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(average, MOMENTUM)

    def _average(self, weight: Tensor) -> Tensor:
        """The average of its gradients, from zero."""
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        average: Tensor = state["momentum_buffer"]
        return average


class Muon:
    """Muon on the module's wide layers, AdamW on vectors, tables and narrow ends.

    Of a network with convolutions their filters alone: its matrices take time and labels in, and to make them
    orthogonal costs more than all filters. `dtype` is what that is done in: whichever is fast here.
    """

    def __init__(self, module: nn.Module, settings: Settings, dtype: torch.dtype = torch.float32) -> None:
        tables = {layer.weight for layer in module.modules() if isinstance(layer, nn.Embedding)}
        axes = 3 if any(p.ndim > 2 for p in module.parameters()) else 2
        weights = [p for p in module.parameters() if p not in tables and p.ndim >= axes and _wide(p)]
        chosen = set(weights)
        others = [p for p in module.parameters() if p not in chosen]
        lr, decay = settings.lr, settings.weight_decay
        self._parts: list[AdamW | Matrices] = [AdamW(others, lr, (0.9, settings.beta2), decay)]
        if weights:
            self._parts.append(Matrices(weights, lr, decay, dtype))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for part in self._parts for group in part.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is kept for each of the module's parameters."""
        return {
            p: part.state[p] for part in self._parts for group in part.param_groups for p in group["params"]
        }

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad()

    def step(self) -> None:
        """One step of both."""
        for part in self._parts:
            part.step()


def _wide(p: Tensor) -> bool:
    return p.ndim >= 2 and min(len(p), p[0].numel()) >= LEAST
