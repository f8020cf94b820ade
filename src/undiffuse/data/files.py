"""Reading files that may be damaged or hostile: sizes are checked before anything is allocated."""

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**20
SLACK = 2**26  # 64 MiB: what any file may expand to; small files of zeros compress a thousandfold
RATIO = 100  # beyond the slack; real data sets stay far below


def plain_path(path: str | Path) -> Path:
    """`path` with ``~`` expanded: a shell leaves it alone in ``data.path=~/photos``."""
    return Path(path).expanduser()


def files_below(path: Path) -> list[Path]:
    """This file, or every file in this folder and below that is not hidden, in the order of their names."""
    if not path.is_dir():
        return [path]
    found = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return [found[name] for name in sorted(found) if not any(p.startswith(".") for p in name.split("/"))]


def existing(path: str | Path, what: str) -> Path:
    """The path, if there is something.

    Raises:
        FileNotFoundError: otherwise, saying what was expected.
        ValueError: for a pipe or a device, which would have to be waited for.
    """
    path = plain_path(path)
    if not path.exists():
        moved = "if those of a run have moved: --data-dir WHERE, or once for all "
        moved += "undiffuse train --resume RUN --data-dir WHERE"
        raise FileNotFoundError(f"nothing at {path}; set data.path to {what}; {moved}")
    if not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: a pipe or a device; set data.path to {what}")
    return path


def check_expansion(path: Path, declared: int, limit: int) -> None:
    """Refuse a compressed file that claims to hold far more than its own size.

    Raises:
        ValueError: if `declared` bytes exceed the limit, or 64 MiB and a hundred times the file.
    """
    stored = path.stat().st_size
    if declared > limit:
        raise ValueError(f"{path} declares {declared:,} bytes; the limit is {limit:,}: divide the file")
    if declared > SLACK + RATIO * stored:
        raise ValueError(
            f"{path} is {stored:,} bytes but declares {declared:,}: refused as a decompression "
            f"bomb; if you trust it, save it again uncompressed"
        )


def read_exactly(stream: IO[bytes], count: int, path: Path) -> NDArray[np.uint8]:
    """The next `count` bytes, in blocks, so that a stream that ends early costs little memory.

    Raises:
        ValueError: if there are fewer bytes.
    """
    data = np.empty(count, np.uint8)
    done = 0
    while done < count:
        block = stream.read(min(BLOCK, count - done))
        if not block:
            raise ValueError(f"{path} ends after {done:,} of {count:,} bytes: it is cut short")
        data[done : done + len(block)] = np.frombuffer(block, np.uint8)
        done += len(block)
    return data
