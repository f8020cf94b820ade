"""Where the bits of a file go."""

from dataclasses import dataclass

from undiffuse.codec.chunk import Chunk
from undiffuse.codec.container import unpack
from undiffuse.codec.lossless import spare_words
from undiffuse.tensors import dims


@dataclass(frozen=True)
class Account:
    """A file's bits: `total` = `header` + `calls` + `start` + `data`.

    `header` holds shapes, chain and checksums, `calls` the close calls of rounding; `start` is what lay on
    the stack before the first example, and `data` the rest; `values` are the data's.
    """

    total: int
    header: int
    calls: int
    start: int
    data: int
    values: int

    def share(self, bits: float) -> float:
        """Per dimension."""
        return bits / self.values


def account(file: bytes) -> Account:
    """The account of a whole file. Raises ValueError as `unpack` does."""
    header, parts = unpack(file, 2**63)
    chunks = [Chunk.unpack(count, part) for (count, _), part in zip(header.chunks, parts, strict=True)]
    words = sum(len(chunk.words) for chunk in chunks)
    start = sum(spare_words(header.shape) - chunk.spare for chunk in chunks) if header.coder == 1 else 0
    packed = sum(len(part) for part in parts)
    calls = packed - 4 * words
    return Account(
        total=8 * len(file),
        header=8 * (len(file) - packed),
        calls=8 * calls,
        start=32 * start,
        data=32 * (words - start),
        values=header.count * dims(header.shape),
    )
