r"""Raw data <-> x_0, the coordinates in which diffusion happens.

    Levels   k in 0..K-1       x_0 = 2 k / (K - 1) - 1        in [-1, 1]
    Symbols  k in 0..K-1       x_0 = k                        for kernels that redraw symbols
    Affine   raw in R^D        x_0 = (raw - mean) / std       unit second moment

A density in x_0 becomes a density in raw units by log p(raw) = log p(x_0) + log \|d x_0 / d raw\|,
the last term being `Space.log_det`. Levels and symbols have probabilities, not densities, and need no such
term.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from undiffuse.data.continuous import FINE, SAMPLE
from undiffuse.data.moments import moments_of
from undiffuse.data.rows import Examples, chunks, ends, sample_of
from undiffuse.data.source import Splits

State = dict[str, str | int | float | list[float]]


class Space(ABC):
    """An invertible map between raw data and x_0; `levels` are those of a value, None if it is continuous."""

    levels: int | None = None

    @abstractmethod
    def encode(self, raw: Tensor) -> Tensor:
        """x_0, float32, of raw data ``(B, *shape)``."""

    @abstractmethod
    def decode(self, x_0: Tensor) -> Tensor:
        """Raw data of x_0 ``(B, *shape)``."""

    def log_dets(self, shape: tuple[int, ...]) -> Tensor:
        """log |d x_0 / d raw| of every element of one example of this shape, in nats.

        0 for levels and symbols: probabilities do not depend on coordinates.
        """
        return torch.zeros(shape, dtype=torch.float64)

    def log_det(self, shape: tuple[int, ...]) -> float:
        """Log-determinant of d x_0 / d raw for one example of this shape, in nats."""
        return float(self.log_dets(shape).sum())

    @abstractmethod
    def state(self) -> State:
        """Description that JSON can hold and `space_from` understands."""


@final
class Levels(Space):
    """K equally spaced levels in [-1, 1].

    >>> Levels(3).encode(torch.tensor([0, 1, 2]))
    tensor([-1.,  0.,  1.])

    Args:
        levels: K, the number of levels, 2 to 65536.

    Raises:
        ValueError: if K is outside that range.
    """

    levels: int

    def __init__(self, levels: int) -> None:
        self.levels = check_levels(levels)

    def encode(self, raw: Tensor) -> Tensor:
        """x_0 = (2k - (K-1)) / (K-1): both parts are exact in float32, so it is rounded only once.

        Raises:
            ValueError: if raw does not hold level numbers 0..K-1.
        """
        _check_raw(raw, self.levels)
        top = self.levels - 1
        return (2 * raw.to(torch.int32) - top).float() / top

    def decode(self, x_0: Tensor) -> Tensor:
        """The nearest level number: uint8 if K <= 256, else int32."""
        top = self.levels - 1
        nearest = ((x_0 + 1) * (top / 2)).round().clamp(0, top)
        return nearest.to(torch.uint8 if self.levels <= 256 else torch.int32)

    def state(self) -> State:
        """``{"kind": "levels", "levels": K}``."""
        return {"kind": "levels", "levels": self.levels}


@final
class Symbols(Space):
    """The numbers of K symbols, 0..K-1, as they are; for bits K is 2.

    Args:
        symbols: K, the number of symbols, 2 to 65536.

    Raises:
        ValueError: if K is outside that range.
    """

    levels: int

    def __init__(self, symbols: int) -> None:
        self.levels = self.symbols = check_levels(symbols)

    def encode(self, raw: Tensor) -> Tensor:
        """x_0 = k in float32, which holds every such number exactly.

        Raises:
            ValueError: if raw does not hold symbols 0..K-1.
        """
        _check_raw(raw, self.symbols)
        return raw.float()

    def decode(self, x_0: Tensor) -> Tensor:
        """The nearest symbol: uint8 if K <= 256, else int32."""
        nearest = x_0.round().clamp(0, self.symbols - 1)
        return nearest.to(torch.uint8 if self.symbols <= 256 else torch.int32)

    def state(self) -> State:
        """``{"kind": "symbols", "symbols": K}``."""
        return {"kind": "symbols", "symbols": self.symbols}


@final
class Affine(Space):
    """x_0 = (raw - mean) / std, for continuous data; computed in float64.

    Args:
        mean: one number for every value, or one a feature ``(D,)``.
        std: the same, positive.
        double: whether raw data is float64 rather than float32.

    Raises:
        ValueError: if the two differ in shape, are not finite, or a std is not positive.
    """

    def __init__(
        self,
        mean: Tensor | Sequence[float] | float,
        std: Tensor | Sequence[float] | float,
        double: bool = False,
    ) -> None:
        if not isinstance(double, bool):
            raise ValueError(f"double={double!r} must be true or false")
        self.dtype = torch.float64 if double else torch.float32
        self.mean = torch.as_tensor(mean, dtype=torch.float64)
        self.std = torch.as_tensor(std, dtype=torch.float64)
        if self.mean.shape != self.std.shape or self.mean.ndim > 1:
            raise ValueError(
                f"mean {tuple(self.mean.shape)} and std {tuple(self.std.shape)} must both be one "
                f"number or one number a feature"
            )
        if not (self.mean.isfinite() & self.std.isfinite() & (self.std > 0)).all():
            raise ValueError("mean and std must be finite and std positive")

    @classmethod
    def fit(cls, train: Examples) -> "Affine":
        """The map that gives `train` zero mean and unit second moment.

        Vectors ``(N, D)`` are scaled feature by feature; images and sequences by one mean and one
        std, so that neighbouring values stay comparable. A feature that never changes keeps its
        unit (std 1). One pass, a few million values at a time.
        """
        vectors = len(train.shape) == 2
        moments = moments_of(chunk if vectors else chunk.reshape(-1, 1) for chunk in chunks(train))
        # Exact, where the variance of a constant may round to 1e-34.
        std = torch.where(moments.low == moments.high, 1.0, (moments.squares / moments.count).sqrt())
        double = train.dtype == torch.float64
        return cls(moments.mean, std, double) if vectors else cls(moments.mean[0], std[0], double)

    def encode(self, raw: Tensor) -> Tensor:
        """(raw - mean) / std, float32.

        Raises:
            ValueError: if numbers of raw's type are too far apart, about the mean, to tell its values.
        """
        self._check_digits(raw.dtype)
        raw = raw.double()
        return ((raw - self.mean.to(raw)) / self.std.to(raw)).float()

    def decode(self, x_0: Tensor) -> Tensor:
        """Mean + std x_0, in the type of the data that it was fitted to."""
        x_0 = x_0.double()
        return (x_0 * self.std.to(x_0) + self.mean.to(x_0)).to(self.dtype)

    def log_dets(self, shape: tuple[int, ...]) -> Tensor:
        """-log std."""
        return -self.std.log().expand(shape)

    def state(self) -> State:
        """``{"kind": "affine", "mean": ..., "std": ..., "double": ...}``, exact to the last bit."""
        double = self.dtype == torch.float64
        return {"kind": "affine", "mean": self.mean.tolist(), "std": self.std.tolist(), "double": double}

    def _check_digits(self, dtype: torch.dtype) -> None:
        coarse = dtype.is_floating_point and dtype != torch.float64
        apart = torch.finfo(dtype).eps * float((self.mean.abs() / self.std).max()) if coarse else 0.0
        if apart > 8 * FINE:  # data that `check_continuous` lets through are never so coarse
            steps = f"whose numbers about the mean are {apart:.2g} standard deviations apart"
            raise ValueError(f"raw data is {dtype}, {steps}; give float64")


SPACES: dict[str, Callable[..., Space]] = {"levels": Levels, "symbols": Symbols, "affine": Affine}


def space_of(splits: Splits, symbols: int | None = None) -> Space:
    """The space of a data set: its levels, or the affine map fitted to its training data.

    Args:
        splits: the data.
        symbols: K if a kernel for K symbols is to work on them, else None.

    Raises:
        ValueError: if the data do not have K levels.
    """
    if symbols is not None:
        if splits.levels != symbols:
            raise ValueError(_unfit(splits, symbols))
        return Symbols(symbols)
    return Affine.fit(splits.train) if splits.levels is None else Levels(splits.levels)


def space_from(state: Mapping[str, Any]) -> Space:
    """Inverse of `Space.state`.

    Raises:
        ValueError: if the description is not one that `Space.state` gives.
    """
    arguments = {name: value for name, value in state.items() if name != "kind"}
    if state.get("kind") not in list(SPACES):  # a list compares what a dict could not hash
        raise ValueError(f"space kind {state.get('kind')!r} is not one of {sorted(SPACES)}")
    try:
        return SPACES[state["kind"]](**arguments)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"not the description of a space: {dict(state)!r:.200}") from error


def check_levels(levels: int) -> int:
    """`levels` itself.

    Raises:
        ValueError: unless it is a whole number, 2 to 65536.
    """
    if isinstance(levels, bool) or not isinstance(levels, int) or not 2 <= levels <= 65536:
        raise ValueError(f"levels={levels!r} must be a whole number from 2 to 65536")
    return levels


def _unfit(splits: Splits, symbols: int) -> str:
    """Why data of another kind are not for a kernel of so many symbols, and what to do."""
    found = "continuous values" if splits.levels is None else f"{splits.levels} levels"
    fits = (
        "choose a kernel that fits (bits: binomial; K levels: categorical with symbols=K; numbers: gaussian)"
    )
    if splits.levels is not None and ends(sample_of(splits.train, SAMPLE))[1] < symbols:
        fits = f"they use 0..{symbols - 1} alone, so set data.levels={symbols} (data.kind=array), or {fits}"
    return f"the data have {found}, the kernel is for {symbols} symbols: {fits}"


def _check_raw(raw: Tensor, levels: int) -> None:
    """Raise ValueError unless raw holds whole numbers 0..levels-1."""
    top = levels - 1
    if raw.is_floating_point() or raw.is_complex():
        raise ValueError(f"raw data is {raw.dtype}, not whole numbers 0..{top}; encode takes levels")
    if raw.dtype == torch.uint8 and top >= 255:
        return  # a byte cannot be out of range; spares the GPU a wait
    low, high = (int(end) for end in raw.long().aminmax()) if raw.numel() else (0, 0)
    if low < 0 or high > top:
        raise ValueError(f"raw values {low}..{high} are not level numbers 0..{top}")
