"""What observations of x_0 have in common: values that must be finite and fit the states."""

from torch import Tensor

from undiffuse.distributions import Distribution


def check_finite(value: Tensor, what: str) -> None:
    """Raise ValueError if a value is missing."""
    lost = int((~value.isfinite()).sum())
    if lost:
        raise ValueError(f"{what}: {lost} of {value.numel()} numbers are not finite; mark them as unknown")


def check_fits(value: Tensor, p: Distribution) -> None:
    """Raise ValueError unless value, (B, *shape) or smaller, broadcasts to the states that p is of."""
    pairs = zip(reversed(value.shape), reversed(p.shape), strict=False)
    if value.ndim > len(p.shape) or any(own not in (1, size) for own, size in pairs):
        raise ValueError(
            f"value has shape {tuple(value.shape)}, the states {tuple(p.shape)}: give one value for all "
            "states, or walk as many states as there are values (samplers.reverse)"
        )
