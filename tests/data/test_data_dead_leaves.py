import math

import pytest
import torch
from scipy import integrate, stats

from undiffuse.data import dead_leaves
from undiffuse.data.dead_leaves import DeadLeaves

SIZE, SMALLEST, LARGEST = 12, 1.0, 4.0


def leaves(train=8_000, exponent=3.0, **other):
    return DeadLeaves(SIZE, train, 1, SMALLEST, LARGEST, exponent, **other)


@pytest.fixture(scope="module", params=[3.0, 1.0])
def sample(request):
    return request.param, leaves(exponent=request.param).load().train[:, 0]


def lens(r, d):
    """Area of the overlap of two discs of radius r, d apart."""
    if d >= 2 * r:
        return 0.0
    return 2 * r * r * math.acos(d / (2 * r)) - d / 2 * math.sqrt(4 * r * r - d * d)


def same_leaf(d, exponent):
    """P(one leaf | d) = g(d) / (2 g(0) - g(d)); the normalizer of the radii cancels."""

    def g(d):
        knots = [d / 2] if SMALLEST < d / 2 < LARGEST else None
        return integrate.quad(lambda r: r**-exponent * lens(r, d), SMALLEST, LARGEST, points=knots)[0]

    return g(d) / (2 * g(0) - g(d))


@pytest.mark.parametrize("corner", [(0, 0), (3, 2)])
@pytest.mark.parametrize("offset", [(0, 1), (0, 3), (2, 0), (1, 1), (4, 3), (0, 9)])
def test_two_pixels_share_a_leaf_as_often_as_the_closed_form_says(sample, corner, offset):
    """One pair an image, so that the pairs are independent; at the border as in the middle."""
    exponent, images = sample
    (y, x), (down, right) = corner, offset
    equal = (images[:, y, x] == images[:, y + down, x + right]).double()
    same = same_leaf(math.hypot(down, right), exponent)
    p = same + (1 - same) / 256
    assert abs(float(equal.mean()) - p) < 4 * math.sqrt(p * (1 - p) / len(images))


def test_the_closed_form_itself():
    assert same_leaf(0, 3.0) == pytest.approx(1)
    assert same_leaf(2 * LARGEST, 3.0) == 0
    assert 0 < same_leaf(3, 3.0) < same_leaf(1, 3.0) < 1


@pytest.mark.parametrize("pixel", [(0, 0), (0, 11), (6, 6)])
def test_levels_are_uniform(sample, pixel):
    counts = torch.bincount(sample[1][:, *pixel].long(), minlength=256)
    assert len(counts) == 256
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("exponent", [3.0, 2.0, 1.0, 2.5, 0.0, -1.0, 8.0])
def test_radii_of_the_discs_that_touch_the_picture(exponent):
    """Against quadrature of r^-exponent (size + 2r)^2; 1, 2 and 3 have a logarithm in the mixture."""
    u = torch.rand(2, 20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    r = leaves(exponent=exponent)._radius(*u)
    assert r.min() >= SMALLEST and r.max() <= LARGEST * (1 + 1e-12)

    def mass(to):
        return integrate.quad(lambda r: r**-exponent * (SIZE + 2 * r) ** 2, SMALLEST, to)[0]

    for to in (1.1, 1.5, 2.0, 3.0, 3.8):
        p = mass(to) / mass(LARGEST)
        assert abs(float((r <= to).double().mean()) - p) < 4 * math.sqrt(p * (1 - p) / r.numel())


def test_the_first_disc_wins():
    """Two discs over one picture of 3 pixels: both over the middle, the second alone over the right."""
    column = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    grey = torch.tensor([[7, 9]], dtype=torch.uint8)
    levels = torch.zeros(9, dtype=torch.uint8)
    left = dead_leaves._cover(levels, torch.arange(9), column, torch.zeros(3, 2), grey)
    assert levels.reshape(3, 3).tolist() == [[0, 7, 9]] * 3
    assert left.tolist() == [0, 3, 6]


def test_rows_are_y_and_columns_x(monkeypatch):
    """Discs at left = 0.5 pixels and top = 2.5 pixels must show in row 2 of column 0."""
    numbers = torch.tensor([0.0, 0.0, 1.5 / 5, 3.5 / 5, 0.5])  # radius 1, so centre = 5 u - 1
    monkeypatch.setattr(dead_leaves, "uniform", lambda shape, _: numbers.expand(shape).double())
    x, y, _ = DeadLeaves(size=3, train=1, test=1)._discs(range(1))
    assert (x[:, 0, None] + y[None, :, 0] <= 1e-6).nonzero().tolist() == [[0, 1], [0, 2], [1, 2]]


def test_an_image_depends_on_nothing_but_the_seed_and_its_number(monkeypatch):
    whole = leaves(train=50).load()
    assert whole.train.shape == (50, 1, SIZE, SIZE) and whole.train.dtype == torch.uint8
    assert whole.levels == 256
    assert torch.equal(leaves(train=20).load().train, whole.train[:20])
    monkeypatch.setattr(dead_leaves, "BLOCK", 7 * SIZE**2)
    monkeypatch.setattr(dead_leaves, "CHUNK", 1000)
    assert torch.equal(leaves(train=50).load().train, whole.train)
    assert not torch.equal(leaves(train=50, seed=1).load().train, whole.train)
    assert not torch.equal(whole.train[:1], whole.test)


def test_the_greatest_radius_is_half_the_side_unless_told():
    assert DeadLeaves().largest == 16 and DeadLeaves(size=64).largest == 32
    assert DeadLeaves(largest=3).largest == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"train": 0},
        {"test": 0},
        {"size": 0},
        {"size": 1025},
        {"smallest": 0.0},
        {"smallest": 16.0},
        {"smallest": math.nan},
        {"largest": 0.5},
        {"largest": math.inf},
        {"exponent": math.nan},
        {"exponent": 11.0},
    ],
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}={next(iter(bad.values()))}"):
        DeadLeaves(**bad)
