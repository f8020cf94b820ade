import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from undiffuse.plots.style import COLORS, color, figure, pixels, save, suffix


def test_the_ending_is_checked_in_any_case() -> None:
    assert suffix("a/B.PNG", ".png") == ".png"
    with pytest.raises(ValueError, match=r"path 'a\.jpg' ends in '\.jpg'; end it in \.png or \.svg"):
        suffix("a.jpg", ".png", ".svg")


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_are_saved_in_the_format_of_the_ending(tmp_path: Path, kind: str, magic: bytes) -> None:
    path = tmp_path / f"a.{kind}"
    save(figure(3, 2), path)
    assert path.read_bytes().startswith(magic)


def test_pixels_are_the_figure_at_its_size() -> None:
    board = figure(2, 1)
    board.add_artist(Rectangle((0, 0), 0.5, 1, color="#ff0000"))
    picture = pixels(board)
    assert picture.shape == (150, 300, 3) and picture.dtype == np.uint8
    assert picture[75, 10].tolist() == [255, 0, 0] and picture[75, 290].tolist() == [255] * 3


def test_a_second_lap_of_colours_is_dashed() -> None:
    looks = [color(i) for i in range(4 * len(COLORS))]
    assert len(set(looks)) == len(looks)


def test_nothing_touches_the_global_state_of_pyplot(tmp_path: Path) -> None:
    threads = [threading.Thread(target=save, args=(figure(2, 2), tmp_path / f"{i}.png")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
