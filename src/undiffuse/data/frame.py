"""A DataFrame's columns as what they are, and its rows as numbers and back.

type of the column             what it becomes
bool                           a symbol of two
words, categories              a symbol of as many as there are, in their order if they have one
whole numbers                  numbers in steps of the largest that fits
decimals                       the same, up to six digits; continuous if there are more
dates                          days since 1970, in steps of a day, or continuous; so are words like 2024-01-31

Columns that never vary, are empty, or hardly ever have a value twice, like names, are left out, and it is
said.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.cell import Cell
from undiffuse.data.rows import Examples

if TYPE_CHECKING:
    from pandas import DataFrame, Series

DIGITS = 6  # of decimals that are steps, at most
MOST = 4096  # categories of a column
DATES, DATE, COMMA = "date in words", r"\d{4}-[01]\d-[0-3]\d", r"[+-]?\d+,\d+"
CATEGORIES = ("category", "ordered category")  # types of columns
MANY = 100  # values from which on a step larger than a digit is no chance
OFTEN, FINE = 1 / 32, 8  # share of a value that repeats too often for a density; digits that are kept then
LOOKED = 2**20  # values, at even distances, among which repeats are counted
DAY = 86_400 * 10**9  # nanoseconds
SHOWN = 5  # names in a message
Floats = NDArray[np.float64]


class Read(NamedTuple):
    """Columns that are learned, their rows (N, D), and why others are not, by name."""

    columns: tuple[Cell, ...]
    raw: Examples
    left: dict[str, str]


def read_frame(frame: "DataFrame") -> Read:
    """The columns of a DataFrame and its rows. Raises ValueError if none can be learned, or names repeat."""
    columns, left = columns_in(frame.columns, frame.__getitem__)
    return Read(columns, rows_in(frame, columns)[0], left)


def chosen(frame: "DataFrame", columns: Sequence[str] | None, where: str) -> "DataFrame":
    """These columns. Raises ValueError for one that there is not."""
    if columns is None:
        return frame
    known = {str(name): name for name in frame.columns}
    lost = [name for name in columns if name not in known]
    if lost:
        raise ValueError(f"{where}: no column {lost[0]!r}; there are: {', '.join(known)}")
    return frame[[known[name] for name in columns]]


def columns_in(
    names: Iterable[Any], series_of: Callable[[Any], "Series[Any]"]
) -> tuple[tuple[Cell, ...], dict[str, str]]:
    """The columns of these names that can be learned, looked at one after the other; and why others are not.

    Raises ValueError if none can be learned, or names repeat.
    """
    words = [str(name) for name in names]
    twice = {name for name in words if words.count(name) > 1}
    if twice:
        raise ValueError(f"column {min(twice)!r} is there twice: columns have names of their own")
    columns, left = [], {}
    for name in names:
        series = series_of(name)
        try:
            columns.append(column_of(series, str(name)))
        except ValueError as error:
            left[str(name)] = str(error)
    if not columns:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(left.items())[:SHOWN])
        raise ValueError(f"no column can be learned ({reasons})")
    return tuple(columns), left


def column_of(series: "Series[Any]", name: str) -> Cell:
    """What a column is. Raises ValueError saying why it is nothing to be learned."""
    known = series.dropna()
    if not len(known):
        raise ValueError("empty")
    dtype = str(series.dtype)
    kind = getattr(series.dtype, "kind", "O")
    if _all_like(known, DATE):
        series = known = days_in(known)
        dtype, kind = DATES, "M"
    elif _all_like(known, COMMA):
        raise ValueError("numbers with decimal commas, like words: read them with decimal=','")
    if dtype == "category" or kind not in "iufMb" or dtype in ("bool", "boolean") or _booleans(known):
        return _symbols(series, known, name, dtype)
    values = _floats(known)
    if not np.isfinite(values).all():
        raise ValueError("holds infinite values; correct or remove them")
    if values.min() == values.max():
        raise ValueError(f"never varies, always {known.iloc[0]}")
    step = step_of(values, whole=kind in "iu")
    some = known.iloc[:: math.ceil(len(known) / LOOKED)]
    if not step and some.value_counts(normalize=True).iloc[0] >= OFTEN:
        return Cell(name, dtype, step=10.0 ** (math.floor(math.log10(np.ptp(values))) - FINE), rounded=True)
    return Cell(name, dtype, step=step)


def numbers_in(series: "Series[Any]", column: Cell) -> tuple[Floats, dict[str, int]]:
    """The values of a column as numbers, NaN for holes and unknown categories; those, and how often."""
    if not column.categories:
        try:
            return _floats(days_in(series) if column.dtype == DATES else series), {}
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"column {column.name!r}: {column.kind}, and not {series.dtype} ({error})"
            ) from error
    places = {_key(each): float(place) for place, each in enumerate(column.categories)}
    codes, found = series.factorize()
    table = np.array([places.get(_key(each), math.nan) for each in found] + [math.nan])
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    unknown = {str(each): int(counts[i]) for i, each in enumerate(found) if math.isnan(table[i])}
    rows: Floats = table[codes]
    return rows, unknown


def rows_in(frame: "DataFrame", columns: Sequence[Cell]) -> tuple[Tensor, dict[str, dict[str, int]]]:
    """Rows (N, D) of a DataFrame that has these columns, a missing one all NaN; categories nobody has seen.

    Raises ValueError if it has none of them.
    """
    known = {str(name): name for name in frame.columns}
    if not any(column.name in known for column in columns):
        raise ValueError(f"none of the columns {', '.join(c.name for c in columns[:SHOWN])} is there")
    rows = np.full((len(frame), len(columns)), math.nan)
    unknown: dict[str, dict[str, int]] = {}
    for i, column in enumerate(columns):
        if column.name in known:
            rows[:, i], new = numbers_in(frame[known[column.name]], column)
            unknown |= {column.name: new} if new else {}
    return torch.from_numpy(rows), unknown


def check_whole(frame: "DataFrame", names: Sequence[str]) -> None:
    """Raise ValueError unless a DataFrame's columns are these, in any order."""
    there = [str(name) for name in frame.columns]
    for name in there:
        if name not in names or there.count(name) > 1:
            raise ValueError(f"column {name!r} is none of this model's, {', '.join(names)}; leave it out")
    for name in names:
        if name not in there:
            raise ValueError(f"column {name!r} is not there; of unknown values give it empty")


