"""A chunk's bytes: the close calls of rounding, the spare words below a stack, and the coder's words."""

from dataclasses import dataclass, field

import numpy as np

from undiffuse.codec.fields import Reader, Writer
from undiffuse.codec.rounding import Sides

MOST = 2**40


@dataclass(frozen=True)
class Chunk:
    """`count` examples: the coder's `words` (uint32) above `spare` of the fixed stream."""

    count: int
    words: np.ndarray
    spare: int = 0
    sides: Sides = field(default_factory=dict)

    def pack(self) -> bytes:
        """spare, then call after call its number less the last one's and its places, then the words."""
        out, last = Writer(), 0
        out.numbers((self.spare, len(self.sides)))
        for call, places in sorted(self.sides.items()):
            out.numbers((call - last, len(places)))
            out.numbers(2 * place + up for place, up in places.items())
            last = call
        return bytes(out.bytes) + self.words.astype("<u4").tobytes()

    @classmethod
    def unpack(cls, count: int, data: bytes) -> "Chunk":
        """What `pack` made. Raises ValueError for anything else."""
        read, sides, call = Reader(data), {}, 0
        spare = read.number(2**26)
        for _ in range(read.number(len(data))):
            call += read.number(MOST)
            places = read.numbers(read.number(len(data)), MOST)
            sides[call] = {place // 2: bool(place % 2) for place in places}
        rest = read.rest()
        if len(rest) % 4:
            raise ValueError("it is not made of whole words")
        return cls(count, np.frombuffer(rest, "<u4").astype(np.uint32), spare, sides)
