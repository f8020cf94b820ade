"""Histograms and receptive fields of weights, and monitors over the steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from undiffuse.plots.monitors import save_monitors
from undiffuse.plots.small import LETTERS, shorten
from undiffuse.plots.style import MUTED, RED
from undiffuse.plots.weights import save_fields, save_histograms

Drawn = Callable[[Path], None]
Opened = Callable[[Path], np.ndarray]
Kept = Callable[[str], list[Figure]]
random = np.random.default_rng(0)
nan, inf = float("nan"), float("inf")


def test_histograms_of_healthy_and_of_broken_tensors(tmp_path: Path, looks_drawn: Drawn) -> None:
    tensors: dict[str, Any] = {
        "weight": torch.randn(8, 3, 3, 3, requires_grad=True),
        "half": torch.randn(100).bfloat16(),
        "zero": torch.zeros(5),
        "ones": torch.ones(5),
        "two values": torch.tensor([0.0, 2.0]),
        "nearly constant": 1 + 1e-16 * np.arange(9),
        "nothing finite": [nan, inf, -inf],
        "one finite": [nan, 2.0],
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(3.0),
        "counts": torch.arange(10),
        "huge": 1e300 * random.standard_normal(50),
        "tiny": 1e-30 * random.standard_normal(50),
    }
    save_histograms(tensors, tmp_path / "a.png", "Parameters")
    looks_drawn(tmp_path / "a.png")


def test_a_panel_says_shape_size_zeros_and_what_is_not_finite(tmp_path: Path, kept: Kept) -> None:
    boards = kept("weights")
    sparse = np.array([[3.0, 0, -3, 0], [0, 0, 3, -3]])
    arrays = {"a.weight": sparse, "b": [1.0, nan, 1], "c": [nan], "d": [0.0, 0], "e": [0, 2.0]}
    save_histograms(arrays, tmp_path / "a.png", "Gradients")
    first, *rest = boards[0].axes
    assert first.get_title(loc="left") == "a.weight"
    assert first.get_xlabel() == "2×4\nrms 2.1, 50% zeros"
    assert first.patches[0].get_data().values.sum() == 4  # the zeros are not in the bars
    assert rest[0].get_xlabel() == "3 values, 1 not finite\nrms 1, no zeros"
    assert rest[1].get_xlabel() == "1 value, 1 not finite\n"
    assert first.xaxis.label.get_color() == MUTED and rest[0].xaxis.label.get_color() == RED
    texts = [axes.texts[0].get_text() for axes in rest]
    assert texts == ["all 1", "no finite value", "all zero", "0 and 2 only"]


def test_the_24_largest_are_drawn_in_their_order(tmp_path: Path, kept: Kept) -> None:
    boards = kept("weights")
    arrays = {f"layer {i}": random.standard_normal(10 + i % 15) for i in range(30)}
    save_histograms(arrays, tmp_path / "a.png", "All")
    left = {0, 15, 1, 16, 2, 17}  # the six smallest
    titles = [axes.get_title(loc="left") for axes in boards[0].axes]
    assert titles == [f"layer {i}" for i in range(30) if i not in left]
    assert boards[0].get_suptitle() == "All  -  the 24 largest of 30 tensors, 6 left out"
    save_histograms({"a": [1.0, 2]}, tmp_path / "a.png", "One")
    assert boards[1].get_suptitle() == "One"


def test_long_names_keep_their_end() -> None:
    name = "unet.down.0.blocks.1.attention.project.weight"
    assert shorten("norm.bias") == "norm.bias"
    assert shorten("x" * 9 + "." + "y" * (LETTERS - 2)) == "…" + "y" * (LETTERS - 2)
    assert (
        shorten(name).startswith("…") and name.endswith(shorten(name)[1:]) and len(shorten(name)) == LETTERS
    )


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_fields_are_grey_at_zero_and_scaled_by_themselves(
    tmp_path: Path, opened: Opened, channels: int
) -> None:
    weights = np.zeros((4, channels, 10, 10) if channels else (4, 10, 10))
    for place, value in enumerate((2.0, -1e-6, 1e6)):
        weights[place, ..., :5] = value
    save_fields(torch.from_numpy(weights), tmp_path / "a.png", "Filters")
    out = opened(tmp_path / "a.png")
    below = out[np.argmax((out == 128).all(-1).any(1)) :]  # below title and legend
    levels = [int(np.median(level)) for level in np.unique(below.reshape(-1, 3), axis=0)]
    assert levels == [1, 128, 255]
    parts = np.array_split(below, 2)
    black = [(part == 1).all(-1).mean() for part in parts]
    white = [(part[:, :10] == 255).all(-1).mean() for part in parts]
    if channels < 4:  # two a row: the first and the third are white at the left
        assert black[0] > 0.2 and black[1] == 0 and min(white) > 0.9
    assert (out[0, 0] == 255).all() and (out[:20] < 128).any()


def test_broken_fields_are_grey_and_counted(tmp_path: Path, opened: Opened) -> None:
    save_fields(np.full((2, 3, 3), nan), tmp_path / "a.png", "Broken")
    out = opened(tmp_path / "a.png").astype(int)
    assert (out[-1, 0] == 128).all() and (np.ptp(out[:60], axis=-1) > 60).any()  # the legend is red
    save_fields(np.zeros((2, 3, 3)), tmp_path / "a.png", "Fresh")
    assert not (np.ptp(opened(tmp_path / "a.png").astype(int), axis=-1) > 60).any()


@pytest.mark.parametrize("shape", [(3, 3), (0, 1, 3, 3), (1, 1, 1, 3, 3)])
def test_fields_refuse_other_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"weights has shape .*give \(N, C, h, w\)"):
        save_fields(np.zeros(shape), tmp_path / "a.png", "Filters")
    with pytest.raises(ValueError, match=r"end it in \.png"):
        save_fields(np.zeros((1, 3, 3)), tmp_path / "a.svg", "Filters")
    with pytest.raises(ValueError, match="arrays is empty"):
        save_histograms({}, tmp_path / "a.png", "None")
    assert not list(tmp_path.iterdir())


def test_monitors_of_any_length_and_health(tmp_path: Path, looks_drawn: Drawn) -> None:
    step = torch.arange(100)
    series: dict[str, Any] = {
        "falling": (step, torch.exp(-step / 10)),
        "flat": (step, torch.ones(100)),
        "negative": (step, -step),
        "one": ([5], [1.0]),
        "broken": ([0, 1, nan], [nan, inf, 1.0]),
    }
    save_monitors(series, tmp_path / "a.png", "Norms")
    looks_drawn(tmp_path / "a.png")
    save_monitors({"one": ([5], [1.0])}, tmp_path / "b.png")
    save_monitors({"only": ([nan], [nan])}, tmp_path / "b.png")
    assert (tmp_path / "b.png").exists()


def test_monitors_are_sorted_share_their_steps_and_are_logarithmic_if_it_helps(
    tmp_path: Path, kept: Kept
) -> None:
    boards = kept("monitors")
    series = {
        "far": ([2, 0, 1], [30.0, 1, nan]),
        "near": ([0, 8], [1.0, 9]),
        "crossing": ([0, 1], [-1.0, 100]),
    }
    save_monitors(series, tmp_path / "a.png", "Norms")
    far, near, crossing = boards[0].axes
    assert far.lines[0].get_xydata().tolist() == [[0, 1], [2, 30]]
    assert [axes.get_yscale() for axes in (far, near, crossing)] == ["log", "linear", "linear"]
    assert far.get_xlim() == near.get_xlim() == crossing.get_xlim() and near.get_xlim()[1] > 8
    assert far.get_xlabel() == "1 of 3 not finite" and near.get_xlabel() == ""


def test_monitors_refuse_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="series is empty"):
        save_monitors({}, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"series\['a'\] has 2 steps and 3 values"):
        save_monitors({"a": ([1, 2], [1, 2, 3])}, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"series\['a'\]\[1\] has shape \(0,\)"):
        save_monitors({"a": ([1, 2], [])}, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
