"""From a set of pictures to training and test data: what every source of pictures lets a recipe choose."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor

from undiffuse.data.decoded import Decoded, Pictures, Skipped
from undiffuse.data.pictures import Header
from undiffuse.data.rows import check_memory, check_workers, held
from undiffuse.data.source import Splits

MAX_SIDE = 4096
Shape = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Loading:
    """How pictures become examples.

    Args:
        size: side of the square, or (height, width), that images are centre-cropped and resized to.
            None keeps their size, which must then be the same for all.
        channels: 1 turns colour into grey, 3 grey into colour; None keeps them, if all have the same.
        memory: up to so many GB of decoded pictures are kept in memory; more are decoded when needed.
        workers: processes that decode ahead while training; 0 decodes in the training process.
        skip_bad: skip pictures that cannot be read, instead of stopping at the first.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    size: int | tuple[int, int] | None = None
    channels: int | None = None
    memory: float = 1.0
    workers: int = 0
    skip_bad: bool = False

    def __post_init__(self) -> None:
        sides = self.sides
        if sides is not None and not (len(sides) == 2 and 0 < min(sides) <= max(sides) <= MAX_SIDE):
            raise ValueError(f"size={self.size}: give data.size=64, or (height, width), to {MAX_SIDE}")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels={self.channels} must be 1 (grey) or 3 (colour)")
        check_memory(self.memory)
        check_workers(self.workers)

    @property
    def sides(self) -> tuple[int, int] | None:
        """(height, width) of the examples, if they are resized."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def splits(self, pictures: Pictures, train: Tensor, test: Tensor, labels: Tensor | None = None) -> Splits:
        """The pictures of these numbers as training and test data with 256 levels.

        Every header is looked at first, to find at once what does not fit; with `skip_bad`, only up to
        the first that can be read.

        Args:
            pictures: where they are.
            train: numbers of the training pictures.
            test: numbers of the test pictures.
            labels: int64, one a picture, or None.
        """
        skipped: Skipped = {}
        shape = self._shape(self._headers(pictures, skipped))
        record = skipped if self.skip_bad else None
        parts = [None if labels is None else labels[numbers] for numbers in (train, test)]
        rows = [
            Decoded(pictures, numbers, shape, self.sides, self.channels, part, record, self.workers)
            for numbers, part in zip((train, test), parts, strict=True)
        ]
        return Splits(*held(rows[0], rows[1], self.memory), 256, parts[0], parts[1], skipped)

    def _headers(self, pictures: Pictures, skipped: Skipped) -> Iterator[Header]:
        for number in range(len(pictures)):
            try:
                yield pictures.header(number)
            except (ValueError, OSError) as error:
                if not self.skip_bad:
                    raise
                skipped[pictures.name(number)] = " ".join(str(error).split())
            else:
                if self.skip_bad:
                    return
        if self.skip_bad:
            raise ValueError(f"{pictures.name(0)} and all {len(pictures) - 1:,} others cannot be read")

    def _shape(self, headers: Iterator[Header]) -> Shape:
        """The (C, H, W) that all images have, or will have."""
        first = next(headers)
        for other in headers:
            if self.channels is None and other.channels != first.channels:
                grey, colour = sorted((first, other), key=lambda header: header.channels)
                raise ValueError(
                    f"{grey.name} is grey but {colour.name} is colour; set data.channels=1 or data.channels=3"
                )
            if self.size is None and (other.height, other.width) != (first.height, first.width):
                raise ValueError(
                    f"{first.name} is {first.height} high and {first.width} wide but {other.name} "
                    f"is {other.height} high and {other.width} wide; set data.size=64, say, to "
                    f"make all equal"
                )
        return self.channels or first.channels, *(self.sides or (first.height, first.width))
