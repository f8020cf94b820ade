"""Distances of training images from the test images of Fashion-MNIST: what perfect samples would have.

    python benchmarks/classifier.py --out fashion.safetensors
    python benchmarks/distances_of_data.py fashion.safetensors

The first 10,000 training images stand in the place of samples, in pixels and in the classifier's features.
"""

import sys
from pathlib import Path

import torch

from undiffuse.data import FashionMNIST
from undiffuse.metrics import Pixels, extract, frechet, kernel_distance, load_features, neighbours


def main() -> None:
    splits = FashionMNIST().load()
    sets = [x.float() / 255 for x in (splits.train[:10_000], splits.test)]
    for extractor in (Pixels(), load_features(Path(sys.argv[1]))):
        samples, data = (extract(extractor, torch.split(x, 100)) for x in sets)
        kernel = kernel_distance(samples, data, generator=torch.Generator().manual_seed(0))
        gaussians = frechet(samples, data)
        print(f"{type(extractor).__name__}: Frechet {gaussians.mean:.4g} +- {gaussians.se:.2g}, ", end="")
        print(f"kernel {kernel.mean:.1g} +- {kernel.se:.1g}, {neighbours(samples, data)}")


if __name__ == "__main__":
    main()
