"""How far a piece of work is, as a share of it, reported from inside; and the way to end it early.

    def work(items, track=SILENT):
        for item in track.each(items):          # after each of them: so many of len(items) are done
            ...

    first, rest = track.split(1, 3)             # a quarter of the way, and what is left
    for block, part in rest.over(blocks):       # each block has its own part of it
        inner(block, track=part)

Whoever does the work knows its parts, so that nobody counts them a second time. Work of several kinds has a
`stage` for each, which goes from 0 to 1 by itself. Who asks for the work gives `Track(show)`: `show(stage,
share)` is called at every report, and what it raises ends the work.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TypeVar

T = TypeVar("T")


def ignore(stage: str, share: float) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Track:
    """The part from `begin` to `end` of a stage of work, both in [0, 1], and what shows how far it is."""

    show: Callable[[str, float], object] = ignore
    name: str = ""
    begin: float = 0.0
    end: float = 1.0

    def at(self, done: float, of: float = 1.0) -> None:
        """Report that `done` of `of` are done, in this part. Raises whatever `show` raises."""
        self.show(self.name, self._place(done / of) if of else self.end)

    def part(self, begin: float, end: float, of: float = 1.0) -> "Track":
        """The part of this part from `begin` to `end`, of `of`."""
        return replace(self, begin=self._place(begin / of), end=self._place(end / of))

    def split(self, *weights: float) -> "list[Track]":
        """Parts one after another, as long as these weights are large."""
        ends = list(accumulate(weights, initial=0.0))
        return [self.part(begin, end, ends[-1] or 1.0) for begin, end in pairwise(ends)]

    def each(self, items: Iterable[T], count: int | None = None) -> Iterator[T]:
        """The items, with a report after each; `count` of them, where they do not know."""
        total = len(items) if count is None and isinstance(items, Sequence) else count or 0
        self.at(0)
        for number, item in enumerate(items, 1):
            yield item
            self.at(number, total)

    def over(self, items: Sequence[T]) -> "Iterator[tuple[T, Track]]":
        """The items, each with an equal part for what is done with it."""
        if items:
            self.at(0)
        for number, item in enumerate(items):
            yield item, self.part(number, number + 1, len(items))

    def stage(self, name: str) -> "Track":
        """Another kind of work, from 0 to 1."""
        return Track(self.show, name)

    def _place(self, share: float) -> float:
        return self.begin + (self.end - self.begin) * share


SILENT = Track()
