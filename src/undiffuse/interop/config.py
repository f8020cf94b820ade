"""A component's JSON settings, taken key by key: what is not understood is refused by name."""

import math
from collections.abc import Mapping
from typing import Any


class Config:
    """The keys of one component, such as `unet`; those that begin with _ are notes to its own program.

    Every key is taken once, with the default that it has where it does not stand; `done` refuses what is
    left. All errors are ValueErrors of one line: component, key, value and remedy.
    """

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self.name = name
        self._left = {key: value for key, value in values.items() if not key.startswith("_")}

    def take(self, key: str, default: Any = None) -> Any:
        """The value as it stands."""
        return self._left.pop(key, default)

    def only(self, key: str, allowed: tuple[Any, ...], default: Any = None, why: str = "") -> Any:
        """A value that is one of a few."""
        value = self.take(key, default)
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise self.refused(key, value, why or f"only {' or '.join(map(repr, allowed))} is read")
        return value

    def whole(self, key: str, low: int, high: int, default: Any = None) -> int:
        """A whole number from low to high."""
        return self._whole(key, self.take(key, default), low, high)

    def number(self, key: str, low: float, high: float, default: Any = None) -> float:
        """A finite number from low to high."""
        value = self.take(key, default)
        if not _is_number(value) or not low <= value <= high:
            raise self.refused(key, value, f"a number from {low:g} to {high:g} is needed")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        return bool(self.only(key, (True, False), default))

    def wholes(self, key: str, low: int, high: int, longest: int) -> list[int]:
        """A list of 1 to `longest` whole numbers from low to high."""
        return [self._whole(key, value, low, high) for value in self.several(key, longest)]

    def several(self, key: str, longest: int) -> list[Any]:
        """A list of 1 to `longest` values."""
        value = self.take(key)
        if not isinstance(value, list) or not 1 <= len(value) <= longest:
            raise self.refused(key, value, f"a list of 1 to {longest:,} values is needed")
        return value

    def done(self) -> None:
        """Refuse the first key that nobody took."""
        for key, value in self._left.items():
            raise self.refused(key, value, "this version does not know the key")

    def refused(self, key: str, value: Any, why: str) -> ValueError:
        """The error for a key that cannot be read."""
        return ValueError(f"{self.name}: {key}={_short(value)}: {why}")

    def _whole(self, key: str, value: Any, low: int, high: int) -> int:
        if type(value) is not int or not low <= value <= high:
            raise self.refused(key, value, f"a whole number from {low:,} to {high:,} is needed")
        return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
