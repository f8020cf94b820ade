import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from undiffuse.plots.entropy import save_entropy
from undiffuse.plots.monitors import save_monitors
from undiffuse.plots.small import LETTERS, shorten
from undiffuse.plots.stages import save_stages
from undiffuse.plots.style import MUTED, RED
from undiffuse.plots.weights import save_fields, save_histograms
from undiffuse.plots.words import pad, stack, words

Drawn = Callable[[Path], None]
Opened = Callable[[Path], np.ndarray]
Kept = Callable[[str], list[Figure]]
random = np.random.default_rng(0)
nan, inf = float("nan"), float("inf")


def images(*shape: int) -> np.ndarray:
    return random.integers(0, 200, shape, dtype=np.uint8)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Figures of a module, kept instead of saved, to read the drawn numbers back."""

    def keep(name: str) -> list[Figure]:
        boards: list[Figure] = []
        module = importlib.import_module(f"undiffuse.plots.{name}")
        monkeypatch.setattr(module, "save", lambda board, path: boards.append(board))
        return boards

    return keep


@pytest.mark.parametrize(
    ("lower", "upper", "model"),
    [
        ([-3.0, -1, 0], [-2.0, 0, 1], [-2.5, -0.5, 0.9]),
        ([1e-6, 1e-3, 0.5], [1e-5, 1e-2, 0.9], [5e-6, 0.0, 0.7]),
        ([0.0, 0, 0], [0.0, 0, 0], [0.0, 0, 0]),
        ([-inf, -1, 0], [-2.0, 0, 1], [-9.0, -0.5, 7]),
        ([-inf, -inf, -inf], [-2.0, 0, 1], [nan, nan, nan]),
        ([1.0, 1, 1], [1.0, 1, 1 + 1e-15], [1.0, 1, 1e9]),
    ],
)
def test_entropies_are_drawn_whatever_they_are(
    tmp_path: Path, looks_drawn: Drawn, lower: list[float], upper: list[float], model: list[float]
) -> None:
    save_entropy([1 / 3, 2 / 3, 1], lower, upper, model, tmp_path / "a.png", model_se=[0.1, nan, 0.0])
    looks_drawn(tmp_path / "a.png")


def test_no_finite_entropy_still_gives_a_figure(tmp_path: Path) -> None:
    save_entropy([1.0], [nan], [nan], [nan], tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_the_order_of_the_steps_does_not_matter(tmp_path: Path) -> None:
    t, lower, upper, model = torch.rand(4, 30)
    turned = [values.flip(0) for values in (t, lower, upper, model, model / 9)]
    save_entropy(t, lower, upper, model, tmp_path / "a.png", model_se=model / 9)
    save_entropy(*turned[:4], tmp_path / "b.png", model_se=turned[4])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_model_is_placed_between_the_bounds(tmp_path: Path, kept: Kept) -> None:
    boards = kept("entropy")
    save_entropy([0.25, 0.5, 1], [-2, -1, 0], [0, -1, 4], [-1.5, -1, 5], tmp_path / "a.png", unit="nats")
    band, gap, place = boards[0].axes
    low, high, model = (one.get_ydata().tolist() for one in band.lines)
    assert (low, high, model) == ([0, -1, -2], [4, -1, 0], [5, -1, -1.5])  # t from 1 to 0
    assert band.get_yscale() == "linear" and band.get_ylabel() == "nats"
    assert band.get_xlim()[0] > 1 and band.get_xlim()[1] < 0
    assert gap.lines[0].get_xydata()[[0, 2]].tolist() == [[1, 4], [0.25, 2]]
    assert place.lines[0].get_xydata()[[0, 2]].tolist() == [[1, 1.25], [0.25, 0.25]]
    assert np.isnan(place.lines[0].get_ydata()[1]) and np.isnan(gap.lines[0].get_ydata()[1])
    assert "1 of 3 steps" in gap.get_xlabel() and "1 of 2 outside" in place.get_xlabel()


def test_the_band_is_shaded_where_the_bounds_are(tmp_path: Path, opened: Opened) -> None:
    t = np.linspace(0, 1, 50)
    save_entropy(t, t * 0, t * 0 + 1, t * 0 + 0.5, tmp_path / "a.png")
    picture = opened(tmp_path / "a.png").astype(int)[:, : 700 * 9 // 10]
    pale = (picture[..., 2] - picture[..., 0] > 30) & (picture[..., 0] > 150)
    assert pale.mean() > 0.5


def test_positive_entropies_over_many_orders_are_logarithmic(tmp_path: Path, kept: Kept) -> None:
    boards = kept("entropy")
    save_entropy([0.2, 0.6, 1], [0, 1e-4, 0.5], [1e-5, 1e-2, 0.9], [5e-6, 5e-3, 0.7], tmp_path / "a.png")
    band = boards[0].axes[0]
    assert band.get_yscale() == "log" and 0 < band.get_ylim()[0] < 5e-6
    assert (band.lines[0].get_ydata() > 0).all()


def test_entropies_refuse_what_does_not_fit(tmp_path: Path) -> None:
    good = {"t": [0.5, 1], "lower": [0, 0], "upper": [1, 1], "model": [0.5, 0.5], "path": tmp_path / "a.png"}
    for name in ("lower", "upper", "model", "model_se"):
        with pytest.raises(ValueError, match=f"^{name} has 3 values, t has 2"):
            save_entropy(**(good | {name: [1, 2, 3]}))
    with pytest.raises(ValueError, match=r"end it in \.png"):
        save_entropy(**(good | {"path": tmp_path / "a.gif"}))
    assert not list(tmp_path.iterdir())


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
