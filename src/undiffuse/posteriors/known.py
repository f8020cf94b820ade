"""Elements of the data that are known, such as the pixels around a hole (Sohl-Dickstein et al. 2015, 2.5.3).

    r(x) = delta(x - value) where known, 1 elsewhere

for x_0 and, unchanged, for every x_t (eq. 23): known elements are held clean whatever the time. The model
sees them so, and what it says of the others at that x_t is left as it is.
"""

import torch
from torch import Tensor

from undiffuse.distributions import Distribution
from undiffuse.model import Factor
from undiffuse.posteriors.observation import check_finite, check_fits


class Known(Factor):
    """x_0 is `value` where `mask`, bool and of the same shape, is True; for any kernel.

    `value` is in x_0's coordinates, (B, *shape) or what broadcasts to it; levels and symbols are the nearest
    to it. Raises ValueError for another mask, or a known value that is not finite.
    """

    def __init__(self, value: Tensor, mask: Tensor) -> None:
        if mask.dtype != torch.bool or mask.shape != value.shape:
            raise ValueError(
                f"mask is {mask.dtype} of shape {tuple(mask.shape)}: give torch.bool of value's shape "
                f"{tuple(value.shape)}, True where it is known"
            )
        check_finite(value[mask], "value where mask is True")
        self.value, self.mask = value, mask

    def __call__(self, p: Distribution, s: Tensor) -> Distribution:
        """What p is, with the known elements pinned."""
        check_fits(self.value, p)
        return p.pin(self.mask, self.value)
