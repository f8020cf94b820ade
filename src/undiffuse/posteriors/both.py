"""Several factors at once: r(x) = prod_k r_k(x).

Measurements are stacked into one, so that what they share is counted once; the others follow in turn.
"""

from collections.abc import Callable
from functools import reduce
from itertools import chain, combinations

import torch
from torch import Tensor

from undiffuse.devices import onto
from undiffuse.distributions import Distribution
from undiffuse.kernels import Kernel
from undiffuse.posteriors.belief import Belief
from undiffuse.posteriors.known import Known
from undiffuse.posteriors.measured import Measured
from undiffuse.posteriors.observation import Observation
from undiffuse.posteriors.operators import Operator
from undiffuse.tensors import ONE, ZERO


class Both(Observation):
    """The product of factors. Raises ValueError for fewer than one, or an element known as two values."""

    def __init__(self, *factors: Observation) -> None:
        if not factors:
            raise ValueError("a product of factors has at least one")
        each = [factor.factors if isinstance(factor, Both) else (factor,) for factor in factors]
        flat = chain.from_iterable(each)
        self.factors: list[Observation] = sorted(flat, key=lambda factor: factor.pinned is not None)
        _check_agree([factor for factor in self.factors if isinstance(factor, Known)])
        masks = [factor.pinned for factor in factors if factor.pinned is not None]
        self.pinned = reduce(torch.logical_or, masks) if masks else None
        self.products = max(factor.products for factor in self.factors)
        self.smooth = all(factor.smooth for factor in self.factors)
        self.masks = all(factor.masks for factor in self.factors)

    def check(self, kernel: Kernel) -> None:
        """What any of them refuses."""
        for factor in self.factors:
            factor.check(kernel)

    def log(self, x: Tensor) -> Tensor:
        """Their sum."""
        return sum((factor.log(x) for factor in self.factors), ZERO)

    def slope(self, x: Tensor) -> Tensor:
        """Their sum."""
        return sum((factor.slope(x) for factor in self.factors), torch.zeros_like(x))

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """One after the other; what is certain last."""
        for factor in self.factors:
            p = factor.times(p, power)
        return p

    def normaliser(self, p: Distribution) -> Tensor:
        """One after the other, each of what the ones before left."""
        found = ZERO
        for factor in self.factors:
            found, p = found + factor.normaliser(p), factor.times(p)
        return found

    def fill(self, x: Tensor) -> Tensor:
        """x, with what any of them knows."""
        for factor in self.factors:
            x = factor.fill(x)
        return x

    def update(self, belief: Belief) -> tuple[Belief, Callable[[], Tensor]]:
        """The belief after all measurements together, then after every other factor."""
        measured = [factor for factor in self.factors if isinstance(factor, Measured)]
        others = [factor for factor in self.factors if not isinstance(factor, Measured)]
        steps = []
        for factor in ([stacked(measured, belief.mean)] if measured else []) + others:
            belief, log_r = factor.update(belief)
            steps.append(log_r)
        return belief, lambda: sum((log_r() for log_r in steps), ZERO)


class Stack(Operator):
    """Several operators' results, end to end."""

    def __init__(self, operators: list[Operator]) -> None:
        self.operators = operators

    def __call__(self, x: Tensor) -> Tensor:
        """(B, sum of their sizes)."""
        return torch.cat([operator(x).flatten(1) for operator in self.operators], 1)

    def dense(self, like: Tensor) -> Tensor:
        """Their matrices, one under the other."""
        parts = [operator.dense(like) for operator in self.operators]
        return torch.cat([part.expand(len(like), -1, -1) for part in parts], 1)


def _check_agree(known: list[Known]) -> None:
    """Raise ValueError for what cannot be: log r is 0 of no x at all."""
    for one, other in combinations(known, 2):
        differ = int((one.mask & other.mask & (one.value != other.value)).sum())
        if differ:
            raise ValueError(f"Known times Known: {differ} elements are known as two different values")


def stacked(parts: list[Measured], like: Tensor) -> Measured:
    """Several measurements of examples like these as one."""
    if len(parts) == 1:
        return parts[0]
    seen = [part.operator(like) for part in parts]
    values = [part.value.to(y).expand(y.shape).flatten(1) for part, y in zip(parts, seen, strict=True)]
    widths = [
        onto(torch.as_tensor(part.std, dtype=torch.float64), y).expand(y.shape).flatten(1)
        for part, y in zip(parts, seen, strict=True)
    ]
    return Measured(Stack([part.operator for part in parts]), torch.cat(values, 1), torch.cat(widths, 1))
