import hashlib

import torch
from sklearn.datasets import load_digits

from undiffuse.data import Digits, read_npz
from undiffuse.data.digits import FILE


def test_the_shipped_file_is_the_published_one():
    x, y = read_npz(FILE, "x"), read_npz(FILE, "y")
    assert x.dtype == "uint8" and x.shape == (1797, 8, 8)
    assert hashlib.sha256(x.tobytes()).hexdigest() == (
        "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
    )
    reference = load_digits()
    assert (x == reference.images).all() and (y == reference.target).all()


def test_splits():
    digits = Digits().load()
    assert digits.train.shape == (1497, 1, 8, 8) and digits.test.shape == (300, 1, 8, 8)
    assert digits.train.dtype == torch.uint8 and digits.levels == 17
    assert digits.train.max() == 16
    assert digits.train_labels.dtype == torch.int64 and digits.test_labels.unique().numel() == 10
    assert torch.equal(digits.test, Digits().load().test)
    both = torch.cat((digits.train, digits.test)).flatten(1).double()
    assert both.sum() == read_npz(FILE, "x").sum()


def test_labels_belong_to_their_images():
    digits = Digits().load()
    known = {x.tobytes(): int(y) for x, y in zip(read_npz(FILE, "x"), read_npz(FILE, "y"), strict=True)}
    for image, label in zip(digits.test, digits.test_labels, strict=True):
        assert known[image.numpy().tobytes()] == label
