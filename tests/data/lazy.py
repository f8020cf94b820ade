"""Folders, shards and 20 kinds of bad picture, made for a test."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
ROWS = zlib.compress(b"\0\1\2\3" * 3)


def picture(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG", mode: str | None = None, **options) -> bytes:
    out, image = io.BytesIO(), Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(out, kind, **options)
    return out.getvalue()


def folder_of(root: Path, count: int, shape: tuple[int, ...] = (5, 4, 3)) -> list[np.ndarray]:
    """`count` pictures named so that their order is that of their numbers."""
    root.mkdir(parents=True, exist_ok=True)
    arrays = [picture(*shape) for _ in range(count)]
    for i, array in enumerate(arrays):
        (root / f"{i:03d}.png").write_bytes(encoded(array))
    return arrays


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), extra, chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


GOOD = encoded(picture(5, 4, 3))
LARGE = encoded(picture(64, 64, 3), "JPEG")
BAD = {
    "empty": b"",
    "text": b"no picture at all\n",
    "web-page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "vector": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "zeros": bytes(500),
    "noise": np.random.default_rng(1).bytes(500),
    "signature-alone": GOOD[:8],
    "header-alone": GOOD[:33],
    "png-cut": GOOD[:-40],
    "png-flipped": GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:],
    "png-rubbish": png(3, 3, b"rubbish"),
    "jpeg-cut": LARGE[:-400],
    "gif": encoded(picture(5, 4), "GIF"),
    "bmp": encoded(picture(5, 4, 3), "BMP"),
    "tiff": encoded(picture(5, 4, 3), "TIFF"),
    "alpha": encoded(picture(5, 4, 4)),
    "transparent": png(3, 3, ROWS, extra=chunk(b"tRNS", b"\0\1")),
    "cmyk": encoded(picture(5, 4, 3), "JPEG", "CMYK"),
    "16-bit-grey": png(3, 1, zlib.compress(bytes(7)), depth=16),
    "16-bit-colour": png(1, 1, zlib.compress(bytes(7)), depth=16, colour=2),
    "too-large": png(8000, 8000, ROWS),
    "bomb": png(50_000, 50_000, ROWS),
}
