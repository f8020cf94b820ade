"""What a model can be given: a class, numbers, an image, a sequence; or several of these by name.

A condition of B examples is a tensor (B, ...). What is not told is -1 in a class and NaN in numbers, so
that a mask with values is an image with NaN where it hides them, a sequence that ends early is filled up with
NaN, and "none", which guidance leads away from, is a condition that has nothing else.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from undiffuse.devices import sent

NONE = -1  # the class of an example whose class is not told
SHOWN = 10  # classes that a message names
MAX_CLASSES = 1_000_000
NAMES = "letters, digits, _ and -"


class Condition(ABC):
    """What one condition is: `shape` is that of one example's, () for a class."""

    kind: ClassVar[str]
    shape: tuple[int, ...]

    @abstractmethod
    def check(self, value: Any, name: str) -> Tensor:
        """The value as (B, *shape), B = 1 of one that is for all.

        Raises ValueError for another shape, another type, or what is none of these, saying what is known.
        """

    @abstractmethod
    def hidden(self, value: Tensor, rows: Tensor) -> Tensor:
        """The value, but nothing told of these rows, bool (B,)."""

    def state(self) -> dict[str, Any]:
        """What `condition_from` makes it of again, for JSON."""
        arguments: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return {"kind": self.kind} | arguments


@dataclass(frozen=True)
class Classes(Condition):
    """One of `count` classes, numbered from 0, and what they are called. Raises ValueError for none."""

    count: int
    names: tuple[str, ...] = ()
    kind: ClassVar[str] = "class"
    shape: ClassVar[tuple[int, ...]] = ()  # type: ignore[misc]

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_CLASSES or len(self.names) not in (0, self.count):
            raise ValueError(
                f"classes={self.count}, {len(self.names)} names: at least one class, a name each"
            )

    def check(self, value: Any, name: str) -> Tensor:
        """Whole numbers, or names; -1 for none."""
        value = [value] if isinstance(value, str) else value
        if getattr(getattr(value, "dtype", None), "kind", "") in ("O", "U"):  # words
            value = value.tolist()
        if isinstance(value, Sequence) and len(value) and all(isinstance(each, str) for each in value):
            value = [self.number(each, name) for each in value]
        labels = _tensor(value, name)
        whole = not labels.is_floating_point() and not labels.is_complex()
        if not whole or labels.ndim > 1 or not labels.numel():
            raise ValueError(
                f"{name}: {labels.dtype} of shape {tuple(labels.shape)}; give a class, or whole numbers (B,)"
            )
        if not bool(((labels >= NONE) & (labels < self.count)).all()):
            bad = int(labels.min() if labels.min() < NONE else labels.max())
            raise ValueError(f"{name}: class {bad}; this model knows {self.known} (and {NONE} for none)")
        return labels.long().reshape(-1)

    def number(self, named: str, name: str) -> int:
        """The class of this name, or number in words."""
        if named in self.names:
            return self.names.index(named)
        try:
            return int(named)
        except ValueError as error:
            raise ValueError(f"{name}: class {named!r}; this model knows {self.known}") from error

    @property
    def known(self) -> str:
        """The classes in words."""
        if not self.names:
            return f"0 to {self.count - 1}"
        more = f" and {self.count - SHOWN} more" if self.count > SHOWN else ""
        return ", ".join(f"{number} {name}" for number, name in enumerate(self.names[:SHOWN])) + more

    def hidden(self, value: Tensor, rows: Tensor) -> Tensor:
        """Class -1."""
        return value.masked_fill(rows, NONE)


