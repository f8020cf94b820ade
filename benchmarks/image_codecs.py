"""What general-purpose lossless codecs need for the Fashion-MNIST test images, in bits per pixel.

    python benchmarks/image_codecs.py [FOLDER]

One by one, all on one sheet of 100 by 100 images, and in tall strips of 500 (WebP ends at 16,383
pixels). FOLDER holds the IDX files if they are not where the system keeps them.
"""

import io
import lzma
import sys

import numpy as np
from PIL import Image

from undiffuse.data import FashionMNIST

CODECS = {
    "PNG": {"format": "PNG", "optimize": True},
    "WebP": {"format": "WEBP", "lossless": True, "quality": 100, "method": 6},
}


WAYS = ("one by one", "one sheet", "tall strips")


def main(folder: str | None = None) -> None:
    images = FashionMNIST(folder).load().test[:, 0].numpy()
    sheet = images.reshape(100, 100, 28, 28).swapaxes(1, 2).reshape(2800, 2800)
    for name, options in CODECS.items():
        single = sum(size(image, options) for image in images)
        whole = size(sheet, options)
        strips = sum(size(strip.reshape(-1, 28), options) for strip in np.split(images, 20))
        told = (
            f"{what} {bits(count, images):.2f}"
            for what, count in zip(WAYS, (single, whole, strips), strict=True)
        )
        print(f"{name:5s} {', '.join(told)}")
    print(f"xz    all raw bytes {bits(len(lzma.compress(images.tobytes(), preset=9)), images):.2f}")


def size(pixels: np.ndarray, options: dict[str, object]) -> int:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **options)
    return len(file.getvalue())


def bits(count: int, images: np.ndarray) -> float:
    return 8 * count / images.size


if __name__ == "__main__":
    main(*sys.argv[1:])
