"""The .und file: a header that says everything, then chunks; each with a CRC-32. docs/format.md has every
byte.

Everything is checked before it is used, and nothing is allocated because a file says so.
"""

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from undiffuse.codec.chain import Plan, evenly
from undiffuse.codec.fields import Reader, Writer, crc
from undiffuse.tensors import dims

MAGIC, VERSION = b"\x89UND\r\n\x1a\n", 1
NUMERICS = 1  # float64, with the encoder's side of every close call
CODERS = {1: "lossless", 2: "universal", 3: "channel"}
PROGRESSIVE = (2, 3)  # coders whose first chunks are good for something alone
HEADER, EXTRA = 2**24, 2**20  # bytes at most
RANK, SIDE, TIMES = 8, 2**24, 2**16  # dimensions, values in one, latent times at most
MOST_KNOTS = 64  # codes to a step
VALUES = 2**26  # data values in a file, unless the reader allows more


@dataclass(frozen=True)
class Header:
    """What a file holds: `count` examples of `shape` with `levels` levels, coded on `plan`'s chain.

    `model` and `canary` are of the model and of its predictions (`identity`); `digest` of the examples'
    numbers; `extra` is the caller's own. `chunks` are (examples, bytes) of each.
    """

    coder: int
    model: bytes
    canary: bytes
    shape: tuple[int, ...]
    levels: int
    plan: Plan
    count: int
    digest: bytes
    chunks: tuple[tuple[int, int], ...]
    extra: bytes = field(default=b"", repr=False)


def pack(header: Header, chunks: list[bytes]) -> bytes:
    """The file. Raises ValueError for more than the caller may keep in it."""
    if len(header.extra) > EXTRA:
        raise ValueError(f"{len(header.extra):,} bytes of names and sizes, where a file keeps {EXTRA:,}")
    out = Writer()
    out.numbers((header.coder, NUMERICS))
    out.raw(header.model + header.canary)
    out.numbers((len(header.shape), *header.shape, header.levels, header.count))
    _pack_plan(out, header.plan)
    out.raw(header.digest)
    out.block(header.extra)
    out.number(len(chunks))
    for (examples, _), chunk in zip(header.chunks, chunks, strict=True):
        out.numbers((examples, len(chunk)))
        out.raw(crc(chunk))
    head = bytes([VERSION]) + len(out.bytes).to_bytes(4, "little") + bytes(out.bytes)
    return b"".join([MAGIC, head, crc(head), *chunks])


def header_bytes(coder: int, shape: tuple[int, ...], levels: int, plan: Plan, count: int, chunks: int) -> int:
    """Bytes before the first chunk, but for what the caller keeps there, and for long chunks' lengths."""
    none, each = bytes(8), ((count, 2**14),) * chunks
    return len(pack(Header(coder, none, none, shape, levels, plan, count, none, each), [b""] * chunks))


def unpack(data: bytes, values: int = VALUES, bits: float | None = None) -> tuple[Header, list[bytes]]:
    """Header and chunks. Of a progressive file only those that are there in full, and within `bits` a value.

    Raises ValueError, in one line, for anything else than a file of this version, undamaged and of at most
    so many data values.
    """
    start = len(MAGIC) + 5
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("no .und file: it does not begin like one")
    if len(data) < start:
        raise ValueError("cut off within its header")
    if data[len(MAGIC)] != VERSION:
        raise ValueError(f"a .und file of version {data[len(MAGIC)]}; this program reads version {VERSION}")
    end = start + int.from_bytes(data[start - 4 : start], "little")
    if end - start > HEADER:
        raise ValueError(f"a header of {end - start} bytes, where {HEADER} are allowed")
    if len(data) < end + 4:
        raise ValueError("cut off within its header")
    if crc(data[len(MAGIC) : end]) != data[end : end + 4]:
        raise ValueError("damaged: the header's checksum is wrong")
    try:
        header, sums = _header(Reader(data[start:end]), values)
    except ValueError as error:
        raise ValueError(f"not a header this program can use: {error}") from error
    body = data[end + 4 :]
    if bits is None:
        return header, _chunks(body, header, sums)
    if header.coder not in PROGRESSIVE or not bits >= 0:
        raise ValueError(f"bits={bits:g}: a number above 0, of a file that was made with --lossy")
    read = min(len(body), bits * header.count * dims(header.shape) / 8)
    return header, _chunks(body[: int(read)], header, sums)


