"""Any differentiable log r."""

from collections.abc import Callable

from torch import Tensor

from undiffuse.devices import wide
from undiffuse.kernels import Kernel
from undiffuse.posteriors.observation import Observation


class LogDensity(Observation):
    """r(x_0) = exp(fn(x_0)): `fn` gives log r in nats, (B,), of (B, *shape), and is differentiable."""

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        self.fn = fn

    def check(self, kernel: Kernel) -> None:
        """For any kernel: symbols too have means, of which fn is then asked."""

    def log(self, x: Tensor) -> Tensor:
        """What fn says. Raises ValueError for a result of another shape, or one that is no number."""
        found = self.fn(x)
        if found.shape != (len(x),):
            raise ValueError(
                f"fn gave {tuple(found.shape)} for a batch {tuple(x.shape)}: one log r an example"
            )
        if bool(found.isnan().any()):
            raise ValueError("fn gave NaN: log r is a number, or -inf where r is 0")
        return wide(found)