@dataclass(frozen=True)
class Numbers(Condition, ABC):
    """Numbers of this shape; `mean` and `std` are those of the training data, one an entry of `axis`.

    Raises ValueError unless there is a mean and a positive width for each.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    axis: ClassVar[int]  # of the shape, whose entries have statistics of their own
    ndim: ClassVar[int]
    like: ClassVar[str]  # the shape in words

    def __post_init__(self) -> None:
        if len(self.shape) != self.ndim or min(self.shape, default=0) < 1:
            raise ValueError(f"condition of shape {self.shape}: {self.kind} is {self.like}")
        widths = self.shape[self.axis]
        positive = all(std > 0 and math.isfinite(std) for std in self.std)
        if not len(self.mean) == len(self.std) == widths or not positive:
            raise ValueError(f"condition of shape {self.shape}: {widths} means and positive deviations")

    def check(self, value: Any, name: str) -> Tensor:
        """float32, NaN where nothing is told."""
        x = _tensor(value, name)
        if x.is_complex() or bool(x.float().isinf().any()):
            raise ValueError(f"{name}: values are finite numbers, or NaN where nothing is told")
        found = self.shaped(x.float())
        if found is None or not len(found):
            raise ValueError(
                f"{name}: shape {tuple(x.shape)}; this model takes {self.like} of shape {self.shape}, or one "
                f"for each example, (B, {', '.join(map(str, self.shape))})"
            )
        return found

    def shaped(self, x: Tensor) -> Tensor | None:
        """As (B, *shape), if it can be."""
        if tuple(x.shape) == self.shape:
            return x.unsqueeze(0)
        return x if tuple(x.shape[1:]) == self.shape else None

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation in the training data, ready to broadcast against (B, *shape)."""
        view = [1] * self.ndim
        view[self.axis] = -1
        mean, std = (torch.tensor(each, dtype=torch.float32).view(view) for each in (self.mean, self.std))
        return mean, std

    def hidden(self, value: Tensor, rows: Tensor) -> Tensor:
        """NaN."""
        return value.masked_fill(rows.view(-1, *[1] * self.ndim), math.nan)

    @classmethod
    def of(cls, values: Tensor) -> "Numbers":
        """What values (N, *shape) are, with their statistics, those that are not told left out."""
        shape = tuple(values.shape[1:])
        rows = values.double().movedim(1 + cls.axis, 0).flatten(1)
        told = rows.isfinite()
        count = told.sum(1).clamp(min=1)
        mean = torch.where(told, rows, 0).sum(1) / count
        square = torch.where(told, (rows - mean.unsqueeze(1)).square(), 0).sum(1) / count
        std = torch.where(square > 0, square.sqrt(), 1.0)
        return cls(shape, tuple(mean.tolist()), tuple(std.tolist()))


@dataclass(frozen=True)
class Vector(Numbers):
    """(D,) numbers."""

    kind: ClassVar[str] = "vector"
    axis: ClassVar[int] = 0
    ndim: ClassVar[int] = 1
    like: ClassVar[str] = "numbers (D,)"

    def shaped(self, x: Tensor) -> Tensor | None:
        """One number may come alone."""
        if self.shape == (1,) and x.ndim < 2 and x.numel() != 1:
            return x.unsqueeze(-1)
        return super().shaped(x.reshape(1) if x.ndim == 0 else x)


@dataclass(frozen=True)
class Image(Numbers):
    """(C, H, W), of the data's own resolution or another."""

    kind: ClassVar[str] = "image"
    axis: ClassVar[int] = 0
    ndim: ClassVar[int] = 3
    like: ClassVar[str] = "an image (C, H, W)"

    def shaped(self, x: Tensor) -> Tensor | None:
        """A grey one may come without its channel."""
        grey = self.shape[0] == 1 and tuple(x.shape[-2:]) == self.shape[1:] and x.ndim < 4
        return super().shaped(x.unsqueeze(-3) if grey and tuple(x.shape) != self.shape else x)


@dataclass(frozen=True)
class Series(Numbers):
    """(L, D): up to L elements of D numbers in an order; one that ends early is filled up with NaN."""

    kind: ClassVar[str] = "sequence"
    axis: ClassVar[int] = 1
    ndim: ClassVar[int] = 2
    like: ClassVar[str] = "a sequence (L, D)"

    def shaped(self, x: Tensor) -> Tensor | None:
        """A shorter one is filled up."""
        if x.ndim in (2, 3) and 0 < x.shape[-2] < self.shape[0] and x.shape[-1] == self.shape[1]:
            x = torch.nn.functional.pad(x, (0, 0, 0, self.shape[0] - x.shape[-2]), value=math.nan)
        return super().shaped(x)


@dataclass(frozen=True)
class Row(Condition):
    """(D,) cells of a table's row in x_0's coordinates, NaN where nothing is given."""

    kind: ClassVar[str] = "row"
    shape: tuple[int, ...]

    def check(self, value: Any, name: str) -> Tensor:
        """float32, (B, D)."""
        x = _tensor(value, name).float()
        x = x.unsqueeze(0) if tuple(x.shape) == self.shape else x
        if tuple(x.shape[1:]) != self.shape or x.ndim != 2 or bool(x.isinf().any()):
            raise ValueError(
                f"{name}: shape {tuple(x.shape)}; give rows of {self.shape[0]} cells, NaN for none"
            )
        return x

    def hidden(self, value: Tensor, rows: Tensor) -> Tensor:
        """NaN."""
        return value.masked_fill(rows.view(-1, 1), math.nan)


