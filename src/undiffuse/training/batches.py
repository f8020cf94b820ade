"""Batches by counting: which rows step n sees depends on the seed and n alone, so nothing is saved."""

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import torch
from torch import Tensor

from undiffuse.data import Examples, Rows
from undiffuse.random import keyed
from undiffuse.training.ahead import DEAD, Ahead, dead_worker

T = TypeVar("T")


class Batches:
    """Endless shuffled batches of the rows of `data` (N, *shape), encoded to x_0.

    Every epoch is a new permutation; a batch may span two. `flips` mirrors half of the rows left to right.
    Data with workers are read ahead by them; the batches are the same without. Of every batch only the rows
    of `part` are read, by default all.
    """

    def __init__(
        self,
        data: Examples,
        encode: Callable[[Tensor], Tensor],
        size: int,
        seed: int,
        flips: bool = False,
        part: range | None = None,
    ) -> None:
        if flips and len(data.shape) != 4:
            shape = tuple(data.shape[1:])
            raise ValueError(
                f"train.flips=true mirrors images (C, H, W), the data are {shape}; set it to false"
            )
        self.data, self.encode, self.size, self.seed, self.flips = data, encode, size, seed, flips
        self.part = part or range(size)
        self._epoch, self._order = -1, torch.zeros(0)
        read_ahead = isinstance(data, Rows) and data.workers > 0
        self._ahead = Ahead(cast(Rows, data), self._rows_of) if read_ahead else None

    def __call__(self, step: int) -> Tensor:
        """The rows of this part of the batch of step number `step`, (len(part), *shape)."""
        rows = self.data[self._rows_of(step)] if self._ahead is None else self._ahead(step)
        if self.flips:
            mirrored = self.own(self._uniform("flip", step) < 0.5)
            rows = torch.where(mirrored.view(-1, 1, 1, 1), rows.flip(-1), rows)
        return self.encode(rows)

    def _uniform(self, name: str, step: int) -> Tensor:
        """A number in [0, 1) for every row of the whole batch, float32."""
        return torch.rand(self.size, generator=keyed(self.seed, name, step), dtype=torch.float32)

    def own(self, batch: Tensor) -> Tensor:
        """The rows of this part of something that is of the whole batch."""
        return batch[self.part.start : self.part.stop]

    def closing(self, events: Iterator[T]) -> Iterator[T]:
        """The events; after the last, or when their reader leaves, the workers end.

        Raises RuntimeError, saying what to do, when one of them died.
        """
        try:
            yield from events
        except RuntimeError as error:
            if DEAD in str(error):
                raise dead_worker(error) from error
            raise
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _rows_of(self, step: int) -> Tensor:
        """Indices of the examples of step number `step`."""
        return self._rows(step * self.size + self.part.start, len(self.part))

    def _rows(self, place: int, count: int) -> Tensor:
        """Indices of `count` examples from place number `place` of the endless sequence."""
        parts, end = [], place + count
        while place < end:
            epoch, position = divmod(place, len(self.data))
            parts.append(self._permutation(epoch)[position : position + end - place])
            place += len(parts[-1])
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._order = torch.randperm(len(self.data), generator=keyed(self.seed, "epoch", epoch))
            self._epoch = epoch
        return self._order


class LabelBatches(Batches):
    """The labels (N,) of the same rows as `Batches` of the same size and seed takes.

    A share `dropout` of them is -1, "none", so that one network learns the model with and without labels.
    """

    def __init__(
        self, labels: Tensor, size: int, seed: int, dropout: float = 0.0, part: range | None = None
    ) -> None:
        super().__init__(labels, lambda rows: rows, size, seed, part=part)
        self.dropout = dropout

    def __call__(self, step: int) -> Tensor:
        """The labels of the batch of step number `step`, int64 (size,)."""
        labels = super().__call__(step)
        share = self._uniform("label", step)
        dropped = self.own(share) < self.dropout
        return labels.masked_fill(dropped, -1)
