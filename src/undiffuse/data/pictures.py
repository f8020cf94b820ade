"""Reading one PNG or JPEG without trusting it.

Only these two decoders are ever tried; the size is checked before pixels are decoded; a file that
ends early is an error. What would silently lose information (alpha, 16 bits, CMYK) is refused by
name.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from undiffuse.data.files import existing

PIXEL_LIMIT = 2**25
FILE_LIMIT = 2**26  # bytes
CHANNELS = {"1": 1, "L": 1, "RGB": 3, "P": 3}  # Pillow's mode: the channels its image has here
MODES = {1: "L", 3: "RGB"}
ORIENTATION = 0x0112  # the EXIF tag
SIDEWAYS = (5, 6, 7, 8)  # its values that swap height and width


class Refused(ValueError):
    """An image that is not read, and why."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded."""

    name: str
    channels: int
    height: int
    width: int


def read_header(path: str | Path) -> Header:
    """Channels and upright size of an image, without decoding it.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is not a PNG or JPEG that `read_image` reads.
    """
    with open_picture(path) as file:
        return header_of(file, str(path))


def header_of(file: IO[bytes], name: str) -> Header:
    """The same of an open file, called `name` in messages."""
    with _opened(file, name) as image:
        width, height = image.size
        # A PNG may carry EXIF after its pixels, which only decoding finds; there the size is
        # checked again.
        if "exif" in image.info and image.getexif().get(ORIENTATION) in SIDEWAYS:
            width, height = height, width
        return Header(name, CHANNELS[image.mode], height, width)


def read_image(
    path: str | Path, size: tuple[int, int] | None = None, channels: int | None = None
) -> NDArray[np.uint8]:
    """The first frame of a PNG or JPEG, turned upright as its EXIF says: uint8 ``(C, H, W)``.

    Args:
        path: the file.
        size: (height, width); the image is cropped about its centre to this aspect, then resized
            (Lanczos). None keeps its own.
        channels: 1 for grey, 3 for colour; None keeps what it has.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is damaged, too large, has alpha, more than 8 bits, or is neither PNG nor
            JPEG.
    """
    with open_picture(path) as file:
        return decode(file, str(path), size, channels)


def decode(
    file: IO[bytes], name: str, size: tuple[int, int] | None = None, channels: int | None = None
) -> NDArray[np.uint8]:
    """`read_image` of an open file, called `name` in messages."""
    with _opened(file, name) as image:
        mode = MODES[channels or CHANNELS[image.mode]]
        pixels: Image.Image = ImageOps.exif_transpose(image).convert(mode)
        if size is not None:
            pixels = _fitted(pixels, *size)
        array = np.array(pixels, np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def open_picture(path: str | Path) -> IO[bytes]:
    """The bytes of a picture. Raises OSError if there is no file, or it may not be read."""
    return existing(path, "a PNG or JPEG file").open("rb")


def _fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest centred box of this aspect, resized."""
    return image.resize((width, height), Image.Resampling.LANCZOS, _box(image.size, (width, height)))


def _box(of: tuple[int, int], aspect: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, upper, right, lower) of it in a picture of this (width, height), never beyond its edges.

    The side that limits it is kept whole rather than computed: whole / width * width may be more than whole.
    """
    (whole, high), (width, height) = of, aspect
    if whole * height > high * width:  # wider than wanted
        upper, left, lower, right = _box((high, whole), (height, width))
        return left, upper, right, lower
    margin = (high - whole * height / width) / 2
    return 0, margin, whole, high - margin


@contextmanager
def _opened(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """The image; every way in which reading it can fail becomes a ValueError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            deep, size = _deep(file), file.seek(0, 2)
            file.seek(0)
            with Image.open(file, formats=["PNG", "JPEG"]) as image:
                _accept(image, name, size, deep)
                yield image
    except Refused:
        raise
    except Exception as error:  # decoders raise nearly everything on damaged files
        raise ValueError(f"{name} cannot be read as PNG or JPEG ({error}); repair or remove it") from error


def _accept(image: Image.Image, name: str, size: int, deep: bool) -> None:
    """Refuse what is too large or would lose information."""
    width, height = image.size
    if width * height > PIXEL_LIMIT or size > FILE_LIMIT:
        raise Refused(
            f"{name} has {width}x{height} pixels and {size:,} bytes; the limits are "
            f"{PIXEL_LIMIT:,} and {FILE_LIMIT:,}: make it smaller"
        )
    if "A" in image.mode or "transparency" in image.info:
        raise Refused(f"{name} has transparency (mode {image.mode}); flatten it onto a background first")
    if deep or image.mode not in CHANNELS:
        raise Refused(
            f"{name} has mode {image.mode}, {16 if deep else 8} bits a value; only 8-bit "
            f"grey and RGB images are read: convert it, or keep its depth as an .npy file with "
            f"data.kind=array"
        )


def _deep(file: IO[bytes]) -> bool:
    """Whether this is a PNG of 16 bits a value, which Pillow silently cuts to 8 if in colour."""
    head = file.read(25)
    return head.startswith(b"\x89PNG") and head[24:] == b"\x10"
