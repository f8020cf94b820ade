"""Rate and distortion, drawn; images at increasing rates."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from undiffuse.plots.progressive import save_progressive, save_received

Drawn = Callable[[Path], None]
Opened = Callable[[Path], np.ndarray]
Kept = Callable[[str], list[Figure]]
random = np.random.default_rng(0)
nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rate", "distortion", "lossless"),
    [
        ([0.1, 0.5, 2], [70, 40, 1], 3.5),
        ([0, 0, 0], [0.0, 0, 0], None),
        ([0.1, inf, 2], [nan, 3, 1], inf),
        ([-1, 0, 1], [3, 2, 1], 3.5),
    ],
)
def test_curves_are_drawn_whatever_they_are(
    tmp_path: Path, looks_drawn: Drawn, rate: list[float], distortion: list[float], lossless: float | None
) -> None:
    path = tmp_path / "a.png"
    save_progressive([1, 2 / 3, 1 / 3], rate, distortion, path, distortion_se=[nan, 1, 2], lossless=lossless)
    looks_drawn(path)


def test_one_point_or_nothing_finite_still_gives_a_figure(tmp_path: Path) -> None:
    save_progressive([1.0], [0.5], [2.0], tmp_path / "a.png")
    save_progressive([1.0], [nan], [nan], tmp_path / "b.png")
    assert len(list(tmp_path.iterdir())) == 2


def test_the_drawn_numbers_are_the_given_ones(tmp_path: Path, kept: Kept) -> None:
    boards = kept("progressive")
    options = {"unit": "nats", "measure": "errors", "lossless": 6.0}
    save_progressive([0.5, 1, 0.25], [2, 1, 4], [7, 9, 5], tmp_path / "a.png", **options)
    left, middle, right = boards[0].axes
    assert left.lines[0].get_xydata().tolist() == [[1, 1], [0.5, 2], [0.25, 4]]
    assert middle.lines[0].get_xydata().tolist() == [[1, 9], [0.5, 7], [0.25, 5]]
    assert right.lines[0].get_xydata().tolist() == [[1, 9], [2, 7], [4, 5]]
    assert right.lines[1].get_xydata().tolist() == [[6, 0]] and "6" in right.texts[0].get_text()
    assert (left.get_ylabel(), middle.get_ylabel()) == ("nats", "errors")
    assert (right.get_xlabel(), right.get_ylabel()) == ("nats", "errors")
    assert all(axes.get_xlim()[0] > 1 and axes.get_xlim()[1] < 0 for axes in (left, middle))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_column_is_a_rate_and_a_row_an_example(tmp_path: Path, opened: Opened, channels: int) -> None:
    """Four images of 200 pixels in three columns are wide enough at scale 1."""
    batches = [random.integers(0, 200, (4, channels, 200, 200), dtype=np.uint8) for _ in range(3)]
    save_received(list(zip(("0.5", "1", "truth"), batches, strict=True)), tmp_path / "a.png", "title")
    out = opened(tmp_path / "a.png")
    top, width = out.shape[0] - 4 * 200 - 3 * 2, 202
    assert 30 < top < 80 and (out[:top] < 128).any()
    for number, left in enumerate((1, 1 + width, out.shape[1] - 1 - 200)):
        for row in range(4):
            found = out[top + row * 202 :, left:][:200, :200].transpose(2, 0, 1)
            assert (found == batches[number][row]).all()
    assert (out[:, 2 * width : -width] == 255).all() and out.shape[1] - 3 * width > 20


def test_refusals(tmp_path: Path) -> None:
    images = random.integers(0, 200, (2, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(ValueError, match="columns is empty"):
        save_received([], tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"columns\[1\]\[1\] has shape"):
        save_received([("a", images), ("b", images[:1])], tmp_path / "a.png")
    for name in ("rate", "distortion", "rate_se", "distortion_se"):
        good = {"t": [0.5, 1], "rate": [1, 2], "distortion": [2, 1], "path": tmp_path / "a.png"}
        with pytest.raises(ValueError, match=f"^{name} has 3 values, t has 2"):
            save_progressive(**(good | {name: [1, 2, 3]}))
    assert not list(tmp_path.iterdir())
