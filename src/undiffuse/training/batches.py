"""Batches by counting: which rows step n sees depends on the seed and n alone, so nothing is saved."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor

from undiffuse.conditions import Given, Image
from undiffuse.data import Examples, Rows, Values
from undiffuse.random import keyed
from undiffuse.training.ahead import DEAD, Ahead, dead_worker

T = TypeVar("T")


class Batches:
    """Endless shuffled batches of the rows of `data` (N, *shape), encoded to x_0.

    Every epoch is a new permutation; a batch may span two. `flips` mirrors half of the rows left to right.
    Data with workers are read ahead by them; the batches are the same without. Of every batch only the rows
    of `part` are read, by default all.

    `conditions` are what the examples are given; of a share `dropout` of them nothing, so that one network
    learns the model with and without, and of several each of them alone, as often again.
    """

    def __init__(
        self,
        data: Examples,
        encode: Callable[[Tensor], Tensor],
        size: int,
        seed: int,
        flips: bool = False,
        part: range | None = None,
        conditions: Mapping[str, Values] | None = None,
        dropout: float = 0.0,
    ) -> None:
        if flips and len(data.shape) != 4:
            shape = tuple(data.shape[1:])
            raise ValueError(
                f"train.flips=true mirrors images (C, H, W), the data are {shape}; set it to false"
            )
        self.data, self.encode, self.size, self.seed, self.flips = data, encode, size, seed, flips
        self.part = part or range(size)
        self.conditions, self.dropout = conditions or {}, dropout
        self._epoch, self._order = -1, torch.zeros(0)
        self._last: tuple[int, Tensor] = (-1, torch.zeros(0))
        read_ahead = isinstance(data, Rows) and data.workers > 0
        self._ahead = Ahead(cast(Rows, data), self._rows_of) if read_ahead else None

    def __call__(self, step: int) -> Tensor:
        """The rows of this part of the batch of step number `step`, (len(part), *shape)."""
        return self.encode(self._raw(step))

    def given(self, step: int) -> Given | None:
        """What the same rows are given; best asked for after them, or they are read again."""
        if not self.conditions:
            return None
        rows, raw = self._rows_of(step), self._raw(step)
        left = self.own(self._uniform("label", step)) < self.dropout
        found = {}
        for name, each in self.conditions.items():
            value = each.of("train", rows, raw)
            if self.flips and each.function is None and isinstance(each.kind, Image):
                value = self._mirrored(value, step)
            alone = self.own(self._uniform(f"label {name}", step)) < self.dropout
            found[name] = each.kind.hidden(value, left | alone if len(self.conditions) > 1 else left)
        return Given(found)

    def _raw(self, step: int) -> Tensor:
        """The examples of this step, mirrored; those of the last that was asked for are held."""
        if self._last[0] != step:
            rows = self.data[self._rows_of(step)] if self._ahead is None else self._ahead(step)
            self._last = step, self._mirrored(rows, step) if self.flips else rows
        return self._last[1]

    def _mirrored(self, images: Tensor, step: int) -> Tensor:
        """The images of this step (B, C, H, W), half of them mirrored."""
        mirrored = self.own(self._uniform("flip", step) < 0.5)
        return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)

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
