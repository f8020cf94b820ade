import struct
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from undiffuse.data import MNIST, FashionMNIST

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (9, 28, 28), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 9, dtype=np.uint8)


def fill(folder):
    for part, rows in (("train", slice(6)), ("t10k", slice(6, 9))):
        for name, array in ((f"{part}-images-idx3", IMAGES), (f"{part}-labels-idx1", LABELS)):
            array = array[rows]
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / f"{name}-ubyte").write_bytes(head + array.tobytes())


def check(splits):
    assert splits.shape == (1, 28, 28) and splits.levels == 256
    assert torch.equal(splits.train[:, 0], torch.from_numpy(IMAGES[:6]))
    assert torch.equal(splits.test[:, 0], torch.from_numpy(IMAGES[6:]))
    assert splits.train_labels.tolist() == LABELS[:6].tolist()
    assert splits.test_labels.tolist() == LABELS[6:].tolist()


def save(path):
    np.savez_compressed(path, x_train=IMAGES[:6], y_train=LABELS[:6], x_test=IMAGES[6:], y_test=LABELS[6:])


@pytest.fixture(autouse=True)
def no_system_copy(monkeypatch):
    monkeypatch.setattr(FashionMNIST, "place", None)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_your_own_copy(tmp_path, kind):
    fill(tmp_path)
    check(kind(tmp_path).load())
    check(kind(str(tmp_path)).load())
    save(tmp_path / "any.npz")
    check(kind(tmp_path / "any.npz").load())


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_npz_in_a_folder(tmp_path, kind):
    save(tmp_path / kind.npz)
    check(kind(tmp_path).load())


def test_nothing_found_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        MNIST().load()
    for remedy in ("data.path=FOLDER", "FILE.npz", "data.download=true", "datasets>="):
        assert remedy in str(caught.value)
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        FashionMNIST().load()
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        MNIST(tmp_path / "nowhere").load()


def test_the_systems_copy_is_checked(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setattr(FashionMNIST, "place", tmp_path)
    with pytest.raises(ValueError, match="does not hold the published images"):
        FashionMNIST().load()
    sums = tuple(_sha(images) for images in (IMAGES[:6], IMAGES[6:]))
    monkeypatch.setattr(FashionMNIST, "sums", sums)
    check(FashionMNIST().load())


@pytest.mark.parametrize(
    ("kind", "name"), [(MNIST, "ylecun/mnist"), (FashionMNIST, "zalando-datasets/fashion_mnist")]
)
def test_download_asks_the_hub_once(monkeypatch, kind, name):
    asked = []

    def load_dataset(dataset):
        asked.append(dataset)
        parts = {"train": slice(6), "test": slice(6, 9)}
        return {
            part: {
                "image": [Image.fromarray(image) for image in IMAGES[rows]],
                "label": LABELS[rows].tolist(),
            }
            for part, rows in parts.items()
        }

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    check(kind(download=True).load())
    assert asked == [name]


def test_download_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if not installed
    with pytest.raises(ImportError, match=r"pip install 'datasets>="):
        MNIST(download=True).load()


def _sha(images):
    import hashlib

    return hashlib.sha256(images.tobytes()).hexdigest()
