"""The gate before every update and every save: nothing that is not finite passes.

A sum is finite only if all of its terms are, so one sum over everything that training changes is looked at
each step. If it is not finite, the tensors are looked at one by one, and the first bad one is named.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from undiffuse.training.parallel import local

REMEDY = "Try a smaller train.lr, a longer train.warmup, train.precision=fp32, or train.non_finite=skip"
SMALL = 2**12  # elements: smaller tensors are summed together


class NonFiniteError(FloatingPointError):
    """A step, counted from 0, that was not taken; `state`: because the run itself is bad, not the step."""

    def __init__(self, step: int, loss: float, norm: float, bad: str, state: bool, remedy: str = "") -> None:
        super().__init__(
            f"step {step}: loss {loss}, gradient norm {norm}; the first bad tensor is {bad}; the "
            f"weights were left as they were. {remedy or REMEDY}"
        )
        self.step, self.loss, self.norm, self.bad, self.state = step, loss, norm, bad, state

    def because(self, more: str) -> "NonFiniteError":
        """The error with one more remedy."""
        return NonFiniteError(self.step, self.loss, self.norm, self.bad, self.state, f"{REMEDY}; {more}")


def first_bad(groups: Mapping[str, Mapping[str, Tensor]]) -> str | None:
    """`group: name` of the first tensor with a value that is not finite, or None."""
    for group, tensors in groups.items():
        for name, t in tensors.items():
            if t.is_floating_point() and not _finite(local(t)):
                return f"{group}: {name}"
    return None


def _finite(t: Tensor) -> bool:
    """By its sum, which is ten times as fast; only if that is not finite, value by value."""
    return math.isfinite(float(t.sum())) or bool(t.isfinite().all())


class Gate:
    """A cheap look at many tensors at once, whose memory stays where it is."""

    def __init__(self, tensors: list[Tensor]) -> None:
        flat = [_memory(local(t)) for t in tensors if t.is_floating_point()]
        self._large = [t for t in flat if t.numel() > SMALL]
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for t in flat:
            if t.numel() <= SMALL:
                kinds.setdefault(t.dtype, []).append(t)
        self._small = list(kinds.values())

    def sum(self) -> Tensor:
        """Of all elements, 0-d, float32: finite only if all of them are; an overflow of finite ones is not.

        It is where they are, and nobody has waited for it.
        """
        sums = [torch.cat(small).sum() for small in self._small] + [t.sum() for t in self._large]
        return torch.stack([each.float() for each in sums]).sum()


def _memory(t: Tensor) -> Tensor:
    """All elements in the order in which they lie in memory."""
    return torch.as_strided(t.detach(), (t.numel(),), (1,), t.storage_offset())