def unknown_in(unknown: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A sentence for each column with categories that no training row had."""
    texts = []
    for column, values in unknown.items():
        said = ", ".join(f"{value} ({count:,} rows)" for value, count in list(values.items())[:SHOWN])
        more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
        texts.append(f"column {column!r}: unknown to this model, taken for missing: {said}{more}")
    return texts


def rows_of(given: Any, columns: Sequence[Cell]) -> Tensor:
    """Rows (B, D) of a tensor, an array, a DataFrame, or a mapping of columns to values; NaN where none is.

    Raises ValueError for columns and categories that there are not.
    """
    if not hasattr(given, "columns"):
        if not isinstance(given, Mapping):
            rows = torch.as_tensor(np.asarray(given), dtype=torch.float64)
            return rows.reshape(-1, rows.shape[-1])
        import pandas

        many = {name: value for name, value in given.items() if np.ndim(value)}
        given = pandas.DataFrame(given, index=None if many else [0])
    names = [column.name for column in columns]
    lost = [str(name) for name in given.columns if str(name) not in names]
    if lost:
        raise ValueError(f"no column {lost[0]!r}; there are: {', '.join(names)}")
    rows, unknown = rows_in(given, columns)
    for name, values in unknown.items():
        known = columns[names.index(name)].categories
        raise ValueError(
            f"column {name!r}: no {next(iter(values))!r}; there are {', '.join(map(str, known[:SHOWN]))} .."
        )
    return rows


def frame_of(raw: Tensor, columns: Sequence[Cell], index: Any = None) -> "DataFrame":
    """A DataFrame of rows (N, D): the columns' names, types and spellings."""
    import pandas

    values = raw.double().numpy()
    found = {column.name: _series(values[:, i], column) for i, column in enumerate(columns)}
    return pandas.DataFrame(found, index=index)


def filled_into(frame: "DataFrame", rows: "DataFrame") -> "DataFrame":
    """The DataFrame, its holes filled by `rows` that have some of its columns; nothing else is touched."""
    found = frame.copy()
    names = {str(name): name for name in frame.columns}
    for name in rows.columns:
        if name in names:
            known = frame[names[name]]
            found[names[name]] = known.where(known.notna(), rows[name].set_axis(frame.index))
    return found


def _series(values: Floats, column: Cell) -> Any:
    import pandas

    holes = np.isnan(values)
    if column.categories:
        codes = np.where(holes, -1, values).astype(np.int64)
        if column.dtype in CATEGORIES:
            ordered = column.dtype == CATEGORIES[1]
            return pandas.Categorical.from_codes(codes, categories=list(column.categories), ordered=ordered)
        table = np.array([*column.categories, None], dtype=object)
        words = pandas.array(table[codes], dtype=object)
        return words if holes.any() and column.dtype == "bool" else pandas.Series(words).astype(column.dtype)
    if column.dtype.startswith("datetime") or column.dtype == DATES:
        days = pandas.to_datetime(np.where(holes, 0, np.round(values * DAY)).astype(np.int64))
        found = pandas.Series(days).mask(holes)
        return found.dt.strftime("%Y-%m-%d") if column.dtype == DATES else found.astype(column.dtype)
    if column.step:
        values = values.round(column.digits)
    if column.dtype.startswith(("int", "uint")) and holes.any():
        return pandas.Series(values).round().astype("Int64")
    return pandas.Series(values).astype(column.dtype)


def _symbols(series: "Series[Any]", known: "Series[Any]", name: str, dtype: str) -> Cell:
    """A column of categories."""
    if dtype == "category":
        there = {_key(each) for each in known.unique()}
        found = [each for each in series.cat.categories if _key(each) in there]
        dtype = CATEGORIES[bool(series.cat.ordered)]
    else:
        found = sorted(known.unique(), key=lambda each: (str(type(each)), str(each)))
    if len(found) < 2:
        raise ValueError(f"never varies, always {found[0]}")
    if len(found) > MOST or (len(found) > 50 and len(found) > len(known) / 2):
        raise ValueError(f"{len(found):,} different values in {len(known):,} rows, like names")
    return Cell(name, dtype, tuple(_plain(each) for each in found))


def step_of(values: Floats, whole: bool = False) -> float:
    """The largest step that all values are multiples of, apart from the first; 0 if there is none."""
    for digits in range(1 if whole else DIGITS + 1):
        scaled = values * 10**digits
        if np.abs(scaled).max() < 2**50 and np.abs(scaled - np.round(scaled)).max() < 1e-6:
            away = np.round(scaled - scaled.min()).astype(np.int64)
            common = int(np.gcd.reduce(away)) if len(away) >= MANY else 1
            return float(common / 10**digits)
    return 0.0


def _floats(series: "Series[Any]") -> Floats:
    if getattr(series.dtype, "kind", "O") == "M":
        stamps = series.to_numpy("datetime64[ns]")
        days = stamps.astype(np.int64) / DAY
        return np.where(np.isnat(stamps), math.nan, days)
    found: Floats = series.to_numpy(np.float64, na_value=math.nan)
    return found


def days_in(series: "Series[Any]") -> "Series[Any]":
    """Words like 2024-01-31 as dates. Raises ValueError for others."""
    import pandas

    return pandas.to_datetime(series, format="%Y-%m-%d")


def _all_like(known: "Series[Any]", pattern: str) -> bool:
    """Whether a column is of words that all look like that."""
    words = known.dtype == object or str(known.dtype) in ("str", "string")
    return words and all(isinstance(each, str) and re.fullmatch(pattern, each) for each in known)


def _booleans(known: "Series[Any]") -> bool:
    return known.dtype == object and all(isinstance(each, (bool, np.bool_)) for each in known)


def _key(value: Any) -> tuple[str, Any]:
    value = _plain(value)
    return type(value).__name__, value


def _plain(value: Any) -> str | bool | int | float:
    """What JSON can hold of a category."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if isinstance(value, (float, np.floating)) else str(value)
