"""The loss scale of training in float16, whose smallest numbers are too large for many gradients.

Kept for GPUs before Ampere (V100, T4), which multiply fast in float16 and have no fast bfloat16.

The loss is multiplied by a scale s before the backward pass, and the gradient divided by it afterwards:
exact, since s is a power of two. A gradient that overflows (the loss is finite, its gradient's norm is not)
makes no update and halves s; 2,000 steps without one double it (Micikevicius et al. 2018, section 3.2). Once
s is 1 an overflow is none of the scale's, and a non-finite gradient like any other. The numbers are those of
`torch.amp.GradScaler`, which knows one optimizer's own parameters alone.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

FIRST, GROWTH = 2.0**16, 2000


class LossScale:
    """The scale, the steps since it last changed, and the number of overflows; always 1 if not `on`."""

    def __init__(self, on: bool) -> None:
        self.on, self.scale = on, FIRST if on else 1.0
        self.clean = self.overflows = 0

    def apply(self, loss: Tensor) -> Tensor:
        """The loss to go backwards from."""
        return loss * self.scale if self.on else loss

    @torch.no_grad()
    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the scale."""
        if self.on:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], 1 / self.scale)

    def overflowed(self, loss: float, norm: float) -> bool:
        """Whether a smaller scale may mend this step."""
        return self.scale > 1 and math.isfinite(loss) and not math.isfinite(norm)

    def update(self, overflow: bool) -> None:
        """Count a step, and change the scale if that is due."""
        if not self.on:
            return
        self.overflows += overflow
        self.clean = 0 if overflow else self.clean + 1
        if overflow:
            self.scale /= 2
        elif self.clean == GROWTH:
            self.scale, self.clean = self.scale * 2, 0

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"scale": self.scale, "clean": self.clean, "overflows": self.overflows}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.scale, self.clean, self.overflows = state["scale"], state["clean"], state["overflows"]
