"""AdamW, fused, without the compiler that PyTorch's own brings along.

The first `torch.optim.Optimizer` of a process imports `torch._dynamo`, which takes one or two seconds and is
for compiled training alone; the function `torch.optim.adamw.adamw`, which makes the same steps, does not.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw as make_step

KEPT = ("exp_avg", "exp_avg_sq", "step")  # of each weight, by their names in files


class Weights:
    """Weights with the settings of their steps, and what is kept for each of them."""

    def __init__(self, weights: Iterable[Tensor], **settings: Any) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(weights), **settings}]
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None


class AdamW(Weights):
    """Adam with decay apart from the gradient (Loshchilov & Hutter 2019); the settings are PyTorch's."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(weights, lr=lr, betas=betas, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        """One step of all weights that have a gradient."""
        for group in self.param_groups:
            moved = [weight for weight in group["params"] if weight.grad is not None]
            means, squares, counts = ([self._kept(weight)[name] for weight in moved] for name in KEPT)
            make_step(
                moved,
                [weight.grad for weight in moved],
                means,
                squares,
                [],
                counts,
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=1e-8,
                maximize=False,
            )

    def _kept(self, weight: Tensor) -> dict[str, Any]:
        """Its averages, from zero, which lie in memory as it does, and how often it was moved."""
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        return state
