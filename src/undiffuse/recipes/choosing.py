"""What to train on data that nobody has written a recipe for, chosen from what they look like, with reasons.

    folder of pictures          images:  a U-Net that predicts v, of levels
    array (N, [C,] H, W)        the same; of values 0 and 1: bits
    array (N, D) of 0 and 1     bits:    an MLP on their frequencies, binomial noise
    array (N, D), few levels    symbols: an MLP on their frequencies, categorical noise
    array (N, D), other         vectors: an MLP on a normal density, or a mixture
    table .csv, .parquet        of whole rows of continuous numbers the same, column by column; of anything
                                else, or with holes, table: any column can be given, or is filled

A `Choice` is a recipe's node and a line for each thing that was chosen; all can be overridden by name.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from undiffuse.data import noise_of, read_npy, read_npz
from undiffuse.data.columns import MEMORY, advice_of, is_stored, read_stored
from undiffuse.data.frame import Read, read_frame, step_of
from undiffuse.data.images import FOLDERS, classes_of, find_images
from undiffuse.data.npy import npz_names
from undiffuse.data.own import in_folders
from undiffuse.data.parquet import is_large, read_large
from undiffuse.data.pictures import Header, read_header
from undiffuse.data.rows import spans
from undiffuse.data.table import SUFFIXES as TABLES
from undiffuse.data.table import numbers_of, read_table
from undiffuse.diffusion.examples import first_logsnr
from undiffuse.networks.fitting import fitting_width
from undiffuse.recipes.parts import RecipeError
from undiffuse.recipes.reading import override, read
from undiffuse.tensors import dims

GIVEN = "given_"  # begins the names of arrays of an .npz that are conditions
SYMBOLS = 8  # levels of a vector, up to which they are taken for symbols without an order
WIDE = 256  # hidden units for a table, at most: wider ones take hours on a CPU
SIDE, LARGEST = 32, 64  # pixels: what pictures of several sizes become; and up to which they keep their own
LOOKED = 2**22  # values of an array that are looked at
SHOWN = 10  # classes that are named
SMALL, LARGE, FEWEST = 30_000, 200_000, 2000  # cells of a table; and steps that are enough for a small one
BROAD, MOST, LEAST = 12, 20_000, 6000  # columns of a large table that takes the most steps, and the least
KEPT = 10_000  # examples that are held out for reports, at most
Found = NDArray[Any]


@dataclass
class Choice:
    """A recipe's node, what it is like, and why."""

    node: dict[str, Any]
    reasons: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)  # files that cannot be used, and why

    def set(self, path: str, value: Any, reason: str) -> None:
        """Set a key of the recipe, and say why."""
        *heads, last = path.split(".")
        node = self.node
        for head in heads:
            node = node.setdefault(head, {})
        node[last] = value
        self.reasons.append(f"{path}={_shown(value)}: {reason}")


def chosen_with(
    path: str | Path, changes: list[str], decode: Callable[[Path], object] | None = None
) -> Choice:
    """What `choose` says, with changes such as "train.steps=500"; labels that they name are no data."""
    labels = next((each.partition("=")[2] for each in changes if each.startswith("data.labels=")), None)
    chosen = choose(path, decode, labels, table="data.kind=columns" in changes)
    chosen.node = override(chosen.node, changes)
    return chosen


