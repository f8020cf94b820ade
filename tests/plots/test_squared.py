"""The curve of mean squared errors, drawn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from undiffuse.plots.squared import save_squared

LOGSNR = torch.linspace(6, -7, 30)
MSE = torch.sigmoid(-LOGSNR)


def test_a_curve_and_its_chains_are_drawn(tmp_path: Path, looks_drawn: Callable[[Path], None]) -> None:
    chains = {"best of 5": LOGSNR[::6], "even": LOGSNR[[0, 15, 29]]}
    save_squared(LOGSNR, MSE, MSE / 10, tmp_path / "a.png", chains)
    looks_drawn(tmp_path / "a.png")


def test_what_is_drawn_is_what_was_measured(tmp_path: Path, kept: Callable[[str], list[Figure]]) -> None:
    boards = kept("squared")
    save_squared(LOGSNR, MSE, MSE / 10, tmp_path / "a.png", {"best": LOGSNR[::6]})
    axes = boards[0].axes[0]
    line, ticks = axes.lines
    assert torch.allclose(torch.as_tensor(line.get_ydata()).float(), MSE)
    assert ticks.get_xdata().tolist() == LOGSNR[::6].tolist() and axes.xaxis_inverted()


def test_arrays_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mse"):
        save_squared(LOGSNR, MSE.unsqueeze(1), MSE, tmp_path / "a.png")
