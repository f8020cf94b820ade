"""Files that nobody made: damaged ones, and hostile ones whose checksums are right. Seeded.

As a program, `python tests/damage.py COUNT [SEED]`, it decodes so many hostile files under a limit of memory.
"""

import resource
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compressors import SYMBOLS, gaussian, pictures
from undiffuse import codec
from undiffuse.codec.chunk import Chunk
from undiffuse.codec.container import MAGIC, pack, unpack
from undiffuse.codec.fields import crc
from undiffuse.model import Denoiser
from undiffuse.schedules import grids

GRID, PLAN = grids.uniform(6), codec.Plan(6, (1, 3, 5))
EXTRA_MEMORY = 64 * 2**20
SECONDS = 1.0  # of the processor's time for one file
VALUES = 2**12  # that a hostile file may claim: what is decoded takes time in proportion

Base = tuple[Denoiser, Tensor, bytes]  # a model, examples, their file


def bases() -> list[Base]:
    """A small file of every method, and one of bits and one of symbols."""
    found = []
    for method in codec.METHODS:
        x = pictures(3, 1, 2, 3)
        found.append((gaussian(), x, codec.compress(gaussian(), x, method=method, grid=GRID, plan=PLAN)))
    for name in ("bits", "absorbing"):
        model = SYMBOLS[name]()
        x = pictures(9, 3, levels=model.kernel.symbols)
        found.append((model, x, codec.compress(model, x, grid=GRID, plan=PLAN)))
    return found


def damaged(data: bytes, r: np.random.Generator) -> bytes:
    """A flip, a cut, a span that is lost, doubled, moved or zeroed; once or a few times; never the same."""
    found = data
    while found == data:
        for _ in range(1 + int(r.random() < 0.3)):
            a, b = sorted(r.integers(0, len(found) + 1, 2).tolist())
            at = int(r.integers(0, len(found) + 1))
            kind = r.integers(0, 8)
            if kind < 3 and at < len(found):
                found = found[:at] + bytes([found[at] ^ (1 << int(r.integers(8)))]) + found[at + 1 :]
            elif kind == 3:
                found = found[:a]
            elif kind == 4:
                found = found[:a] + found[b:]
            elif kind == 5:
                found = found[:b] + found[a:]
            elif kind == 6:
                found = found[:at] + found[a:b] + found[at:]
            else:
                found = found[:a] + bytes(b - a) + found[b:]
            found = found or data
    return found


def prefixes(base: Base) -> list[Tensor]:
    """What a progressive file gives that is cut off after every chunk, the whole file apart."""
    model, _, data = base
    header, parts = unpack(data)
    if not codec.METHODS[codec.CODERS[header.coder]].progressive:
        return []
    ends = len(data) - np.cumsum([0, *map(len, parts[::-1])])[1:]
    return [codec.decompress(model, data[:end], grid=GRID) for end in ends.tolist()]


def try_damaged(count: int, seed: int = 0) -> Counter:
    """How so many damaged files end; AssertionError for one that is silently wrong."""
    r, ends, made = np.random.default_rng(seed), Counter(), bases()
    known = [prefixes(base) for base in made]
    for number in range(count):
        model, _, data = made[number % len(made)]
        mutant = damaged(data, r)
        try:
            found = codec.decompress(model, mutant, grid=GRID)
        except ValueError as error:
            assert "\n" not in str(error)
            ends["refused"] += 1
            continue
        assert any(torch.equal(found, part) for part in known[number % len(made)]), f"seed {seed}: {number}"
        ends["prefix"] += 1
    return ends


def hostile(data: bytes, r: np.random.Generator) -> bytes:
    """A file with right checksums and something else in it."""
    header, parts = unpack(data)
    if r.random() < 0.3:
        return _repaired(data, r)
    for _ in range(1 + int(r.random() < 0.5)):
        header = replace(header, **_field(header, r))
    chunks = [_chunk(len(part), r) if r.random() < 0.8 else part for part in parts]
    if r.random() < 0.15:
        chunks = chunks[: int(r.integers(1, len(chunks) + 1))] * int(r.integers(1, 4))
    counts = [header.count] * len(chunks) if r.random() < 0.8 else r.integers(0, 2**16, len(chunks)).tolist()
    return pack(replace(header, chunks=tuple((count, 0) for count in counts)), chunks)


