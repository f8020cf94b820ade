"""A GIF written one frame at a time.

Pillow collects all frames before it writes and merges equal neighbours: memory grows with the film,
and frames go missing. Here Pillow compresses single pictures, and this file strings them together
(GIF89a specification, sections 17 to 27).
"""

import io
import struct
from collections.abc import Iterable
from typing import BinaryIO

from PIL import Image

from undiffuse.plots.arrays import Bytes
from undiffuse.plots.sized import check_time, sized

FOREVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
LONGEST = 655_350  # ms: 16 bits of hundredths of a second


def write(file: BinaryIO, frames: Iterable[Bytes], duration: int, hold: int) -> None:
    """Write a looping film; no more than two frames are in memory, and those compressed.

    Args:
        file: where it goes.
        frames: uint8 ``(H, W)`` or ``(H, W, 3)``, all of one size.
        duration: ms a frame, to the nearest 10.
        hold: ms the last frame stays.
    """
    check_time(duration, "duration", LONGEST)
    check_time(hold, "hold", LONGEST)
    waiting = b""
    for picture in map(_compress, sized(frames)):
        if not waiting:  # the first: the head of the film, with no table shared by all frames
            file.write(b"GIF89a" + picture[6:10] + b"\x70\x00\x00" + FOREVER)
        else:
            file.write(_block(waiting, duration))
        waiting = picture
    file.write(_block(waiting, hold) + b"\x3b")


def _compress(picture: Bytes) -> bytes:
    """The picture alone as a GIF file; more than 256 colours become the nearest 256."""
    image = Image.fromarray(picture)
    if image.mode != "L":
        image = image.quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="GIF", interlace=False)
    return buffer.getvalue()


def _block(picture: bytes, duration: int) -> bytes:
    """One frame of a film from a GIF file: its table of colours becomes local, its pixels stay."""
    power = picture[10] & 7  # the table holds 2^(power + 1) colours
    start = 13 + 3 * 2 ** (power + 1)
    if picture[start : start + 1] != b"\x2c":
        raise RuntimeError("Pillow wrote a GIF whose first block is not an image; please report it")
    table, place, pixels = picture[13:start], picture[start : start + 9], picture[start + 10 : -1]
    timing = b"\x21\xf9\x04\x04" + struct.pack("<H", round(duration / 10)) + b"\x00\x00"
    return timing + place + bytes([0x80 | power]) + table + pixels