def choose(
    path: str | Path,
    decode: Callable[[Path], object] | None = None,
    labels: str | None = None,
    table: bool = False,
) -> Choice:
    """The recipe for a folder of pictures, an .npy, .npz, .csv or .parquet file.

    With `decode`, every picture whose header is in order is decoded too, which finds files that are cut off.
    `labels` is the column of a table, or the array of an .npz, that has the examples' classes; of pictures
    "folders". As a `table` any cells of a .csv or .parquet can be given, or are filled, even if all its
    columns are continuous numbers without a hole.

    Raises FileNotFoundError for no such file, RecipeError for one that is nothing of these.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if path.is_dir():
        return _of_pictures(path, decode, labels)
    if suffix in TABLES:
        return _of_table(path, labels, table)
    if suffix == ".npz" and is_stored(path):
        return of_columns({"kind": "columns", "path": str(path)}, read_stored(path))
    if suffix in (".npy", ".npz"):
        return _of_array(path, labels)
    kinds = f"a folder of PNG or JPEG files, or .npy, .npz, {', '.join(TABLES)}"
    raise RecipeError(f"{path}: trained on are {kinds}; recipes have the ending .yaml")


def _of_pictures(path: Path, decode: Callable[[Path], object] | None, labels: str | None) -> Choice:
    chosen = _begin("images", {"kind": "images", "path": str(path)}, "a folder of pictures")
    files, count = in_folders(path, find_images)
    headers = list(_headers(files, decode, chosen.problems))
    if len(headers) < 2:
        raise RecipeError(f"{path}: {len(headers)} pictures that can be read; give 2 or more")
    if chosen.problems:
        chosen.set("data.skip_bad", True, "files that cannot be read, of which check has a list, are skipped")
    sizes = Counter((header.height, header.width) for header in headers)
    (height, width), _ = sizes.most_common(1)[0]
    if len(sizes) > 1:
        chosen.set("data.size", SIDE, f"pictures of {len(sizes)} sizes, cropped to squares and resized")
    elif max(height, width) > LARGEST:
        chosen.set("data.size", SIDE, f"{width} x {height} pixels are days of work for a CPU")
    channels = Counter(header.channels for header in headers)
    if len(channels) > 1:
        most = channels.most_common(1)[0][0]
        chosen.set("data.channels", most, f"{channels[1]} pictures are grey and {channels[3]} in colour")
    if labels is not None:
        if labels != FOLDERS:
            raise RecipeError(
                f"labels={labels}: {path} is a folder of pictures, whose classes are its {FOLDERS}"
            )
        names, _ = classes_of(path, files, count is not None)
        chosen.node["data"]["labels"] = labels
        shown = ", ".join(f"{number} {name}" for number, name in enumerate(names[:SHOWN]))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        chosen.set("condition", "labels", f"the classes are {shown}{more}")
    _hold_out(chosen, len(headers))
    return chosen


def _headers(
    files: list[Path], decode: Callable[[Path], object] | None, problems: dict[str, str]
) -> Iterator[Header]:
    for file in files:
        try:
            header = read_header(file)
            if decode is not None:
                decode(file)
            yield header
        except (ValueError, OSError) as error:
            problems[str(file)] = " ".join(str(error).split())


def _of_table(path: Path, labels: str | None, table: bool) -> Choice:
    large = labels is None and is_large(path, MEMORY)
    if large and (table or not _continuous(read_large(path))):
        return of_columns({"kind": "columns", "path": str(path)}, read_large(path))
    frame = read_table(path)
    if labels is None and not large and (table or not plain(frame)):
        return of_columns({"kind": "columns", "path": str(path)}, read_frame(frame))
    chosen = _begin("vectors", {"kind": "table", "path": str(path)}, "a table of numbers")
    columns = columns_of(frame, labels, str(path))
    if labels is not None:
        chosen.node["data"]["labels"] = labels
        chosen.set("condition", "labels", f"rows are given the column {labels}")
    chosen.set("data.columns", columns.names, columns.reason)
    _spaced(chosen, columns.widths)
    _hold_out(chosen, columns.rows)
    return chosen


def plain(frame: Any) -> bool:
    """Whether a DataFrame has continuous numbers alone, and no holes but in columns that are empty."""
    if not frame.columns.is_unique or not all(getattr(each, "kind", "") == "f" for each in frame.dtypes):
        return False
    there = frame.dropna(axis=1, how="all")
    steps = (step_of(there[name].to_numpy(np.float64)) for name in there.columns)
    return not bool(there.isna().any(axis=None)) and not any(steps)


def _continuous(found: Read) -> bool:
    """Whether what was read is `plain`."""
    steps = (column.step and not column.rounded for column in found.columns)
    floats = all(column.dtype.startswith("float") for column in found.columns)
    empty = set(found.left.values()) <= {"empty"}
    return floats and empty and not any(steps) and not _holes(found)


def _holes(found: Read) -> int:
    return sum(int(found.raw[span].isnan().sum()) for span in spans(found.raw))


def of_columns(data: dict[str, Any], found: Read) -> Choice:
    """The recipe for a table whose columns are of several kinds, or have holes."""
    kinds = Counter(each.kind.partition(" of ")[0] for each in found.columns)
    words = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    chosen = _begin("table", data, f"columns: {words}")
    chosen.node["kernel"]["columns"] = [each.symbols for each in found.columns]
    chosen.node["network"]["hidden"] = min(WIDE, fitting_width(*found.raw.shape))
    size = dims(tuple(found.raw.shape))
    if size < LARGE:
        steps = FEWEST if size < SMALL else 2 * FEWEST
        chosen.set("train.steps", steps, f"enough for {size:,} cells, where measured")
    elif len(found.columns) > BROAD:
        steps = max(LEAST, 100 * (MOST * BROAD // len(found.columns) // 100))
        reason = f"some fifteen minutes of {len(found.columns)} columns on two cores"
        chosen.set("train.steps", steps, reason)
    holes = _holes(found)
    if holes:
        chosen.reasons.append(f"{holes:,} of {size:,} cells are missing, and count nowhere")
    chosen.reasons += advice_of(found)
    _hold_out(chosen, len(found.raw))
    return chosen


@dataclass(frozen=True)
class Columns:
    """The columns of a table that can be learned: `names`, the noise that each needs, how many whole rows.

    `left` are the others.
    """

    names: list[str]
    widths: list[float]
    rows: int
    left: list[str]

    @property
    def reason(self) -> str:
        """Why these."""
        kept = f"its {len(self.names)} columns of numbers"
        if not self.left:
            return kept
        return f"{kept}; left out, as they are words, empty, or never vary: {', '.join(self.left)}"


def columns_of(frame: Any, labels: str | None, where: str) -> Columns:
    """Those of a DataFrame that are numbers, not empty, and vary, but for the labels.

    Raises RecipeError if there are none, or fewer than two rows without a missing value.
    """
    words = [str(name) for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    empty = [str(name) for name in frame.columns if not frame[name].notna().any()]
    names = [str(name) for name in frame.columns if str(name) not in (*words, *empty, labels)]
    if not names:
        raise RecipeError(f"{where}: no column is of numbers ({', '.join((words + empty)[:5])})")
    values = numbers_of(frame, names, None, where).dropna().to_numpy(np.float64)
    if len(values) < 2:
        raise RecipeError(f"{where}: {len(values)} rows without a missing value; give 2 or more")
    infinite = [name for name, column in zip(names, values.T, strict=True) if not np.isfinite(column).all()]
    if infinite:
        raise RecipeError(f"{where}: column {infinite[0]} has infinite values; correct or remove them")
    widths, constant = noise_of(torch.tensor(values))
    kept = [number for number in range(len(names)) if number not in constant]
    if not kept:
        raise RecipeError(f"{where}: no column of numbers ever varies")
    left = list(dict.fromkeys(words + empty)) + [names[number] for number in constant]
    return Columns([names[n] for n in kept], [widths[n] for n in kept], len(values), left)


def _of_array(path: Path, labels: str | None) -> Choice:
    array, data = _read(path, labels)
    if array.ndim < 2 or not array.size:
        raise RecipeError(
            f"{path}: shape {array.shape}; the first axis counts examples, the others are theirs"
        )
    levels, why = _levels(array)
    pictures = array.ndim == 4 or (array.ndim == 3 and levels is not None)
    if levels is None:
        chosen = _begin("images" if pictures else "vectors", data, f"numbers, shape {array.shape[1:]} each")
        sample = np.array(array[: _rows(array)])
        sample = sample if sample.dtype in (np.float32, np.float64) else sample.astype(np.float64)
        widths, _ = noise_of(torch.from_numpy(sample))
        _spaced(chosen, widths)
    elif levels == 2:
        chosen = _begin("bits", data, "all values are 0 or 1")
        chosen.node["data"]["levels"] = 2
    elif levels <= SYMBOLS and array.ndim == 2:
        chosen = _begin("symbols", data, f"vectors of {levels} values, taken for symbols without an order")
        chosen.node["data"]["levels"] = chosen.node["kernel"]["symbols"] = levels
    else:
        chosen = _begin("images" if pictures else "vectors", data, f"shape {array.shape[1:]} each")
        chosen.set("data.levels", levels, why)
        if levels != 256 or not pictures:
            chosen.set(
                "kernel.schedule.first", first_logsnr(levels), "where the noise is about as wide as a level"
            )
    if array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        chosen.set("data.channels_last", True, f"shape {array.shape[1:]} ends with the channels")
    if labels is not None:
        chosen.set("condition", "labels", f"examples are given what {labels} says")
    _hold_out(chosen, len(array))
    return chosen


def _read(path: Path, labels: str | None) -> tuple[Found, dict[str, Any]]:
    """The array, and the node of its source."""
    data: dict[str, Any] = {"kind": "array", "path": str(path)}
    data |= {} if labels is None else {"labels": labels}
    if path.suffix.lower() == ".npy":
        return read_npy(path), data
    names = npz_names(path)
    for name in ("train", "x_train"):
        if name in names:
            return read_npz(path, name), data
    examples = [name for name in names if name != labels and not name.startswith(("y", GIVEN))]
    if len(examples) != 1:
        raise RecipeError(f"{path}: holds arrays {', '.join(names)}; choose one: data.key=NAME with a recipe")
    return read_npz(path, examples[0]), data | {"key": examples[0]}


def _levels(array: Found) -> tuple[int | None, str]:
    """How many levels the values are, if they are whole numbers from 0 on, and why."""
    values = array[: _rows(array)]
    if array.dtype.kind == "b":
        return 2, ""
    if array.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        return None, ""
    low, high = (float(end(array)) for end in (np.min, np.max))
    if low < 0 or high >= 65536 or high < 1 or high != high // 1:
        return None, ""
    top = int(high)
    byte = array.dtype == np.uint8 and 2 * (top + 1) > 256
    levels = 256 if byte else max(2, top + 1 if top < 256 else 2 ** top.bit_length())
    return levels, f"whole numbers {low:g} to {high:g}"


def _rows(array: Found) -> int:
    return max(2, LOOKED // max(1, math.prod(array.shape[1:])))


def _spaced(chosen: Choice, widths: list[float]) -> None:
    """Noise where values repeat or go in steps."""
    if any(widths):
        same = len(set(widths)) == 1
        reason = "values that repeat or go in steps get uniform noise so wide, or they had no density"
        chosen.set("data.spacing", widths[0] if same else widths, reason)


def _hold_out(chosen: Choice, examples: int) -> None:
    """A tenth for reports, at most so many."""
    if examples > 10 * KEPT:
        chosen.set("data.test", KEPT / examples, f"{KEPT:,} examples are held out for reports")


def _begin(recipe: str, data: dict[str, Any], reason: str) -> Choice:
    node = read(recipe)
    return Choice(node | {"data": data}, [f"recipe {recipe}: {reason}"])


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:57]}.."