KINDS: dict[str, type[Condition]] = {each.kind: each for each in (Classes, Vector, Image, Series)}
Conditions = Mapping[str, Condition]


def condition_from(state: Any) -> Condition:
    """What `Condition.state` wrote. Raises ValueError for what it did not."""
    try:
        named = {key: tuple(v) if isinstance(v, list) else v for key, v in state.items() if key != "kind"}
        return KINDS[state["kind"]](**named)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a condition that is none of {', '.join(KINDS)}") from error


class Given:
    """What the examples of a batch are given: tensors (B, ...) by name, or (1, ...) for all of them."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self.values = dict(values)
        sizes = {len(each) for each in values.values()} - {1}
        if len(sizes) > 1:
            each = ", ".join(f"{name}: {len(value)}" for name, value in values.items())
            raise ValueError(f"conditions of different numbers of examples ({each})")
        self.count = max(sizes, default=1)

    def rows(self, index: Tensor) -> "Given":
        """Of these rows; what is for all stays that. Raises ValueError for rows there are none of."""
        if self.count == 1:
            return self
        if len(index) and int(index.max()) >= self.count:
            raise ValueError(f"conditions of {self.count} examples: none for number {int(index.max())}")
        return Given(
            {name: v if len(v) == 1 else v[sent(index, v.device)] for name, v in self.values.items()}
        )

    def batch(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """For every row of x (B, ...), where it is: a tensor, or several by name."""
        found = {
            name: sent(v, x.device, x.dtype if v.is_floating_point() else v.dtype).expand(
                len(x), *v.shape[1:]
            )
            for name, v in self.values.items()
        }
        return next(iter(found.values())) if len(found) == 1 else found

    def digest(self) -> bytes:
        """SHA-256 of all there is of it."""
        found = hashlib.sha256()
        for name, value in sorted(self.values.items()):
            found.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return found.digest()


def given_of(known: Conditions, value: Any) -> Given | None:
    """The value, of these conditions, checked: None, one, or several by name, of which some may be missing.

    What is not there is not told. Raises ValueError naming what is known.
    """
    if value is None:
        return None
    values = value if isinstance(value, Mapping) else {_only(known, value): value}
    for name in values:
        if name not in known:
            raise ValueError(f"condition {name!r}: this model takes {described(known)}")
    found = {name: known[name].check(each, name) for name, each in values.items() if each is not None}
    return Given(found | {name: none(each) for name, each in known.items() if name not in found})


def none(condition: Condition) -> Tensor:
    """(1, *shape): nothing told."""
    if isinstance(condition, Classes):
        return torch.full((1,), NONE)
    return torch.full((1, *condition.shape), math.nan)


def described(known: Conditions) -> str:
    """Them in words."""
    words = []
    for name, each in known.items():
        if isinstance(each, Row):
            words.append("any cells of a row")
        else:
            words.append(
                f"{name} ({each.known if isinstance(each, Classes) else f'{each.kind} {each.shape}'})"
            )
    return ", ".join(words) or "none"


def check_name(name: str) -> str:
    """It. Raises ValueError for one that weights, files and options cannot be named by."""
    if not name or not all(c.isascii() and (c.isalnum() or c in "_-") for c in name):
        raise ValueError(f"condition {name!r}: a name is of {NAMES}")
    return name


def _only(known: Conditions, value: Any) -> str:
    """The name of the one condition that this can be: of several, a class is that which is one."""
    names = list(known)
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        names = [name for name, each in known.items() if isinstance(each, Classes)] or names
    if len(names) != 1:
        raise ValueError(f"this model takes {described(known)}; give them by name, {{NAME: VALUE}}")
    return names[0]


def _tensor(value: Any, name: str) -> Tensor:
    try:
        if hasattr(value, "to_numpy"):
            value = value.to_numpy(copy=True)  # pandas' own cannot be written to, of which torch warns
        return torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: {type(value).__name__} is no condition ({error})") from error
