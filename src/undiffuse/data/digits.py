"""The 8x8 handwritten digits: a data set small enough to ship with the package."""

from pathlib import Path
from typing import ClassVar

import torch

from undiffuse.data.npy import read_npz
from undiffuse.data.source import Source, Splits, split

FILE = Path(__file__).with_name("digits.npz")
TESTS = 300


class Digits(Source):
    """1,797 digits of 43 people, each 8x8 with 17 grey levels; 1,497 to train on, 300 to test.

    Reference: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49; its test set, as in scikit-learn.
    """

    source: ClassVar[str] = "UCI, Optical Recognition of Handwritten Digits (Alpaydin & Kaynak)"
    licence: ClassVar[str] = "CC BY 4.0"
    about: ClassVar[str] = "images (1, 8, 8), 17 levels, 10 classes; 1,497 + 300; in the package"

    def load(self) -> Splits:
        """Read the file that came with the package."""
        images = torch.from_numpy(read_npz(FILE, "x"))[:, None]
        labels = torch.from_numpy(read_npz(FILE, "y")).long()
        train, test = split(len(images), TESTS / len(images))
        return Splits(images[train], images[test], 17, labels[train], labels[test])
