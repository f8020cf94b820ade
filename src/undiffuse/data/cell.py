"""What a column of a table is."""

import math
from dataclasses import asdict, dataclass
from typing import Any

FINER = 6  # decimals beyond the first of a step: a column may begin at half a one
Category = str | bool | int | float


@dataclass(frozen=True)
class Cell:
    """A column: its `name`, the `dtype` that it has in a DataFrame, and what its values are.

    Of symbols the `categories`; of numbers the `step` that they go in, 0 where they are continuous. They are
    `rounded` to steps where some of them repeat and others do not, like rain on dry days: no density has
    both. Raises ValueError for both categories and steps, or fewer than two categories.
    """

    name: str
    dtype: str
    categories: tuple[Category, ...] = ()
    step: float = 0.0
    rounded: bool = False

    def __post_init__(self) -> None:
        words = isinstance(self.name, str) and isinstance(self.dtype, str)
        if not words or not all(isinstance(each, (str, bool, int, float)) for each in self.categories):
            raise ValueError(f"column {self.name!r}: a name, a type and categories are words or numbers")
        if len(self.categories) == 1 or (self.categories and self.step) or not 0 <= self.step < math.inf:
            raise ValueError(f"column {self.name!r}: {len(self.categories)} categories, steps of {self.step}")

    @property
    def symbols(self) -> int:
        """How many there are; 0 of numbers."""
        return len(self.categories)

    @property
    def digits(self) -> int:
        """Decimals beyond which its values, which go in steps, have nothing but what arithmetic left."""
        return max(0, FINER - math.floor(math.log10(self.step)))

    @property
    def kind(self) -> str:
        """In words."""
        if self.dtype.startswith("date"):
            return "dates"
        if self.categories:
            return "true or false" if set(self.categories) == {True, False} else f"{self.symbols} categories"
        rounded = "rounded to" if self.rounded else "in"
        return f"numbers {rounded} steps of {self.step:g}" if self.step else "continuous numbers"

    def state(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"categories": list(self.categories)}
