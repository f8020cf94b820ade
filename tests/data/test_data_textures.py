import sys

import numpy as np
import pytest
import torch

from undiffuse.data.textures import SURFACES, Textures


@pytest.fixture
def data():
    return pytest.importorskip("skimage.data")


def found(picture, patch):
    """Rows of the picture at which the patch's first line begins."""
    lines = np.lib.stride_tricks.sliding_window_view(picture, patch.shape)
    return np.unique((lines == patch).all((2, 3)).nonzero()[0])


@pytest.mark.slow
def test_patches_come_from_the_pictures_and_from_their_part(data):
    for name in SURFACES:
        splits = Textures(size=9, train=4, test=4, names=(name,)).load()
        picture = getattr(data, name)()
        for patch in splits.train[:, 0]:
            assert (rows := found(picture, patch.numpy())).size and rows.min() <= 384 - 9
        for patch in splits.test[:, 0]:
            assert (rows := found(picture, patch.numpy())).size and rows.max() >= 384


def test_shape_and_determinism(data):
    first, again = (Textures(train=300, test=30).load() for _ in range(2))
    assert first.train.shape == (300, 1, 32, 32) and first.test.shape == (30, 1, 32, 32)
    assert first.levels == 256 and first.train.dtype == torch.uint8
    assert torch.equal(first.train, again.train) and torch.equal(first.test, again.test)
    assert not torch.equal(first.train, Textures(train=300, test=30, seed=1).load().train)


def test_all_pictures_are_used(data):
    """Their patches differ in spread: those of all three lie between."""
    spreads = [
        float(Textures(train=2_000, test=1, names=names).load().train.double().flatten(1).var(1).mean())
        for names in [*((name,) for name in SURFACES), SURFACES]
    ]
    assert spreads[3] == pytest.approx(sum(spreads[:3]) / 3, rel=0.05)


def test_the_largest_patch(data):
    assert Textures(size=128, train=2, test=2).load().shape == (1, 128, 128)
    with pytest.raises(ValueError, match=r"brick is 512 high and 512 wide.*size=129.*data\.size=128"):
        Textures(size=129, train=2, test=2).load()


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)  # as if not installed
    with pytest.raises(ImportError, match=r"pip install 'scikit-image>="):
        Textures().load()


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 0},
        {"train": 0},
        {"test": 0},
        {"names": ()},
        {"names": ("moon",)},
        {"names": "brick"},
        {"names": ("brick", "brick")},
    ],
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Textures(**bad)
