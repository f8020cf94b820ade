"""An animated PNG: every colour as it is, where a GIF has 256; not every program plays it. By Pillow."""

from collections.abc import Iterable
from typing import BinaryIO

from PIL import Image

from undiffuse.plots.arrays import Bytes
from undiffuse.plots.sized import check_time, sized

LONGEST = 65_535  # ms, of 16 bits


def write(file: BinaryIO, frames: Iterable[Bytes], duration: int, hold: int) -> None:
    """Write a looping film; all frames are in memory, and equal neighbours become one that stays as long.

    Args:
        file: where it goes.
        frames: uint8 ``(H, W)`` or ``(H, W, 3)``, all of one size.
        duration: ms a frame.
        hold: ms the last frame stays.
    """
    times = [check_time(duration, "duration", LONGEST), check_time(hold, "hold", LONGEST)]
    first, *others = [Image.fromarray(picture) for picture in sized(frames)]
    durations = [times[0]] * len(others) + [times[1]]
    first.save(file, format="PNG", save_all=True, append_images=others, duration=durations, loop=0)
