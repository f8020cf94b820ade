"""An index of the samples in tar files, so that any of them can be read by its number.

The format is webdataset's: members that follow one another and share their name up to the first dot of its
last part are one sample, such as ``0001.png`` and ``0001.cls``. webdataset itself reads a shard as a stream,
in an order that depends on the number of workers, and gives no random access: so the headers are read
once here, and the order is ours. An entry takes 28 bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undiffuse.data.headers import headers_of, name_at
from undiffuse.data.pictures import FILE_LIMIT

ENDINGS = ("png", "jpg", "jpeg")
LABEL = "cls"
DIGITS = 18  # bytes of a label: any such number is an int64
ENTRY = np.dtype([("shard", "i4"), ("offset", "i8"), ("size", "i8"), ("label", "i8")])


@dataclass(frozen=True)
class Member:
    """A file in a shard: the sample's key, the rest of its name, and where its bytes are."""

    key: str
    ending: str
    offset: int
    size: int


def index_of(shards: Sequence[Path]) -> NDArray[np.void]:
    """One entry a sample of these shards: shard, offset and size of its picture, and label; -1 without one.

    Raises:
        ValueError: if a shard is damaged or compressed, or a sample has no picture or two, or only some
            have labels.
    """
    parts = [np.array(list(_entries(number, path)), ENTRY) for number, path in enumerate(shards)]
    index = np.concatenate(parts)
    labelled = index["label"] >= 0
    if labelled.any() and not labelled.all():
        path = shards[int(index["shard"][(~labelled).argmax()])]
        raise ValueError(f"{path}: some samples have a .{LABEL} and some have none; give all or none a label")
    return index


def member_name(path: Path, offset: int) -> str:
    """What the member is called whose bytes begin at this offset of a shard."""
    return f"{path}: {name_at(path, offset)}"


def _entries(number: int, path: Path) -> Iterator[tuple[int, int, int, int]]:
    """(shard, offset, size, label) of every sample of one shard."""
    for key, members in groupby(_members(path), lambda member: member.key):
        found = {}
        for member in members:
            if member.ending in found:
                raise ValueError(f"{path}: sample {key!r} has two members .{member.ending}; pack it again")
            found[member.ending] = member
        pictures = [found[ending] for ending in ENDINGS if ending in found]
        if len(pictures) != 1:
            raise ValueError(
                f"{path}: sample {key!r} has {len(pictures)} pictures (.{', .'.join(found)}); each needs one "
                f".{', .'.join(ENDINGS)}"
            )
        label = _label(path, found[LABEL]) if LABEL in found else -1
        yield number, pictures[0].offset, pictures[0].size, label


def _members(path: Path) -> Iterator[Member]:
    """The plain files of a shard in their order; nothing of their contents is read."""
    for header in headers_of(path):
        folder, _, base = header.name.rpartition("/")
        stem, dot, ending = base.partition(".")
        if not header.plain or not stem or not dot:
            continue  # folders, links and hidden files are no samples
        ending = ending.lower()
        if header.sparse and ending in (*ENDINGS, LABEL):
            raise ValueError(
                f"{path}: {header.name} is stored as a sparse file; pack it again without --sparse"
            )
        if header.size > FILE_LIMIT and ending in ENDINGS:
            raise ValueError(f"{path}: {header.name} is {header.size:,} bytes; the limit is {FILE_LIMIT:,}")
        yield Member(f"{folder}/{stem}", ending, header.offset, header.size)


def _label(path: Path, member: Member) -> int:
    with path.open("rb") as file:
        file.seek(member.offset)
        text = file.read(min(member.size, DIGITS)).strip()
    if member.size > DIGITS or not text.isdigit():
        raise ValueError(f"{path}: the label of sample {member.key!r} is {text!r}, not a number from 0")
    return int(text)
