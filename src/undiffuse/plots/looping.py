"""Films that loop, by Pillow: a GIF of 256 colours a frame, or a PNG of all, which fewer programs play."""

import io
import struct
from collections.abc import Iterable
from typing import BinaryIO

from PIL import Image

from undiffuse.plots.arrays import Bytes
from undiffuse.plots.sized import check_time, sized

LONGEST = {"GIF": 655_350, "PNG": 65_535}  # ms: 16 bits of hundredths, or of thousandths, of a second


def write(kind: str, file: BinaryIO, frames: Iterable[Bytes], duration: int, hold: int) -> None:
    """Write a looping film; all frames are in memory, and equal neighbours become one that stays as long.

    Args:
        kind: "GIF" or "PNG".
        file: where it goes.
        frames: uint8 ``(H, W)`` or ``(H, W, 3)``, all of one size; of more than 256 colours a GIF keeps the
            nearest 256.
        duration: ms a frame; in a GIF to the nearest 10.
        hold: ms the last frame stays.
    """
    longest = LONGEST[kind]
    unit = 10 if kind == "GIF" else 1
    usual, last = (
        unit * round(check_time(time, name, longest) / unit)
        for time, name in ((duration, "duration"), (hold, "hold"))
    )
    first, *others = (_image(picture, kind) for picture in sized(frames))
    film, times = io.BytesIO(), [usual] * len(others) + [last]
    try:
        first.save(film, format=kind, save_all=True, append_images=others, duration=times, loop=0)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"equal frames stay longer than {longest:,} ms; give fewer, or shorter") from error
    file.write(film.getbuffer())


def _image(picture: Bytes, kind: str) -> Image.Image:
    image = Image.fromarray(picture)
    if kind == "GIF" and image.mode == "RGB":
        return image.quantize(256, dither=Image.Dither.NONE)
    return image
