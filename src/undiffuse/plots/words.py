"""Words beside pictures: text as pixels, laid next to a sheet that keeps every pixel of its own."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from undiffuse.plots.arrays import Bytes
from undiffuse.plots.grid import PAGE
from undiffuse.plots.style import INK


def words(text: str, size: int, shade: str = INK) -> Bytes:
    """One line of text, `size` pixels to the em: uint8 ``(1.5 size, W, 3)`` on white."""
    text, font = " ".join(text.split()), _font(size)
    picture = Image.new("RGB", (max(round(font.getlength(text)), 1), size * 3 // 2), (PAGE,) * 3)
    ImageDraw.Draw(picture).text((0, size * 3 // 4), text, fill=shade, font=font, anchor="lm")
    return np.asarray(picture)


def pad(picture: Bytes, height: int, width: int, top: int = 0) -> Bytes:
    """A picture ``(H, W)`` or ``(H, W, 3)`` on a white page ``(height, width, 3)``, `top` pixels down."""
    page = np.full((height, width, 3), PAGE, np.uint8)
    page[top : top + picture.shape[0], : picture.shape[1]] = (
        picture[..., None] if picture.ndim == 2 else picture
    )
    return page


def stack(parts: Sequence[Bytes], gap: int = 0) -> Bytes:
    """Pictures one below the other, flush left, `gap` white pixels apart: ``(H, W, 3)``."""
    width = max(part.shape[1] for part in parts)
    last = len(parts) - 1
    return np.concatenate(
        [pad(part, part.shape[0] + gap * (i < last), width) for i, part in enumerate(parts)]
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The typeface of the figures."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
