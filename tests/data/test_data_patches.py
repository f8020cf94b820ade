import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from undiffuse.data.patches import Patches, cut

HEIGHT, WIDTH = 23, 11  # the upper part has 17 rows, the lower 6


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def numbered(picture=0):
    """A picture in which every pixel has its own colour: (row, column, picture)."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    return np.stack([rows, columns, np.full_like(rows, picture)], -1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        save(tmp_path / f"{'sub/' if i else ''}{i}.png", numbered(i))
    return tmp_path


def corners(patches):
    """(row, column, picture) of the upper left pixel, having checked that the rest follows from it."""
    size = patches.shape[-1]
    rows, columns, picture = patches.long().unbind(1)
    assert torch.equal(rows, rows[:, :1, :1] + torch.arange(size)[:, None].expand(size, size))
    assert torch.equal(columns, columns[:, :1, :1] + torch.arange(size).expand(size, size))
    assert torch.equal(picture, picture[:, :1, :1].expand(-1, size, size))
    return patches.long()[:, :, 0, 0].T


@pytest.mark.parametrize("size", [1, 4, 6])
def test_every_place_is_equally_likely_and_no_pixel_is_shared(folder, size):
    splits = Patches(folder, size=size, channels=3, train=9_000, test=9_000).load()
    assert splits.shape == (3, size, size) and splits.levels == 256
    for patches, first, after in ((splits.train, 0, 17), (splits.test, 17, HEIGHT)):
        row, column, picture = corners(patches)
        assert len(patches) == 9_000
        for value, low, high in ((row, first, after - size), (column, 0, WIDTH - size), (picture, 0, 2)):
            counts = torch.bincount(value - low, minlength=high - low + 1)
            assert value.min() == low and value.max() == high
            assert len(counts) == 1 or stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_rows_and_columns_and_pictures_are_independent(folder):
    row, column, picture = corners(Patches(folder, size=4, channels=3, train=9_000, test=1).load().train)
    correlation = np.corrcoef(torch.stack([row, column, picture]).numpy())
    assert abs(correlation - np.eye(3)).max() < 4 / np.sqrt(9_000)


def test_determinism(folder):
    first, again = (Patches(folder, size=4, channels=3, train=40, test=40).load() for _ in range(2))
    other = Patches(folder, size=4, channels=3, train=40, test=40, seed=1).load()
    assert not torch.equal(corners(first.train)[1], corners(first.test)[1])
    assert torch.equal(first.train, again.train) and torch.equal(first.test, again.test)
    assert not torch.equal(first.train, other.train)


def test_grey_and_colour(tmp_path):
    save(tmp_path / "grey.png", np.full((40, 40), 100, np.uint8))
    save(tmp_path / "red.png", np.full((40, 40, 3), (255, 0, 0), np.uint8))
    grey = Patches(tmp_path, size=5, train=50, test=50).load().train
    assert grey.shape == (50, 1, 5, 5) and grey.unique().tolist() == [76, 100]
    colour = Patches(tmp_path, size=5, channels=3, train=50, test=50).load().train
    assert colour.shape == (50, 3, 5, 5) and colour[:, 1].unique().tolist() == [0, 100]


@pytest.mark.parametrize(
    ("height", "width", "fits"), [(24, 9, 6), (21, 9, 6), (20, 9, 5), (40, 4, 4), (1, 1, 0), (5, 9, 2)]
)
def test_too_small_pictures_are_named(tmp_path, height, width, fits):
    save(tmp_path / "big.png", np.zeros((99, 99), np.uint8))
    save(tmp_path / "tiny.png", np.zeros((height, width), np.uint8))
    if fits:
        assert len(Patches(tmp_path, size=fits, train=5, test=5).load().test) == 5
    with pytest.raises(
        ValueError, match=rf"tiny\.png is {height} high and {width} wide.*size={fits + 1}"
    ) as e:
        Patches(tmp_path, size=fits + 1, train=5, test=5).load()
    assert f"data.size={max(fits, 1)}" in str(e.value)


def test_a_picture_that_is_small_only_once_decoded():
    with pytest.raises(ValueError, match="late is 9 high and 9 wide"):
        cut(["late"], lambda _: np.zeros((1, 9, 9), np.uint8), (1, 4), 5, 5, 0)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        Patches(tmp_path / "nowhere").load()
    with pytest.raises(ValueError, match=r"no \.png"):
        Patches(tmp_path).load()


@pytest.mark.parametrize("bad", [{"size": 0}, {"size": 5000}, {"train": 0}, {"test": 0}, {"channels": 2}])
def test_bad_arguments(tmp_path, bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}={next(iter(bad.values()))}"):
        Patches(tmp_path, **bad)
