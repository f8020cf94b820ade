"""JSON files that may be damaged or hostile: bounded in size and depth, what they lack said in one line."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from undiffuse.files import read_bytes

LARGEST = 2**22  # bytes of a file, unless told: the times' history in a state.json is the longest
DEEPEST = 16  # mappings and lists in one another
WHOLE = 2**63  # whole numbers are smaller: no file of this package needs more


def read_json(path: Path, like: Any, most: int = LARGEST) -> Any:
    """The value in a file, which must look `like` an example (`check`).

    Raises OSError, or ValueError naming the file and the place that is damaged.
    """
    return parsed(read_bytes(path, most), like, str(path))


def read_lines(path: Path, like: Any, most: int) -> list[Any]:
    """The values in the lines of a file; a last line that was cut off is left out. Raises as `read_json`."""
    lines = read_bytes(path, most).split(b"\n")[:-1]
    return [parsed(line, like, f"{path}: line {number}") for number, line in enumerate(lines, 1)]


def parsed(text: bytes, like: Any, where: str) -> Any:
    """The value of a text that stands there."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: damaged, no JSON: {error}") from error
    if deeper(value, DEEPEST):
        raise ValueError(f"{where}: damaged, more than {DEEPEST} lists and mappings in one another")
    try:
        check(value, like)
    except ValueError as error:
        raise ValueError(f"{where}: damaged, {error}") from error
    return value


def check(value: Any, like: Any, at: str = "it") -> None:
    """Raise ValueError, with the place, unless the value looks like the example.

    A mapping has the example's keys, and may have more; a list's elements look like the example's only one;
    a tuple lists alternatives; whole numbers fit into 64 bits; other numbers are finite.
    """
    if isinstance(like, tuple):
        if not any(_fits(value, each) for each in like):
            raise ValueError(f"{at} is {_said(value)}")
    elif isinstance(like, dict) and isinstance(value, dict):
        for key, each in like.items():
            if key not in value:
                raise ValueError(f"{at} has no {key!r}")
            check(value[key], each, f"{key!r}")
    elif isinstance(like, list) and isinstance(value, list):
        for number, each in enumerate(value):
            check(each, like[0], f"element {number} of {at}")
    elif not _plain(value, like):
        raise ValueError(f"{at} is {_said(value)}")


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """What a file's value lacks, where it is put to use, said as `read_json` says it."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path}: damaged, it has no {error.args[0]!r}") from error
    except (TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: damaged, {error}") from error


def deeper(value: Any, levels: int) -> bool:
    """Whether mappings and lists lie deeper in one another than so many levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(deeper(each, levels - 1) for each in inner))


def _fits(value: Any, like: Any) -> bool:
    try:
        check(value, like)
    except ValueError:
        return False
    return True


def _plain(value: Any, like: Any) -> bool:
    """Whether both are of one plain kind; true and false are no numbers."""
    if isinstance(value, bool) or isinstance(like, bool | type(None) | str | list | dict):
        return type(value) is type(like)
    if isinstance(value, int):
        return abs(value) < WHOLE
    return isinstance(like, float) and isinstance(value, float) and math.isfinite(value)


def _said(value: Any) -> str:
    return f"{value!r:.60}" if not isinstance(value, int) or abs(value) < WHOLE else "beyond 64 bits"


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
