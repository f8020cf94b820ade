"""MNIST and Fashion-MNIST: from your files, from the system, or from the hub if you ask for it."""

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.arrays import Array
from undiffuse.data.files import existing, plain_path
from undiffuse.data.hub import load_hub
from undiffuse.data.idx import IDX
from undiffuse.data.source import Source, Splits
from undiffuse.extras import install


class _Published(Source):
    """A data set of fixed content that several places offer in several formats.

    Args:
        path: a folder with the four IDX files, or an .npz file with ``x_train, y_train, x_test,
            y_test``, or a folder that holds one of the data set's name. None searches where the
            system keeps it.
        download: whether to fetch it from the Hugging Face hub (the ``hub`` extra) if it is
            nowhere.
    """

    npz: ClassVar[str]
    place: ClassVar[Path | None] = None  # where a system package puts it
    hub: ClassVar[str]
    sums: ClassVar[tuple[str, str]]  # SHA-256 of the bytes of all training and of all test images
    about: ClassVar[str] = "images (1, 28, 28), 256 levels, 10 classes; 60,000 + 10,000"

    def __init__(self, path: str | Path | None = None, download: bool = False) -> None:
        self.path = None if path is None else plain_path(path)
        self.download = download

    def load(self) -> Splits:
        """Read it from `path`; else from the system's copy, checked; else, if asked, from the hub.

        Raises:
            FileNotFoundError: if it is nowhere; the message says how to get it.
            ValueError: if the system's copy is not the published data.
        """
        if self.path is not None:
            return self._own(existing(self.path, f"a folder with the four IDX files or {self.npz}"))
        if self.place is not None and self.place.is_dir():
            return self._checked(IDX(self.place).load())
        if self.download:
            return _from_hub(self.hub)
        raise FileNotFoundError(self._advice())

    def _own(self, path: Path) -> Splits:
        if path.is_dir() and not (path / self.npz).is_file():
            return IDX(path).load()
        return Array(path / self.npz if path.is_dir() else path).load()

    def _checked(self, splits: Splits) -> Splits:
        sums = tuple(_sum(images[:]) for images in (splits.train, splits.test))
        if sums != self.sums:
            raise ValueError(
                f"{self.place} does not hold the published images (SHA-256 {sums}); install it "
                f"again, or set data.path to a copy you trust"
            )
        return splits

    def _advice(self) -> str:
        """How to get the data, for whoever has none of it."""
        return (
            f"no copy of {type(self).__name__} was found. Either set data.path=FOLDER with the "
            f"four IDX files (train-images-idx3-ubyte.gz, ...), or data.path=FILE.npz with "
            f"x_train, y_train, x_test, y_test, or data.download=true after "
            f"{install('hub')}"
        )


class MNIST(_Published):
    """Handwritten digits, 28x28 with 256 grey levels.

    Args:
        path: a folder with the four IDX files, or an .npz file with ``x_train, y_train, x_test,
            y_test``, or a folder that holds ``mnist.npz``.
        download: whether to fetch it from the Hugging Face hub (the ``hub`` extra) if no path is
            given.
    """

    source: ClassVar[str] = "LeCun, Cortes & Burges; your copy, or ylecun/mnist on the hub"
    licence: ClassVar[str] = "CC BY-SA 3.0 (claimed by mirrors; the authors state none)"
    npz: ClassVar[str] = "mnist.npz"
    hub: ClassVar[str] = "ylecun/mnist"
    sums: ClassVar[tuple[str, str]] = (
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    )


class FashionMNIST(_Published):
    """Pictures of clothes, 28x28 with 256 grey levels.

    Args:
        path: a folder with the four IDX files, or an .npz file with ``x_train, y_train, x_test,
            y_test``, or a folder that holds ``fashion-mnist.npz``. None takes Debian's copy if it
            is installed.
        download: whether to fetch it from the Hugging Face hub (the ``hub`` extra) if it is
            nowhere.
    """

    source: ClassVar[str] = (
        "Xiao, Rasul & Vollgraf (Zalando); apt-get install dataset-fashion-mnist, your copy, or the hub"
    )
    licence: ClassVar[str] = "MIT"
    npz: ClassVar[str] = "fashion-mnist.npz"
    place: ClassVar[Path | None] = Path("/usr/share/datasets/fashion-mnist")
    hub: ClassVar[str] = "zalando-datasets/fashion_mnist"
    sums: ClassVar[tuple[str, str]] = (
        "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    )

    def _advice(self) -> str:
        return f"{super()._advice()}, or, on Debian and Ubuntu, apt-get install dataset-fashion-mnist"


def _sum(images: Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy().data).hexdigest()


def _from_hub(name: str) -> Splits:
    data = load_hub(name)
    images = [_stacked(data[part]["image"]) for part in ("train", "test")]
    labels = [torch.tensor(list(data[part]["label"])) for part in ("train", "test")]
    return Splits(images[0], images[1], 256, labels[0], labels[1])


def _stacked(images: Any) -> Tensor:
    """Grey PIL images as ``(N, 1, H, W)``."""
    return torch.from_numpy(np.stack([np.asarray(image.convert("L")) for image in images]))[:, None]
