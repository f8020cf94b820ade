"""What tells whether the files of a data set are those that a run began with.

Every file counts with its name and size; up to a few hundred of them, chosen by their names, also with
a hash of some of their contents: all of a small file, blocks spread over a large one. So a file that was
added, removed or changed in size is always found; one of the same size only if its block was looked at.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from undiffuse.random import digest

BLOCK = 4096  # bytes
BLOCKS = 16  # of a file, and one more for every 64 MiB of it
SPREAD = 2**26
SAMPLED = 512  # files whose contents are looked at
NAMED = 3  # changes that a message names

Fingerprint = dict[str, str]  # of each file: its name, and its size with the hash of its sample


def fingerprint_of(files: Sequence[Path], path: Path | None = None) -> Fingerprint:
    """Name: size, and hash if it was sampled, of each of these files.

    Names are relative to `path` if that is a folder, else to the folder that all of them are in.
    """
    if not files:
        return {}
    inside = path is not None and path.is_dir()
    root = str(path) if inside else os.path.commonpath([file.parent for file in files])
    names = {os.path.relpath(file, root): file for file in files}
    sampled = set(sorted(names, key=lambda name: digest("data", os.fsencode(name).hex()))[:SAMPLED])
    return {name: _entry(names[name], name in sampled) for name in sorted(names)}


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What happened to which file, one line each; empty if nothing."""
    lines = [f"{name} was added" for name in now.keys() - then.keys()]
    lines += [f"{name} was removed" for name in then.keys() - now.keys()]
    lines += [f"{name} was changed" for name in then.keys() & now.keys() if _differ(then[name], now[name])]
    return sorted(lines)


def summary(lines: Sequence[str]) -> str:
    """The first few of such lines, and how many there are."""
    more = f" and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
    return ", ".join(lines[:NAMED]) + more


def _differ(one: str, other: str) -> bool:
    """Whether two entries cannot be of the same contents; a hash counts only if both have one."""
    (size, _, hashed), (size_now, _, hashed_now) = one.partition(" "), other.partition(" ")
    return size != size_now or (bool(hashed and hashed_now) and hashed != hashed_now)


def _entry(file: Path, sampled: bool) -> str:
    size = file.stat().st_size
    return f"{size} {_sample(file, size)}" if sampled else f"{size}"


def _sample(file: Path, size: int) -> str:
    """A hash of the whole file, or of blocks from its first to its last, evenly spread."""
    total = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        for offset in _offsets(size):
            stream.seek(offset)
            total.update(stream.read(BLOCK))
    return total.hexdigest()


def _offsets(size: int) -> Iterator[int]:
    count = BLOCKS + size // SPREAD
    if size <= count * BLOCK:
        yield from range(0, size, BLOCK)
    else:
        yield from ((size - BLOCK) * i // (count - 1) for i in range(count))
