"""Muon for matrices, AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024) turns the averaged gradient of a matrix into the nearest orthogonal one, so that all
its directions move at the same rate. PyTorch's takes matrices alone: here the filters of a convolution are
the rows of one, and its steps have the size that AdamW's would have, so that one learning rate serves both.
"""

from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.training.settings import Settings

LEAST = 16  # rows and columns of what Muon takes: narrower layers are ends of the network


class Muon:
    """`torch.optim.Muon` on the module's wide layers, AdamW on vectors, tables and narrow ends.

    Raises ValueError for weights that do not lie in memory row by row (channels_last).
    """

    def __init__(self, module: nn.Module, settings: Settings) -> None:
        tables = {layer.weight for layer in module.modules() if isinstance(layer, nn.Embedding)}
        self._weights = [p for p in module.parameters() if p not in tables and _wide(p)]
        chosen = set(self._weights)
        self._others = [p for p in module.parameters() if p not in chosen]
        self._matrices = [_matrix(weight) for weight in self._weights]
        decay = settings.weight_decay
        self._parts = [
            torch.optim.AdamW(
                self._others,
                lr=settings.lr,
                betas=(0.9, settings.beta2),
                weight_decay=decay,
                fused=True,
            )
        ]
        if self._matrices:
            self._parts.append(
                torch.optim.Muon(  # type: ignore[arg-type]
                    self._matrices, lr=settings.lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
                )
            )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for part in self._parts for group in part.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is kept for each of the module's parameters."""
        kept = {p: self._parts[0].state[p] for p in self._others}
        return kept | {w: self._parts[1].state[m] for w, m in zip(self._weights, self._matrices, strict=True)}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in (*self._weights, *self._others):
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of both."""
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.reshape(matrix.shape)
        for part in self._parts:
            part.step()


def _wide(p: Tensor) -> bool:
    return p.ndim >= 2 and min(len(p), p[0].numel()) >= LEAST


def _matrix(weight: Tensor) -> nn.Parameter:
    """The same memory as one matrix, a filter a row."""
    if not weight.is_contiguous():
        raise ValueError("train.optimizer=muon needs train.channels_last=false")
    return nn.Parameter(weight.detach().view(len(weight), -1))
