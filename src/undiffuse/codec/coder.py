"""Entropy coders, from constriction: a stack of bits (ANS) and a queue (range coder).

Both take whole numbers together with a `Law` for each: a family of distributions over them, and arrays of its
parameters, which must be the same to the last bit where they are decoded; or one distribution of as many
numbers as its only parameter says.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from undiffuse.extras import install
from undiffuse.random import digest


@dataclass(frozen=True)
class Law:
    """Distributions over whole numbers: a family of constriction's, and one array a parameter.

    With a `base` the family is of numbers relative to it, from -reach to reach; what lies there or beyond is
    written out among `ends`. So a narrow law stays narrow: the coder gives every number that its family knows
    a 2^-24 at least, and among very many of them that is no longer little. A `closed` law is of numbers
    within its reach alone: one to draw from, and to write back what was drawn.
    """

    family: Any
    parameters: tuple[np.ndarray | int, ...]
    base: np.ndarray | None = None
    reach: int = 0
    ends: tuple[int, int] = (0, 0)
    closed: bool = False

    def split(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the family codes, and the numbers that are written out, less the lower end."""
        if self.base is None:
            return numbers, numbers[:0]
        if self.closed:
            return self._inside(numbers - self.base), numbers[:0]
        near = np.clip(numbers - self.base, -self.reach, self.reach)
        return near, numbers[np.abs(near) == self.reach] - self.ends[0]

    def join(self, near: np.ndarray, written: Callable[[int], np.ndarray]) -> np.ndarray:
        """The numbers; `written` gives so many that were written out."""
        if self.base is None:
            return near
        if self.closed:
            inside: np.ndarray = near + self.base
            return inside
        far = np.abs(near) == self.reach
        numbers: np.ndarray = near + self.base
        if far.any():
            numbers[far] = written(int(far.sum())) + self.ends[0]
        return numbers

    def _inside(self, near: np.ndarray) -> np.ndarray:
        if np.abs(near).max(initial=0) > self.reach:
            raise ValueError("damaged: a latent is where no encoder puts it")
        return near

    def only(self, index: np.ndarray) -> "Law":
        """Of these elements alone, by their places."""
        parameters = [part[index] if isinstance(part, np.ndarray) else part for part in self.parameters]
        return replace(
            self, parameters=tuple(parameters), base=None if self.base is None else self.base[index]
        )

    def pieces(self, numbers: np.ndarray) -> Iterable[tuple["Law", np.ndarray]]:
        """Itself with its numbers: what consists of several laws has those, in the order they are read."""
        return [(self, numbers)]

    def read(self, pop: Callable[["Law"], np.ndarray]) -> np.ndarray:
        """The numbers, by what reads those of a law."""
        return pop(self)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The parameters that numbers are written with."""
        return tuple(part for part in self.parameters if isinstance(part, np.ndarray))

    @property
    def span(self) -> Any:
        """The law of what is written out."""
        return constriction().model.Uniform(self.ends[1] - self.ends[0] + 1)


class Laws(Protocol):
    """A law over whole numbers, or several, one after the other."""

    def pieces(self, numbers: np.ndarray) -> Iterable[tuple[Law, np.ndarray]]:
        """Laws and their numbers, in the order they are read."""

    def read(self, pop: Callable[[Law], np.ndarray]) -> np.ndarray:
        """The numbers, by what reads those of one law."""

    def only(self, index: np.ndarray) -> "Laws":
        """Of these elements alone, by their places."""


class Stack:
    """Asymmetric numeral systems (Duda 2009): what is pushed last is popped first.

    Popping from random bits draws from the law, and pushing the same numbers brings the bits back. Below what
    is pushed lie `spare` words of a fixed pseudo-random stream, for what is popped before anything is pushed.
    """

    def __init__(self, words: np.ndarray, spare: int) -> None:
        self._below = filler(spare)
        self._coder = constriction().stack.AnsCoder(np.concatenate([self._below, words]))

    def push(self, law: Laws, numbers: np.ndarray) -> None:
        """Write the numbers."""
        for piece, part in reversed(list(law.pieces(numbers))):
            near, far = piece.split(part)
            if len(far):
                self._coder.encode_reverse(far, piece.span)
            self._coder.encode_reverse(near, piece.family, *piece.arrays)

    def pop(self, law: Laws) -> np.ndarray:
        """Read as many numbers, int32. Raises ValueError if nothing is left to read."""
        return law.read(self._pop)

    def _pop(self, law: Law) -> np.ndarray:
        near: np.ndarray = self._coder.decode(law.family, *law.parameters)
        numbers = law.join(near, lambda count: self._coder.decode(law.span, count))
        if self._coder.is_empty():
            raise ValueError("more is read than was written")
        return numbers

    def words(self) -> tuple[np.ndarray, int]:
        """All that has been written, and how many of the spare words lie untouched below it."""
        words: np.ndarray = self._coder.get_compressed()
        kept = min(len(words), len(self._below))
        changed = np.flatnonzero(words[:kept] != self._below[:kept])
        untouched = int(changed[0]) if len(changed) else kept
        return words[untouched:], untouched

    def restored(self) -> bool:
        """Whether spare words, and nothing else, are there: everything has been read."""
        words: np.ndarray = self._coder.get_compressed()
        return len(words) >= len(self._below) and np.array_equal(words, filler(len(words)))


class QueueWriter:
    """A range coder (Martin 1979): what is pushed first is popped first."""

    def __init__(self) -> None:
        self._coder = constriction().queue.RangeEncoder()

    def push(self, law: Laws, numbers: np.ndarray) -> None:
        """Write the numbers."""
        for piece, part in law.pieces(numbers):
            near, far = piece.split(part)
            self._coder.encode(near, piece.family, *piece.arrays)
            if len(far):
                self._coder.encode(far, piece.span)

    def words(self) -> np.ndarray:
        """What has been written."""
        words: np.ndarray = self._coder.get_compressed()
        return words


class QueueReader:
    """Reads what a `QueueWriter` wrote."""

    def __init__(self, words: np.ndarray) -> None:
        self._coder = constriction().queue.RangeDecoder(words)

    def pop(self, law: Laws) -> np.ndarray:
        """Read as many numbers, int32. Raises ValueError for words that cannot have been written."""
        try:
            return law.read(self._pop)
        except AssertionError as error:
            raise ValueError("the words are not of this model") from error

    def _pop(self, law: Law) -> np.ndarray:
        near: np.ndarray = self._coder.decode(law.family, *law.parameters)
        return law.join(near, lambda count: self._coder.decode(law.span, count))

    def end(self) -> None:
        """Raise ValueError if words are left that nothing was read from."""
        if not self._coder.maybe_exhausted():
            raise ValueError("more words follow than were written")


def filler(words: int) -> np.ndarray:
    """The first of the fixed pseudo-random words; none is zero, which the coder would not keep on top."""
    drawn = np.random.Philox(key=digest("und", "spare")).random_raw((words + 1) // 2)
    return np.maximum(drawn.astype("<u8").view("<u4")[:words].astype(np.uint32), 1)


def constriction() -> Any:
    """The package's streams, or an ImportError that says how to get it."""
    try:
        from constriction import stream
    except ImportError as error:
        raise ImportError(f"compression needs an entropy coder: {install('codec')}") from error
    return stream


def ready() -> None:
    """Raise ImportError, with the remedy, unless there is an entropy coder to work with."""
    constriction()
