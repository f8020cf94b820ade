"""Columns of a table beside samples of them, drawn: with holes, and with words."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from undiffuse.plots.columns import save_columns

R = np.random.default_rng(0)
REAL, DRAWN = R.normal(size=(80, 3)), R.normal(size=(60, 3))
REAL[:, 1], DRAWN[:, 1] = R.integers(0, 3, 80), R.integers(0, 3, 60)
NAMES, WORDS = ("a", "kind", "c"), ((), ("left", "middle", "right"), ())


def test_holes_are_left_out_of_a_columns_histogram(
    tmp_path: Path, kept: Callable[[str], list[Figure]]
) -> None:
    boards, holes = kept("columns"), REAL.copy()
    holes[::3] = np.nan
    save_columns(NAMES, holes, DRAWN, tmp_path / "a.png", WORDS)
    save_columns(NAMES, holes[~np.isnan(holes).any(1)], DRAWN, tmp_path / "b.png", WORDS)
    heights = [[[p.get_height() for p in each.patches[:-1]] for each in board.axes[:3]] for board in boards]
    assert heights[0] == heights[1] and all(sum(each) > 0 for each in heights[0])


def test_words_stand_below_their_bars(tmp_path: Path, kept: Callable[[str], list[Figure]]) -> None:
    boards = kept("columns")
    save_columns(NAMES, REAL, DRAWN, tmp_path / "a.png", WORDS)
    axes = boards[0].axes[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["left", "middle", "right"]
    shares = np.bincount(REAL[:, 1].astype(int)) / 80
    assert [p.get_height() for p in axes.patches[:3]] == pytest.approx(shares)


def test_it_is_a_picture(tmp_path: Path, looks_drawn: Callable[[Path], None]) -> None:
    real, drawn = (np.tile(each, 2)[:, :5] for each in (REAL, DRAWN))
    save_columns("abcde", real, drawn, tmp_path / "a.png")
    looks_drawn(tmp_path / "a.png")
