"""The members of a tar file, from its headers alone: each is checked before the next one is looked for.

The standard library parses a header's block; where the next one is, it takes from sizes that may be negative
(and then never ends), a damaged header ends its list in silence, and some extended headers take it quadratic
time. Here the walk only goes forward, must arrive at the end blocks, and says where it could not.

Reference: POSIX.1-2017, pax, "ustar Interchange Format", "pax Extended Header"; GNU tar, "Basic Tar Format".
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BLOCK = tarfile.BLOCKSIZE
EXTENDED_LIMIT = 2**20  # bytes of an extended header; real ones hold a name and a few numbers
PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
NO_DATA = (  # whatever their size says
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE),
)
BROKEN = "backslashreplace"  # what is done with names that are no UTF-8
Records = dict[str, str]  # of an extended header: keyword, value


@dataclass(frozen=True)
class Header:
    """A member: its full name, where its bytes are, and whether they are those of a plain file.

    A sparse file is a plain one whose bytes are not its contents.
    """

    name: str
    offset: int
    size: int
    plain: bool
    sparse: bool


def headers_of(path: Path) -> Iterator[Header]:
    """Every member of an uncompressed tar file, in order; nothing of their contents is read.

    Raises:
        ValueError: naming the byte at which the file is damaged, and the member before it.
    """
    total, at, last = path.stat().st_size, 0, ""
    shared: Records = {}
    with path.open("rb", buffering=0) as file:
        while True:
            try:
                found = _member(file, at, total, shared)
            except (tarfile.TarError, ValueError) as error:
                raise ValueError(_said(path, at, last, error)) from error
            if found is None:
                return
            header, at = found
            last = header.name
            yield header


def name_at(path: Path, offset: int) -> str:
    """What the header calls the member whose bytes begin at this offset.

    Raises:
        ValueError: if there is no such header, since the file was changed.
    """
    with path.open("rb") as file:
        try:
            return _block(file, offset - BLOCK).name
        except (tarfile.TarError, ValueError) as error:
            raise ValueError(f"{path} was changed since its headers were read ({error})") from error


def _member(file: IO[bytes], at: int, total: int, shared: Records) -> tuple[Header, int] | None:
    """The member whose headers begin here, and where the next one's do; None at the end of the file.

    `shared` are records that hold for all members from where they stand; they are added to it.
    """
    own: Records = {}
    while True:
        try:
            info = _block(file, at)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros
            if own:
                raise ValueError("an extended header that no member follows") from None
            _check_end(file, at, total)
            return None
        at += BLOCK
        if info.type not in (*PAX, *LONG):
            return _plain(file, info, at, total, shared | own)
        data = _extended(file, info.size)
        if info.type in PAX:
            (shared if info.type == tarfile.XGLTYPE else own).update(_records(data))
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            own["path"] = data.partition(b"\0")[0].decode("utf-8", BROKEN)
        at += _blocks(info.size)


def _plain(
    file: IO[bytes], info: tarfile.TarInfo, at: int, total: int, records: Records
) -> tuple[Header, int]:
    """The member of this header, whose bytes begin here unless its sparse map does."""
    name = records.get("GNU.sparse.name", records.get("path", info.name))
    size = _number(records["size"]) if "size" in records else info.size
    if size < 0:
        raise ValueError(f"{name} has {size:,} bytes")
    sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in records)
    if info.type == tarfile.GNUTYPE_SPARSE:
        at += _map(file, at)
    stored = 0 if info.type in NO_DATA else size
    if at + stored > total:
        raise ValueError(
            f"{name} goes {at + stored - total:,} bytes beyond the end of the file: it is cut short"
        )
    return Header(name, at, size, info.isreg(), sparse), at + _blocks(stored)


def _block(file: IO[bytes], at: int) -> tarfile.TarInfo:
    """The header here. Raises EOFHeaderError for a block of zeros, ValueError for another that is none."""
    file.seek(at)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise ValueError("the file ends without the end blocks of a tar file: it is cut short")
    return tarfile.TarInfo.frombuf(block, "utf-8", BROKEN)


def _extended(file: IO[bytes], size: int) -> bytes:
    """The bytes of an extended header, which follow here."""
    if not 0 <= size <= EXTENDED_LIMIT:
        raise ValueError(f"an extended header of {size:,} bytes; the limit is {EXTENDED_LIMIT:,}")
    data = file.read(size)
    if len(data) < size:
        raise ValueError("an extended header goes beyond the end of the file: it is cut short")
    return data


def _records(data: bytes) -> Records:
    r"""Keywords and values of records "LENGTH KEYWORD=VALUE\n", where LENGTH counts all of the record."""
    found, at = {}, 0
    while at < len(data):
        length, _, _ = data[at : at + 20].partition(b" ")
        end = at + _number(length.decode("latin-1"))
        keyword, equals, value = data[at + len(length) + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(data):
            raise ValueError("an extended header that is no list of keywords and values")
        found[keyword.decode("utf-8", BROKEN)] = value[:-1].decode("utf-8", BROKEN)
        at = end
    return found


def _map(file: IO[bytes], at: int) -> int:
    """How many bytes the rest of a sparse file's map takes, which follows its header in blocks."""
    file.seek(at - BLOCK)
    more, length = file.read(BLOCK)[482], 0
    while more:
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise ValueError("a sparse file's map goes beyond the end of the file: it is cut short")
        more, length = block[504], length + BLOCK
    return length


def _check_end(file: IO[bytes], at: int, total: int) -> None:
    """Refuse a file that does not end here with two blocks of zeros, and nothing but zeros after them."""
    if at + 2 * BLOCK > total:
        raise ValueError("one of the two end blocks of a tar file is missing: it is cut short")
    file.seek(at)
    while data := file.read(2**20):
        if data.count(0) < len(data):
            raise ValueError(
                "a block of zeros, which ends a tar file, and more after it: it is overwritten there, or "
                "several were joined"
            )


def _number(text: str) -> int:
    """A size. Raises ValueError for what is no number from 0, or beyond any file's size."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"{text[:40]!r} in the place of a size")
    return int(text)


def _blocks(size: int) -> int:
    """So many bytes, rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _said(path: Path, at: int, last: str, error: Exception) -> str:
    if not at:
        return f"{path} cannot be read as an uncompressed .tar ({error}); unpack .tar.gz, or pack it again"
    lost = "what follows cannot be found: pack it again"
    return f"{path} is damaged at byte {at:,}, after {last}: {error}; {lost}"
