"""Stages of samples, and the words beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from undiffuse.plots.stages import save_stages
from undiffuse.plots.weights import save_fields
from undiffuse.plots.words import pad, stack, words

Drawn = Callable[[Path], None]
Opened = Callable[[Path], np.ndarray]
Kept = Callable[[str], list[Figure]]
random = np.random.default_rng(0)
nan, inf = float("nan"), float("inf")


def images(*shape: int) -> np.ndarray:
    return random.integers(0, 200, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_stage_is_a_row_and_every_example_a_column(
    tmp_path: Path, opened: Opened, channels: int
) -> None:
    """Twelve images of 47 pixels are wide enough at scale 1, so the pixels are the images'."""
    stages = [images(12, channels, 47, 47) for _ in range(3)]
    labels = ("true", "t = 0.5", "end")
    save_stages(list(zip(labels, map(torch.from_numpy, stages), strict=True)), tmp_path / "a.png")
    out = opened(tmp_path / "a.png")
    left = out.shape[1] - (12 * 47 + 11 * 2)
    rows, gap = [], (out.shape[0] - 3 * 47) // 2
    for stage in range(3):
        top = stage * (47 + gap)
        for example in range(12):
            corner = left + example * (47 + 2)
            found = out[top : top + 47, corner : corner + 47].transpose(2, 0, 1)
            assert (found == stages[stage][example]).all()
        rows.append(np.nonzero((out[top : top + 47, :left] < 128).all(-1))[0])
    assert gap >= 4
    assert all(len(ink) > 20 and 19 < ink.mean() < 27 for ink in rows)  # a label beside the middle of each
    assert (out[47 : 47 + gap] == 255).all() and (out[:, left - 3 : left] == 255).all()


def test_with_fewer_columns_a_stage_is_a_block(tmp_path: Path, opened: Opened) -> None:
    stages = [images(4, 1, 300, 300) for _ in range(2)]
    save_stages([("a", stages[0]), ("b", stages[1])], tmp_path / "a.png", columns=2)
    out = opened(tmp_path / "a.png")
    assert (out[302:602, -300:, 0] == stages[0][3]).all()
    assert (out[-602:-302, -602:-302, 0] == stages[1][0]).all()


def test_many_examples_are_not_one_endless_row(tmp_path: Path, opened: Opened) -> None:
    save_stages([("true", images(60, 1, 8, 8)), ("end", images(60, 1, 8, 8))], tmp_path / "a.png")
    height, width = opened(tmp_path / "a.png").shape[:2]
    assert 560 <= width < 800 and height > 500


def test_flat_images_leave_room_for_their_labels(tmp_path: Path, opened: Opened) -> None:
    flat = np.full((2, 1, 1, 280), 7, np.uint8)
    save_stages([("one", flat), ("two", flat)], tmp_path / "a.png")
    out = opened(tmp_path / "a.png")
    assert out.shape[0] > 40 and (out[:, -1] == 7).all(-1).sum() == 2


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "rows is empty"),
        ([("a", images(2, 4, 4)), ("b", images(3, 4, 4))], {}, r"rows\[1\]\[1\] has shape \(3, 1, 4, 4\)"),
        ([("a", np.zeros((2, 4, 4)))], {}, r"rows\[0\]\[1\] is float64"),
        ([("a", images(2, 4, 4))], {"columns": 0}, "columns is 0"),
    ],
)
def test_stages_refuse_what_does_not_fit(
    tmp_path: Path, rows: list[tuple[str, np.ndarray]], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save_stages(rows, tmp_path / "a.png", **options)
    with pytest.raises(ValueError, match=r"end it in \.png"):
        save_stages([("a", images(2, 4, 4))], tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_a_failure_while_writing_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    path = tmp_path / "a.png"
    save_stages([("a", images(2, 4, 4))], path)
    before = path.read_bytes()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(RuntimeError, match="disk full"):
        save_stages([("b", images(2, 4, 4))], path)
    with pytest.raises(RuntimeError, match="disk full"):
        save_fields(np.zeros((2, 4, 4)), path, "b")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_words_are_as_high_as_asked_and_never_empty() -> None:
    text = words("t = 0.75", 20)
    assert text.shape[0] == 30 and (text < 100).any() and (text[:2] == 255).all()
    assert words("", 20).shape == (30, 1, 3) and words("two\nlines", 20).shape[0] == 30


def test_pages_are_white_around_what_they_hold() -> None:
    grey, colour = np.full((2, 3), 9, np.uint8), np.full((1, 2, 3), 5, np.uint8)
    page = pad(grey, 4, 5, top=1)
    assert (page[1:3, :3] == 9).all() and (page == 9).sum() == 18 and (page == 255).sum() == 42
    out = stack([grey, colour], gap=2)
    assert out.shape == (5, 3, 3) and (out[4, :2] == 5).all() and (out[2:4] == 255).all()
