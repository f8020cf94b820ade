"""The Parzen window score of training images in the place of samples: what a perfect model would have.

    python benchmarks/parzen_of_data.py mnist.npz [COUNT]

The protocol of the 2015 paper, whose own figure is 349 +- 3.3 bits: 10,000 (or COUNT) training images for
samples, the width chosen on images 50,000 to 50,999, the mean over the test images.
"""

import sys

from undiffuse.data import MNIST
from undiffuse.metrics import parzen


def main(path: str, count: str = "10000") -> None:
    splits = MNIST(path).load()
    train, test = (images.float() / 255 for images in (splits.train, splits.test))
    found = parzen(train[: int(count)], train[50_000:51_000], test)
    print(f"width {found.width:.4f}: {found.nats} nats, {found.bits} bits an image")


if __name__ == "__main__":
    main(*sys.argv[1:])
