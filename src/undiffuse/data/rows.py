"""Examples that stay where they are until they are asked for, by number.

What trains or evaluates asks `Examples` for a slice or a tensor of row numbers and gets a tensor of those
rows; whether the rest is in memory, in a file that is mapped, or in pictures to decode makes no difference.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from undiffuse.tensors import dims

GIGABYTE = 10**9
CHUNK = 2**22  # values read at a time by what goes through all of them


class Rows(ABC):
    """Examples ``(N, *shape)`` of one dtype outside of memory.

    Args:
        shape: ``(N, *shape)``.
        dtype: of every value.
        workers: processes that read batches ahead while training; 0 reads them in the training process.
        skipped: if given, what cannot be read is skipped: its name and why go in here.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        workers: int = 0,
        skipped: dict[str, str] | None = None,
    ) -> None:
        self.shape, self.dtype, self.workers, self.skipped = shape, dtype, workers, skipped

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """The examples of a slice, or of a tensor of row numbers in its order."""
        return self.read(range(len(self))[rows] if isinstance(rows, slice) else rows.tolist())

    @abstractmethod
    def read(self, rows: Sequence[int]) -> Tensor:
        """The examples of these numbers, ``(len(rows), *shape)``."""

    def order(self) -> Tensor:
        """All row numbers, in the order in which they are read fastest."""
        return torch.arange(len(self))


class Chosen(Rows):
    """Some rows of others, by their numbers `index` (M,), read when asked for."""

    def __init__(self, rows: Rows, index: Tensor) -> None:
        super().__init__((len(index), *rows.shape[1:]), rows.dtype, rows.workers, rows.skipped)
        self.rows, self.index = rows, index

    def read(self, rows: Sequence[int]) -> Tensor:
        """Those of the others."""
        return self.rows[self.index[torch.as_tensor(list(rows), dtype=torch.long)]]

    def order(self) -> Tensor:
        """In the order in which the others are read fastest."""
        rank = torch.empty(len(self.rows), dtype=torch.long)
        rank[self.rows.order()] = torch.arange(len(self.rows))
        return rank[self.index].argsort()


Examples = Tensor | Rows


def chosen_rows(examples: Examples, index: Tensor) -> Examples:
    """Those of these numbers, read when asked for if the others are."""
    return Chosen(examples, index) if isinstance(examples, Rows) else examples[index]


def held(rows: Rows, other: Rows, gigabytes: float) -> tuple[Examples, Examples]:
    """Both in memory if together they take at most so many GB (10^9 bytes) there, else as they are."""
    size = sum(dims(each.shape) * each.dtype.itemsize for each in (rows, other))
    return (rows[:], other[:]) if size <= gigabytes * GIGABYTE else (rows, other)


def check_memory(gigabytes: float) -> float:
    """`gigabytes` itself. Raises ValueError if it is negative or not a number."""
    if not gigabytes >= 0:
        raise ValueError(f"memory={gigabytes} must be a number of GB, 0 or more; try data.memory=1")
    return gigabytes


def check_workers(workers: int) -> int:
    """`workers` itself. Raises ValueError unless it is 0 to 256."""
    if not 0 <= workers <= 256:
        raise ValueError(f"workers={workers} must be from 0 to 256; try data.workers=2")
    return workers


def chunks(examples: Examples) -> Iterator[Tensor]:
    """All examples, a few million values at a time, in the order in which they are read fastest."""
    if isinstance(examples, Rows):
        yield from (examples[rows] for rows in torch.split(examples.order(), _many(examples)))
    else:
        yield from torch.split(examples, _many(examples))


def spans(examples: Examples) -> Iterator[slice]:
    """All row numbers in order, a few million values at a time."""
    size = _many(examples)
    yield from (slice(begin, begin + size) for begin in range(0, len(examples), size))


def _many(examples: Examples) -> int:
    return max(1, CHUNK // max(dims(tuple(examples.shape[1:])), 1))


def sample_of(examples: Examples, values: int) -> Tensor:
    """All examples, or at even distances, from the first to the last, as many as have so many values.

    At least two, if there are two.
    """
    count = min(len(examples), max(2, values // max(dims(tuple(examples.shape[1:])), 1)))
    if count == len(examples):
        return examples[:]
    return examples[torch.linspace(0, len(examples) - 1, count, dtype=torch.float64).round().long()]


def ends(examples: Examples) -> tuple[float, float]:
    """The least and the largest value of all examples."""
    pairs = [(float(low), float(high)) for low, high in (chunk.aminmax() for chunk in chunks(examples))]
    return min(low for low, _ in pairs), max(high for _, high in pairs)
