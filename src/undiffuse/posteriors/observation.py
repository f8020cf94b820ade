"""What factors have in common: how `model * factor` is made, and what they make of a belief N(m, C).

    E[r] = r(m),    m' = m + C grad log r(m)

unless they know better: Stein's identity, with r taken at the mean (Chung et al. 2023 has a step size here).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from undiffuse.kernels import Discrete, Mixed
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.belief import Belief
from undiffuse.posteriors.matched import Matched
from undiffuse.posteriors.tilted import Tilted
from undiffuse.product import Factor, Product


class Observation(Factor):
    """A factor that says what it makes of a normal belief."""

    products = 2  # with a network's Jacobian, a step: what a given number of calls is best spent on

    def on(self, model: ReverseProcess) -> Product:
        """The product by the rule measured best (Matched; Tilted for symbols and columns), or the model's."""
        if isinstance(model, Product) and isinstance(model.factor, Observation):
            return model.of(model.model, model.factor * self)
        return Tilted(model, self) if isinstance(model.kernel, Discrete | Mixed) else Matched(model, self)

    def __mul__(self, other: "Observation") -> "Observation":
        """Both factors."""
        from undiffuse.posteriors.both import Both  # which needs this class

        return Both(self, other)

    def update(self, belief: Belief) -> tuple[Belief, Callable[[], Tensor]]:
        """The belief given r, and log E[r], (B,), when asked."""
        by = belief.spread(self.slope(belief.mean))
        return replace(belief, mean=belief.mean + by), lambda: self.log(belief.mean)


def check_finite(value: Tensor, what: str) -> None:
    """Raise ValueError if a value is missing."""
    lost = int((~value.isfinite()).sum())
    if lost:
        raise ValueError(f"{what}: {lost} of {value.numel()} numbers are not finite; mark them as unknown")


def check_std(std: float | Tensor) -> None:
    """Raise ValueError unless noise of this width can be."""
    widths = torch.as_tensor(std)
    if not bool(((widths > 0) & widths.isfinite()).all()):
        raise ValueError(f"std={std}: noise has a positive, finite width; for none use Known")


def check_fits(value: Tensor, shape: torch.Size) -> None:
    """Raise ValueError unless value, (B, *out) or smaller, broadcasts to what is seen of the states."""
    pairs = zip(reversed(value.shape), reversed(shape), strict=False)
    if value.ndim > len(shape) or any(own not in (1, size) for own, size in pairs):
        raise ValueError(
            f"value has shape {tuple(value.shape)}, what is seen of the states {tuple(shape)}: give one "
            "value for all states, or walk as many states as there are values (samplers.reverse)"
        )
