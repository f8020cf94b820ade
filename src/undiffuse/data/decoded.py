"""Pictures that are decoded when they are asked for.

`Pictures` says where the bytes of picture i are: in a folder, in a tar file, in a table. `Decoded` makes
examples of them. A picture that cannot be read stops the run and is named; or it is skipped, and then the
next readable one of the same class, in the order of the pictures, stands in its place. Which one that is
depends on the files alone, so the order of all others is what it was.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.pictures import Header, decode, header_of
from undiffuse.data.rows import Rows

LIMIT = 100  # unreadable pictures in a row that are skipped; more are a mistake, not an accident
Skipped = dict[str, str]


class Pictures(ABC):
    """A numbered set of PNG and JPEG pictures, none of which is in memory; it can be pickled."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, number: int) -> str:
        """What to call this picture in messages."""

    @abstractmethod
    def open(self, number: int) -> IO[bytes]:
        """The bytes of this picture. Raises OSError or ValueError."""

    def header(self, number: int) -> Header:
        """What is known of this picture before it is decoded. Raises OSError or ValueError."""
        with self.open(number) as file:
            return header_of(file, self.name(number))


@final
class Decoded(Rows):
    """Pictures as examples ``(N, C, H, W)``, uint8.

    Args:
        pictures: where they are.
        numbers: which of them, one a row.
        shape: (C, H, W) of all examples.
        size: (height, width) that pictures are cropped and resized to; None keeps their own.
        channels: 1 for grey, 3 for colour; None keeps what they have.
        labels: int64 ``(N,)``, or None.
        skipped: if given, pictures that cannot be read are skipped: their names and why go in here.
        workers: processes that read batches ahead.
    """

    def __init__(
        self,
        pictures: Pictures,
        numbers: Tensor,
        shape: tuple[int, int, int],
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        labels: Tensor | None = None,
        skipped: Skipped | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__((len(numbers), *shape), torch.uint8, workers, skipped)
        self.pictures, self.numbers, self.labels = pictures, numbers, labels
        self.size, self.channels = size, channels

    def read(self, rows: Sequence[int]) -> Tensor:
        """Decode these pictures, or what stands in for them.

        Raises:
            ValueError: naming a picture that cannot be read, unless such are skipped; or if more than a
                hundred in a row cannot.
        """
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for out, row in zip(images, rows, strict=True):
            out[:] = self._decoded(row) if self.skipped is None else self._readable(row, self.skipped)
        return torch.from_numpy(images)

    def _readable(self, row: int, skipped: Skipped) -> NDArray[np.uint8]:
        """The first picture from this one on, of its class, that can be read."""
        for tried, candidate in enumerate(self._same_class(row)):
            name = self.pictures.name(int(self.numbers[candidate]))
            if tried == LIMIT:
                raise ValueError(f"{LIMIT} pictures before {name} cannot be read: skipped.txt says why")
            if name not in skipped:
                try:
                    return self._decoded(candidate)
                except (ValueError, OSError) as error:
                    skipped[name] = " ".join(str(error).split())
        raise ValueError(
            f"no picture of the class of {self.pictures.name(int(self.numbers[row]))} can be read"
        )

    def _same_class(self, row: int) -> Iterator[int]:
        """This row, those after it, and those from the first on, if they have its label."""
        for other in chain(range(row, len(self)), range(row)):
            if self.labels is None or self.labels[other] == self.labels[row]:
                yield other

    def _decoded(self, row: int) -> NDArray[np.uint8]:
        number = int(self.numbers[row])
        name, shape = self.pictures.name(number), self.shape[1:]
        with self.pictures.open(number) as file:
            image = decode(file, name, self.size, self.channels)
        if image.shape != shape:
            raise ValueError(f"{name} is {image.shape} once decoded, not {shape}; set data.size=64")
        return image