def digest_of(numbers: np.ndarray) -> bytes:
    """What the header keeps of the examples: 8 bytes of their SHA-256, two bytes a number."""
    return hashlib.sha256(numbers.astype("<u2").tobytes()).digest()[:8]


def _header(read: Reader, values: int) -> tuple[Header, list[bytes]]:
    coder, numerics = read.numbers(2, 255)
    if coder not in CODERS or numerics != NUMERICS:
        raise ValueError(f"coder {coder} with numerics {numerics}, unknown to this version")
    model, canary = read.raw(8), read.raw(8)
    shape = tuple(read.numbers(read.number(RANK, 1), SIDE, 1))
    levels = read.number(2**16, 2)
    count = read.number(2**48, 1)
    if dims(shape) > SIDE or count * dims(shape) > values:
        raise ValueError(f"{count} examples of {dims(shape)} values, more than the {values} allowed")
    plan = _plan(read)
    digest, extra = read.raw(8), read.block(EXTRA)
    chunks, sums = [], []
    for _ in range(read.number(2**20, 1)):
        chunks.append((read.number(count), read.number(2**40)))
        sums.append(read.raw(4))
    read.end()
    _check_chunks(coder, count, len(plan.places), [examples for examples, _ in chunks])
    made = Header(coder, model, canary, shape, levels, plan, count, digest, tuple(chunks), extra)
    return made, sums


def _check_chunks(coder: int, count: int, steps: int, chunks: list[int]) -> None:
    """Raise ValueError unless the chunks hold every example once, or at every step."""
    whole = chunks == [count] * steps if coder in PROGRESSIVE else min(chunks) > 0 and sum(chunks) == count
    if not whole:
        raise ValueError("its chunks are not of its examples")


def _pack_plan(out: Writer, plan: Plan) -> None:
    steps = len(plan.places)
    even = plan.places == evenly(plan.base, steps)
    out.numbers((plan.base, plan.resolution, steps, even))
    if not even:
        out.numbers((plan.places[0], *(b - a for a, b in pairwise(plan.places))))
    out.number(len(plan.codes[0]) if plan.codes else 0)
    for row in plan.codes:
        out.raw(bytes(row))


def _plan(read: Reader) -> Plan:
    base, resolution = read.number(TIMES, 1), read.number(64, 1)
    steps = read.number(base, 1)
    places = list(evenly(base, steps)) if read.number(1) else [read.number(base - 1)]
    while len(places) < steps:
        places.append(places[-1] + read.number(base, 1))
    if places[-1] != base - 1:
        raise ValueError("the chain's latent times do not end where they should")
    knots = read.number(MOST_KNOTS)
    codes = tuple(tuple(read.raw(knots)) for _ in places) if knots else ()
    return Plan(base, tuple(places), codes, resolution)


def _chunks(data: bytes, header: Header, sums: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    place = 0
    for number, ((_, length), expected) in enumerate(zip(header.chunks, sums, strict=True), 1):
        chunk = data[place : place + length]
        place += length
        if len(chunk) < length and header.coder in PROGRESSIVE:
            return found
        if len(chunk) < length:
            raise ValueError(f"cut off within chunk {number} of {len(sums)}")
        if crc(chunk) != expected:
            raise ValueError(f"damaged: the checksum of chunk {number} of {len(sums)} is wrong")
        found.append(chunk)
    if place != len(data):
        raise ValueError(f"damaged: {len(data) - place} bytes too many at its end")
    return found
