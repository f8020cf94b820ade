"""A film that browsers and slides play: H.264, by the ffmpeg of imageio-ffmpeg, which is the extra `video`.

Colours are kept nearly, not exactly.
"""

import shutil
import tempfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from undiffuse.extras import install
from undiffuse.plots.arrays import Bytes
from undiffuse.plots.grid import PAGE
from undiffuse.plots.sized import check_time, sized

LONGEST = 655_350  # ms
QUALITY = ["-crf", "18", "-preset", "medium", "-movflags", "+faststart"]


def write(file: BinaryIO, frames: Iterable[Bytes], duration: int, hold: int) -> None:
    """Write a film that plays once; two frames are in memory.

    Args:
        file: where it goes.
        frames: uint8 ``(H, W)`` or ``(H, W, 3)``, all of one size; odd sides get a white line.
        duration: ms a frame.
        hold: ms the last frame stays, to the nearest whole number of frames.

    Raises:
        ImportError: if the extra `video` is not installed.
    """
    rate = 1000 / check_time(duration, "duration", LONGEST)
    copies = max(1, round(check_time(hold, "hold", LONGEST) * rate / 1000))
    ffmpeg, pictures = extra(), map(_even, sized(frames))
    first = next(pictures)
    size = first.shape[1], first.shape[0]
    with tempfile.TemporaryDirectory() as folder:  # ffmpeg wants a name, and seeks in it
        path = Path(folder) / "film.mp4"
        writer = ffmpeg.write_frames(
            str(path), size, fps=rate, quality=None, macro_block_size=2, output_params=QUALITY
        )
        writer.send(None)
        try:
            for picture in chain([first], pictures):
                writer.send(picture)
            for _ in range(copies - 1):
                writer.send(picture)
        finally:
            writer.close()
        with path.open("rb") as made:
            shutil.copyfileobj(made, file)


def extra() -> Any:
    """imageio_ffmpeg, or how to get it."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ImportError(
            f"an .mp4 needs imageio-ffmpeg: {install('video')}, or write a .gif or .png"
        ) from error
    return imageio_ffmpeg


def _even(picture: Bytes) -> Bytes:
    """uint8 ``(H, W, 3)`` with even sides, which is what the encoder takes."""
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    odd = [(0, side % 2) for side in colour.shape[:2]]
    return np.ascontiguousarray(np.pad(colour, [*odd, (0, 0)], constant_values=PAGE))
