from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from undiffuse.plots import save_grid, tile
from undiffuse.plots.grid import enlarge, fit

Opened = Callable[[Path], np.ndarray]
random = np.random.default_rng(0)


def images(*shape: int) -> np.ndarray:
    return random.integers(0, 200, shape, dtype=np.uint8)


def test_every_image_lies_in_reading_order_and_the_rest_is_white() -> None:
    batch = images(5, 1, 3, 4)
    out = tile(batch, columns=2, gap=1)
    assert out.dtype == np.uint8 and out.shape == (3 * 3 + 2, 2 * 4 + 1)
    white = np.ones_like(out, bool)
    for index, (top, left) in enumerate([(0, 0), (0, 5), (4, 0), (4, 5), (8, 0)]):
        here = (slice(top, top + 3), slice(left, left + 4))
        assert (out[here] == batch[index, 0]).all()
        white[here] = False
    assert (out[white] == 255).all()


def test_colour_keeps_its_channels() -> None:
    batch = images(2, 3, 4, 4)
    out = tile(batch, columns=2, gap=3)
    assert out.shape == (4, 11, 3)
    assert (out[:, 7:] == batch[1].transpose(1, 2, 0)).all()
    assert (out[:, 4:7] == 255).all()


def test_other_numbers_of_channels_lie_side_by_side_in_grey() -> None:
    batch = images(2, 2, 3, 4)
    out = tile(batch, columns=1, gap=2)
    assert out.shape == (8, 8)
    assert (out[5:, :4] == batch[1, 0]).all() and (out[5:, 4:] == batch[1, 1]).all()


def test_without_channels_is_the_same_as_one_channel_as_is_a_tensor() -> None:
    batch = images(7, 1, 3, 4)
    assert (tile(batch) == tile(batch[:, 0])).all()
    assert (tile(batch) == tile(torch.from_numpy(batch))).all()


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (64, 8), (100, 10)]
)
def test_square_images_make_a_nearly_square_sheet(count: int, columns: int) -> None:
    assert tile(images(count, 5, 5), gap=0).shape[1] == 5 * columns


def test_wide_images_go_in_fewer_columns() -> None:
    height, width = tile(images(16, 4, 16), gap=0).shape
    assert (height, width) == (32, 32)


def test_more_columns_than_images_leave_no_empty_ones() -> None:
    assert tile(images(3, 4, 4), columns=9, gap=1).shape == (4, 14)


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_scaling_is_exact_nearest_neighbour(scale: int) -> None:
    batch = images(2, 3, 4, 5)
    out = enlarge(batch, scale)
    for row in range(4 * scale):
        for column in range(5 * scale):
            here = batch[..., row // scale, column // scale]
            assert (out[..., row, column] == here).all()


def test_a_saved_sheet_holds_the_enlarged_images_exactly(tmp_path: Path, opened: Opened) -> None:
    batch = images(4, 3, 5, 5)
    save_grid(batch, tmp_path / "a.png", columns=2, scale=3)
    out = opened(tmp_path / "a.png")
    assert out.shape == (32, 32, 3)
    large = batch.repeat(3, 2).repeat(3, 3).transpose(0, 2, 3, 1)
    assert (out[:15, :15] == large[0]).all() and (out[:15, 17:] == large[1]).all()
    assert (out[17:, :15] == large[2]).all() and (out[17:, 17:] == large[3]).all()
    assert (out[15:17] == 255).all() and (out[:, 15:17] == 255).all()


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((64, 1, 8, 8), 9),  # 64 pixels wide: 576
        ((64, 1, 28, 28), 3),
        ((1, 3, 600, 600), 1),
        ((1, 3, 560, 560), 1),
        ((1, 3, 559, 559), 2),
    ],
)
def test_the_default_scale_is_the_least_that_makes_a_sheet_wide_enough(
    shape: tuple[int, ...], scale: int
) -> None:
    assert fit(images(*shape)) == scale


def test_the_default_scale_stops_before_a_sheet_gets_very_tall() -> None:
    assert fit(images(50, 1, 28, 28), columns=1) == 1
    assert fit(images(10, 1, 28, 28), columns=1) == 8  # 2240 pixels high


def test_a_saved_sheet_is_at_least_560_wide(tmp_path: Path, opened: Opened) -> None:
    save_grid(images(10, 28, 28), tmp_path / "a.png")
    assert 560 <= opened(tmp_path / "a.png").shape[1] < 700


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 0}, "columns is 0"),
        ({"scale": 0}, "scale is 0"),
        ({"scale": -2}, "scale is -2"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save_grid(images(2, 4, 4), tmp_path / "a.png", **options)
    assert not list(tmp_path.iterdir())


def test_bad_gap_and_bad_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gap is -1"):
        tile(images(2, 4, 4), gap=-1)
    with pytest.raises(ValueError, match=r"'\.gif'; end it in \.png"):
        save_grid(images(2, 4, 4), tmp_path / "a.gif")
    with pytest.raises(ValueError, match="images is float32"):
        save_grid(torch.zeros(2, 4, 4), tmp_path / "a.png")
