"""Numpy, torch and pandas alike: what comes in becomes a tensor, what goes out is of the kind that came in.

A DataFrame (N, D) is a batch of vectors; what is one number an example comes back as a Series with its index.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from undiffuse.data import Cell
from undiffuse.data.frame import check_whole, frame_of, rows_in, rows_of, unknown_in
from undiffuse.diffusion.walks import ALL, Steps

LOG = logging.getLogger(__name__)
KINDS = ("torch", "numpy", "pandas")
WHOLE = (
    *("n", "seed", "steps", "terms", "first", "points"),
    *("states", "block", "calls", "signs", "samples", "rows"),
)
TYPES = dict.fromkeys(WHOLE, ("__index__", "a whole number"))  # what a value has, by the argument's name
TYPES |= dict.fromkeys(("t", "std", "minutes"), ("__float__", "a number"))
TYPES |= {"sampler": ("finish", "a sampler, such as undiffuse.samplers.DDIM()")}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Container:
    """What data came in: `kind` is torch, numpy or pandas; `names` and `index` are those of a DataFrame.

    Of a table that was read from a file the names are known too, whatever kind samples are of, and of one of
    several kinds of columns what these are: its `cells`. `frame` is the DataFrame itself, of one that came
    in.
    """

    kind: str = "torch"
    names: tuple[str, ...] = ()
    index: Any = None
    cells: tuple[Cell, ...] = ()
    frame: Any = field(default=None, compare=False)

    def put(self, x: Any) -> Any:
        """A tensor, or a posterior, as one of this kind; other results as they are."""
        if hasattr(x, "of_kind"):
            return x.of_kind(self)
        if not isinstance(x, Tensor) or self.kind == "torch":
            return x
        array = x.detach().cpu().numpy()
        if self.kind == "numpy" or array.ndim > 2:
            return array
        import pandas

        index = self.index if self.index is not None and len(self.index) == len(array) else None
        if self.cells and array.shape[1:] == (len(self.cells),):
            return frame_of(x, self.cells, index)
        if array.ndim == 1:
            return pandas.Series(array, index=index)
        names = self.names if len(self.names) == array.shape[1] else None
        return pandas.DataFrame(array, index=index, columns=None if names is None else list(names))


def container_of(x: Any) -> Container | None:
    """What kind of data this is; None if it is no data."""
    if isinstance(x, Tensor):
        return Container()
    if isinstance(x, np.ndarray):
        return Container("numpy")
    if type(x).__module__.partition(".")[0] == "pandas":
        frame = x if hasattr(x, "columns") else None
        return Container("pandas", tuple(map(str, getattr(x, "columns", ()))), x.index, frame=frame)
    return None


def tensor_of(x: Any, name: str = "data") -> Tensor:
    """The data as a tensor, which shares memory where it can.

    Raises:
        TypeError: for what is no tensor, array, DataFrame or nested sequence of numbers.
    """
    if isinstance(x, Tensor):
        return x
    try:
        array = np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"values of type {array.dtype}")
        if array.dtype.kind == "u" and array.dtype.itemsize > 1:
            array = array.astype(np.int64)
        own = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
        return torch.from_numpy(own)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: {type(x).__name__} is no data ({error}); give a tensor, an array, a "
            "DataFrame of numbers, or a list of them"
        ) from error


def alike(*names: str, numbers: bool = False, whole: bool = False) -> Callable[[F], F]:
    """A method of a `Diffusion` whose arguments of these names may be of any kind, and so its result.

    The first of the arguments decides the kind; without any, the object's own `container`. Of a table results
    are rows, or `numbers` about cells. `whole` DataFrames have the model's columns and no others, so that
    nothing of them is lost.
    """

    def around(method: F) -> F:
        words = method.__annotations__.get("steps") == Steps  # whether it takes a chain's steps by a word
        order = method.__code__.co_varnames[1 : method.__code__.co_argcount]

        @wraps(method)
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            given = dict(zip(order, arguments, strict=False)) | named
            check_types({n: None if words and (n, v) == ("steps", ALL) else v for n, v in given.items()})
            if names and names[0] in given and given[names[0]] is None:
                tensor_of(None, names[0])
            found = [name for name in names if given.get(name) is not None]
            kinds = [container_of(given[name]) for name in found]
            cells = getattr(self.space, "columns", ())
            known = tuple(cell.name for cell in cells) or self.container.names
            for name in found:
                if whole and known and hasattr(given[name], "columns"):
                    check_whole(given[name], known)
                    given[name] = rows_of(given[name], cells) if cells else given[name]
                given[name] = _tensor(given[name], name, self.shape, known, cells)
            kind = next(filter(None, kinds), self.container)
            kind = replace(kind, names=known or kind.names, cells=() if numbers else cells)
            return kind.put(method(self, *arguments[len(order) :], **given))

        return cast(F, call)

    return around


def check_types(given: Mapping[str, Any]) -> None:
    """Raise TypeError, with the name and the value, unless counts are whole numbers, and times numbers."""
    for name, value in given.items():
        has, what = TYPES.get(name, ("", ""))
        if has and value is not None and (isinstance(value, bool) or not hasattr(value, has)):
            raise TypeError(f"{name}={value!r}: give {what}, this is a {type(value).__name__}")


def columns_named(x: Any, names: tuple[str, ...]) -> Any:
    """Of a DataFrame the columns of these names in this order, if any are known; other data as they are.

    Raises ValueError for columns that it has not.
    """
    if not names or not hasattr(x, "columns"):
        return x
    places = {str(name): place for place, name in enumerate(x.columns)}
    missing = [name for name in names if name not in places]
    if missing:
        raise ValueError(f"no column {missing[0]!r}; there are: {', '.join(places)}")
    return x.iloc[:, [places[name] for name in names]]


def _tensor(
    x: Any, name: str, shape: tuple[int, ...], names: tuple[str, ...], cells: Sequence[Cell]
) -> Tensor:
    """What came in, as the model's."""
    if not cells or not hasattr(x, "columns"):
        return _shaped(tensor_of(columns_named(x, names), name), shape)
    rows, unknown = rows_in(x, cells)
    for text in unknown_in(unknown):
        LOG.warning("%s", text)
    return rows


def _shaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Grey pictures (N, H, W), and those with channels last, as the model's (N, C, H, W); else as it is."""
    if len(shape) != 3 or tuple(x.shape[1:]) == shape:
        return x
    if shape[0] == 1 and tuple(x.shape[1:]) == shape[1:]:
        return x.unsqueeze(1)
    last = tuple(x.shape[1:]) == (*shape[1:], shape[0])
    return x.movedim(-1, 1) if last else x
