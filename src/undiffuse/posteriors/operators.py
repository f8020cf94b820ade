"""Linear operators A on examples, for measurements y = A x_0 + noise; the adjoint A' is found by autograd.

undiffuse restore RUN small.png --operator downsample:4
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from undiffuse.devices import onto


class Operator(ABC):
    """A linear map of examples: (B, *shape) -> (B, *out)."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x."""

    def dense(self, like: Tensor) -> Tensor:
        """A for examples like these, (out, n), or (B, out, n) if it differs from row to row."""
        n = like[0].numel()
        units = torch.eye(n, dtype=like.dtype, device=like.device).view(n, *like.shape[1:])
        return self(units).flatten(1).mT

    def adjoint(self, y: Tensor, shape: torch.Size) -> Tensor:
        """A' y for examples of this shape, (B, *shape)."""
        with torch.enable_grad():
            x = torch.zeros(len(y), *shape, dtype=y.dtype, device=y.device, requires_grad=True)
            (found,) = torch.autograd.grad(self(x), x, y)
        return found


class Identity(Operator):
    """All of it."""

    def __call__(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def adjoint(self, y: Tensor, shape: torch.Size) -> Tensor:
        """y."""
        return y


class Downsample(Operator):
    """Means of blocks of `factor` x `factor` pixels. Raises ValueError unless it divides height and width."""

    def __init__(self, factor: int) -> None:
        if factor < 1:
            raise ValueError(f"downsample:{factor}: the side of a block of pixels, such as 4")
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        """Mean-pooled images."""
        _check_images(x, "downsample")
        if x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            raise ValueError(
                f"downsample:{self.factor}: blocks do not fill images of {x.shape[-2]}x{x.shape[-1]}"
            )
        return avg_pool2d(x, self.factor)


class Blur(Operator):
    """Convolution with a normal of `width` pixels, edges repeated. Raises ValueError for a width <= 0."""

    def __init__(self, width: float) -> None:
        if not 0 < width < float("inf"):
            raise ValueError(f"blur:{width}: a positive, finite number of pixels, such as 1.5")
        reach = max(1, round(3 * width))
        bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / width).square())
        self.bell = bell / bell.sum()

    def __call__(self, x: Tensor) -> Tensor:
        """Blurred images."""
        _check_images(x, "blur")
        channels, reach = x.shape[1], len(self.bell) // 2
        line = onto(self.bell, x).expand(channels, 1, -1)
        x = pad(x, (reach, reach, reach, reach), mode="replicate")
        return conv2d(conv2d(x, line[:, :, None], groups=channels), line[..., None], groups=channels)


class Grey(Operator):
    """The mean of the colours."""

    def __call__(self, x: Tensor) -> Tensor:
        """Images of one channel."""
        _check_images(x, "grey")
        return x.mean(1, keepdim=True)


class Matrix(Operator):
    """A matrix (out, n) times the example's n values in the order of memory: projections, averages, sums."""

    def __init__(self, matrix: Tensor) -> None:
        if matrix.ndim != 2:
            raise ValueError(f"a matrix has two dimensions, this has shape {tuple(matrix.shape)}")
        self.matrix = matrix

    def __call__(self, x: Tensor) -> Tensor:
        """(B, out)."""
        if x[0].numel() != self.matrix.shape[1]:
            raise ValueError(
                f"a matrix of {self.matrix.shape[1]} columns for examples of {x[0].numel()} values"
            )
        return x.flatten(1) @ onto(self.matrix, x).mT


class Function(Operator):
    """Any linear function of (B, *shape). Raises ValueError, when it is used, if it is not linear."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function, self._known = function, False

    def __call__(self, x: Tensor) -> Tensor:
        """What the function says."""
        if not self._known:
            self._check(x.detach())
            self._known = True
        return self.function(x)

    @torch.no_grad()
    def _check(self, x: Tensor) -> None:
        other = torch.linspace(-1, 1, x.numel(), dtype=x.dtype, device=x.device).view(x.shape)
        both, each = self.function(x + 2 * other), self.function(x) + 2 * self.function(other)
        if not torch.allclose(both, each, rtol=1e-3, atol=1e-3 * float(each.abs().max() + 1e-6)):
            raise ValueError(
                "the operator is not linear: f(x + 2 y) differs from f(x) + 2 f(y); use LogDensity"
            )


OPERATORS: dict[str, type[Operator]] = {"downsample": Downsample, "blur": Blur, "grey": Grey}
NUMBERS: dict[str, type[int] | type[float]] = {"downsample": int, "blur": float}  # of those that have one


def operator_of(words: str) -> Operator:
    """The operator named downsample:4, blur:1.5 or grey, say. Raises ValueError for other words."""
    kind, colon, number = words.partition(":")
    if kind not in OPERATORS:
        raise ValueError(f"operator {words}: one of downsample:4, blur:1.5, grey")
    if kind not in NUMBERS:
        if colon:
            raise ValueError(f"operator {words}: {kind} has no number")
        return OPERATORS[kind]()
    try:
        value = NUMBERS[kind](number)
    except ValueError:
        raise ValueError(f"operator {words}: {kind} needs a number, such as {kind}:2") from None
    return OPERATORS[kind](value)  # type: ignore[call-arg]


def _check_images(x: Tensor, name: str) -> None:
    if x.ndim != 4:
        raise ValueError(f"{name} is for images (C, H, W), these examples have shape {tuple(x.shape[1:])}")
