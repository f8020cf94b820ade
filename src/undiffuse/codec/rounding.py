"""Rounding that two machines agree on, though their arithmetic differs in the last digits.

A network in float64 gives the same numbers on every CPU but for an error near 1e-15. What the entropy coder
is told are those numbers rounded to a grid, which agrees unless one lies within that error of an edge between
two grid points. So the encoder writes down on which side of the edge it went whenever a number came closer
than `EDGE` of a grid's cell, about one in thirty million, and the decoder follows it there (Tian et al.
2023).

A positive number is rounded to ten binary digits, so that its relative error is below 1e-3 whatever its size.
The edges of probabilities are narrower, `FINER`, and those of widths wider, `STEEP`: these change up to
thousands of times as fast as the prediction that they depend on (`parameterizations.context`).
"""

from abc import ABC, abstractmethod

import numpy as np

EDGE = 2.0**-26  # of a cell: a hundred times what machines differ by
FINER = 2.0**-30  # the same for relative errors, which are smaller
STEEP = 2.0**-22  # the same for widths
LARGEST = 2.0**40  # cells: beyond it the last digit of float64 is no longer far below an edge
DIGITS = 10

Sides = dict[int, dict[int, bool]]  # call -> place in the array -> whether it was rounded up


class Rounding(ABC):
    """Rounds arrays; every call has a number that encoder and decoder know."""

    @abstractmethod
    def __call__(self, y: np.ndarray, call: int, edge: float | None = None) -> np.ndarray:
        """The nearest whole numbers, as float64; `EDGE` unless the edge is another.

        Raises FloatingPointError for what is no number.
        """

    def positive(self, y: np.ndarray, call: int, edge: float = FINER) -> np.ndarray:
        """Numbers >= 0 rounded to `DIGITS` binary digits."""
        share, exponent = np.frexp(y)
        found: np.ndarray = np.ldexp(self(np.ldexp(share, DIGITS), call, edge), exponent - DIGITS)
        return found


class Recorder(Rounding):
    """The encoder's: `sides` are the close calls it met."""

    def __init__(self) -> None:
        self.sides: Sides = {}

    def __call__(self, y: np.ndarray, call: int, edge: float | None = None) -> np.ndarray:
        """Rounds, and takes down which side it went where that was close."""
        below, up, near = _split(y, EDGE if edge is None else edge)
        places = np.flatnonzero(near)
        if len(places):
            self.sides[call] = {int(i): bool(up.flat[i]) for i in places}
        found: np.ndarray = below + up
        return found


class Follower(Rounding):
    """The decoder's: where it is close, it goes where the encoder went."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides

    def __call__(self, y: np.ndarray, call: int, edge: float | None = None) -> np.ndarray:
        """Rounds; ValueError if the encoder says that a number was close to an edge, and it is not."""
        below, up, near = _split(y, 2 * (EDGE if edge is None else edge))
        for place, side in self.sides.get(call, {}).items():
            if place >= near.size or not near.flat[place]:
                raise ValueError("the model's numbers are not those of the file's encoder")
            up.flat[place] = side
        found: np.ndarray = below + up
        return found


def _split(y: np.ndarray, edge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The whole number below, whether y rounds up from it, and whether that is a close call."""
    if not np.abs(y).max(initial=0) < LARGEST:
        raise FloatingPointError("the model's predictions are not finite, or far out of the data's range")
    below = np.floor(y)
    past = y - below - 0.5
    return below, past >= 0, np.abs(past) < edge
