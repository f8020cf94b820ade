"""Elements of the data that are known, such as the pixels around a hole (Sohl-Dickstein et al. 2015, 2.5.3).

    r(x) = delta(x - value) where known, 1 elsewhere

A product with it is certain there. As a measurement it has no noise, so that a normal belief is conditioned
on it; symbols have the probability that the belief gave them.
"""

import torch
from torch import Tensor

from undiffuse.devices import onto, sent, widest
from undiffuse.distributions import Correlated, Distribution, Rotated
from undiffuse.kernels import Kernel
from undiffuse.posteriors.measured import Measured
from undiffuse.posteriors.observation import check_finite, check_fits
from undiffuse.posteriors.operators import Operator
from undiffuse.tensors import ONE


class Kept(Operator):
    """The elements where the mask is True, and 0 elsewhere."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def __call__(self, x: Tensor) -> Tensor:
        """Zero where the mask is False."""
        return x * onto(self.mask, x)

    def dense(self, like: Tensor) -> Tensor:
        """The mask on the diagonal."""
        return torch.diag_embed(onto(self.mask, like).expand(like.shape).flatten(1))

    def adjoint(self, y: Tensor, shape: torch.Size) -> Tensor:
        """The same."""
        return y * onto(self.mask, y)


class Known(Measured):
    """x_0 is `value` where `mask`, bool and of the same shape, is True; for any kernel.

    `value` is in x_0's coordinates, (B, *shape) or what broadcasts to it; levels and symbols are the nearest
    to it. Raises ValueError for another mask, or a known value that is not finite.
    """

    masks = True

    def __init__(self, value: Tensor, mask: Tensor) -> None:
        if mask.dtype != torch.bool or mask.shape != value.shape:
            raise ValueError(
                f"mask is {mask.dtype} of shape {tuple(mask.shape)}: give torch.bool of value's shape "
                f"{tuple(value.shape)}, True where it is known"
            )
        check_finite(value[mask], "value where mask is True")
        super().__init__(Kept(mask), value.masked_fill(~mask, 0), (~mask).double())  # zeros, surely seen
        self.pinned = self.mask = mask

    def check(self, kernel: Kernel) -> None:
        """For any kernel."""

    def log(self, x: Tensor) -> Tensor:
        """Nothing: known elements are as they must be."""
        return torch.zeros(len(x), dtype=widest(x.device), device=x.device)

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """p, certain of what is known, unless the power is 0."""
        check_fits(self.value, p.shape)
        if not bool((power > 0).any()):
            return p
        if isinstance(p, Correlated | Rotated):  # what is known tells of the rest
            p = super().times(p)
        return p.pin(self.mask, self.value)

    def slope(self, x: Tensor) -> Tensor:
        """0: where r leaves x free it is 1."""
        return torch.zeros_like(x)

    def fill(self, x: Tensor) -> Tensor:
        """x, with the known values."""
        return torch.where(sent(self.mask, x.device), onto(self.value, x), x)

    def normaliser(self, p: Distribution) -> Tensor:
        """log p of what is known."""
        if isinstance(p, Correlated | Rotated):
            return super().normaliser(p)
        gained = p.log_prob(self.value.to(p.mean))
        known = sent(self.mask, gained.device).expand(gained.shape)
        return gained.masked_fill(~known, 0).flatten(1).sum(1, dtype=widest(gained.device))