def _field(header: codec.Header, r: np.random.Generator) -> dict:
    """One field that the file lies about; often none."""
    steps = int(r.integers(1, 7))
    places = (*sorted(r.choice(5, steps - 1, replace=False).tolist()), 5)
    knots = int(r.choice([0, 1, 2, 7, 64]))
    codes = tuple(map(tuple, r.integers(0, 256, (steps, knots)).tolist())) if knots else ()
    wild = int(2 ** r.uniform(0, 50))
    return {
        0: {},
        1: {"count": min(wild, 2**47)},
        2: {"shape": tuple(np.minimum(2 ** r.integers(0, 25, int(r.integers(1, 9))), 2**24).tolist())},
        3: {"levels": int(r.integers(2, 65537))},
        4: {"plan": codec.Plan(6, places, codes, int(r.integers(1, 65)))},
        5: {"plan": codec.Plan(int(r.integers(6, 60000)), places, codes)},
        6: {"coder": int(r.integers(0, 5))},
        7: {"extra": r.bytes(int(r.integers(0, 300)))},
        8: {"count": int(r.integers(1, 2000))},
        9: {"digest": r.bytes(8)},
        10: {},
    }[int(r.integers(11))]


def _chunk(size: int, r: np.random.Generator) -> bytes:
    """Words and close calls of any kind."""
    words = r.integers(0, 2**32, int(r.integers(0, size + 20)), dtype=np.uint64).astype(np.uint32)
    words[: int(r.integers(0, len(words) + 1))] = r.choice([0, 1, 2**32 - 1])
    sides = {
        int(call): {int(place): bool(r.integers(2)) for place in r.integers(0, 30, 3)}
        for call in r.integers(0, 40, int(r.choice([0, 0, 0, 1, 5])))
    }
    spare = int(r.choice([0, 1, 40, 2**14, 2**26]))
    return r.bytes(int(r.integers(0, 60))) if r.random() < 0.2 else Chunk(1, words, spare, sides).pack()


def _repaired(data: bytes, r: np.random.Generator) -> bytes:
    """A header with any bytes changed, its checksum put right."""
    start = len(MAGIC) + 5
    end = start + int.from_bytes(data[start - 4 : start], "little")
    head = bytearray(data[len(MAGIC) : end])
    for _ in range(int(r.integers(1, 5))):
        place = int(r.integers(5 + 26, len(head)))  # what comes after the model's hash and the canary
        head[place] = int(r.choice([0, 1, 127, 128, 255, int(r.integers(256))]))
    return data[: len(MAGIC)] + bytes(head) + crc(bytes(head)) + data[end + 4 :]


def try_hostile(count: int, seed: int = 0) -> Counter:
    """How so many hostile files end: refused, read (as what they were, or as a prefix), and the slowest."""
    r, ends, made = np.random.default_rng(seed), Counter(), bases()
    for number in range(count):
        model, x, data = made[number % len(made)]
        made_up, before = hostile(data, r), time.process_time()
        shape = tuple(x.shape[1:]) if r.random() < 0.7 else None
        try:
            found = codec.decompress(model, made_up, grid=GRID, shape=shape, values=VALUES)
            ends["read"] += 1
            assert found.numel() <= VALUES
        except ValueError as error:
            assert "\n" not in str(error), error
            ends["refused"] += 1
        took = time.process_time() - before
        assert took < SECONDS, f"seed {seed}, file {number}: {took:.1f} s"
    return ends


def main() -> None:
    """COUNT hostile files in `EXTRA_MEMORY` more memory than the process has when it has made its files."""
    count, seed = (int(word) for word in [*sys.argv[1:], "0"][:2])
    try_hostile(20, seed + 1)  # everything is imported and warm
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + EXTRA_MEMORY, size + EXTRA_MEMORY))
    print(dict(try_hostile(count, seed)))


if __name__ == "__main__":
    main()
