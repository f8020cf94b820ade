"""Numbers and bytes in a row: written one after another, and read back within limits."""

import zlib
from collections.abc import Iterable


class Writer:
    """Appends fields to `bytes`."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def number(self, value: int) -> None:
        """A whole number >= 0, seven bits a byte, the lowest first, the high bit set where more follow."""
        while value >= 128:
            self.bytes.append(value % 128 + 128)
            value //= 128
        self.bytes.append(value)

    def numbers(self, values: Iterable[int]) -> None:
        """One after another."""
        for value in values:
            self.number(value)

    def raw(self, value: bytes) -> None:
        """Bytes, of a length that the reader knows."""
        self.bytes += value

    def block(self, value: bytes) -> None:
        """Bytes after their length."""
        self.number(len(value))
        self.raw(value)


class Reader:
    """Takes fields off bytes. Every method raises ValueError for what is cut off or beyond its limit."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def number(self, most: int, least: int = 0) -> int:
        """A whole number from least to most."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.raw(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                break
        if not least <= value <= most:
            raise ValueError(f"a number is {value}, where {least} to {most} is allowed")
        return value

    def numbers(self, count: int, most: int, least: int = 0) -> list[int]:
        """So many numbers."""
        return [self.number(most, least) for _ in range(count)]

    def raw(self, count: int) -> bytes:
        """So many bytes."""
        if count > len(self._data) - self._place:
            raise ValueError("it ends too early")
        self._place += count
        return self._data[self._place - count : self._place]

    def block(self, most: int) -> bytes:
        """Bytes after their length."""
        return self.raw(self.number(most))

    def rest(self) -> bytes:
        """What is left."""
        return self.raw(len(self._data) - self._place)

    def end(self) -> None:
        """Raise ValueError unless everything has been read."""
        if self._place != len(self._data):
            raise ValueError("more follows than should")


def crc(*parts: bytes) -> bytes:
    """CRC-32 of the parts in a row, four bytes, the lowest first."""
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value.to_bytes(4, "little")
