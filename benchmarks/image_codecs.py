"""What general-purpose lossless codecs need for the Fashion-MNIST test images, in bits per pixel.

    python benchmarks/image_codecs.py [FOLDER]

One by one, and all on one sheet of 100 by 100 images. FOLDER holds the IDX files if they are not where the
system keeps them.
"""

import io
import lzma
import sys

import numpy as np
from PIL import Image

from undiffuse.data import FashionMNIST

CODECS = {
    "PNG": {"format": "PNG", "optimize": True},
    "WebP": {"format": "WEBP", "lossless": True, "quality": 100},
}


def main(folder: str | None = None) -> None:
    images = FashionMNIST(folder).load().test[:, 0].numpy()
    sheet = images.reshape(100, 100, 28, 28).swapaxes(1, 2).reshape(2800, 2800)
    for name, options in CODECS.items():
        single = sum(size(image, options) for image in images)
        whole = size(sheet, options)
        print(f"{name:5s} one by one {bits(single, images):.2f}, one sheet {bits(whole, images):.2f}")
    print(f"xz    all raw bytes {bits(len(lzma.compress(images.tobytes(), preset=9)), images):.2f}")


def size(pixels: np.ndarray, options: dict[str, object]) -> int:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **options)
    return len(file.getvalue())


def bits(count: int, images: np.ndarray) -> float:
    return 8 * count / images.size


if __name__ == "__main__":
    main(*sys.argv[1:])
