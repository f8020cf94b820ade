from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from undiffuse.plots import save_schedules, save_terms, save_training, save_trajectories
from undiffuse.plots.curves import _rates, _steps, _view, curve, smooth
from undiffuse.plots.scatter import bounds

Drawn = Callable[[Path], None]
Opened = Callable[[Path], np.ndarray]
random = np.random.default_rng(0)
nan, inf = float("nan"), float("inf")


def rows(count: int = 200) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for step in range(count):
        loss = 0.1 + float(np.exp(-step / 20))
        out.append({"step": step, "loss": loss, "lr": 1e-4, "grad_norm": 1.0, "seconds": 0.1})
        if step % 50 == 0:
            out.append({"step": step, "test_bits": 3.0 + loss, "test_bits_se": 0.1})
    return out


@pytest.mark.parametrize(
    "data",
    [
        rows(),
        rows(1),
        [{"step": 0, "loss": -3.0}, {"step": 5, "loss": -4.0, "test_bits": 2.0}],
        [{"step": i, "loss": nan if i > 3 else 1.0, "grad_norm": None, "lr": inf} for i in range(9)],
        [{"step": 1, "loss": nan, "lr": 1e-3, "test_bits": nan, "test_bits_se": nan}],
        [{"step": 1, "loss": 1.0, "test_bits": 2.0, "test_bits_se": nan}, {"loss": 2.0}],
        [{"step": i, "loss": 5.0, "lr": 1e-3, "grad_norm": 0.0} for i in range(100)],
    ],
)
def test_training_is_drawn_from_whatever_rows_there_are(
    tmp_path: Path, looks_drawn: Drawn, data: list[dict[str, Any]]
) -> None:
    save_training(data, tmp_path / "a.png")
    looks_drawn(tmp_path / "a.png")


def test_rows_without_a_single_number_still_give_a_figure(tmp_path: Path) -> None:
    save_training([{"step": nan, "loss": nan}], tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows is empty; give .*metrics\.jsonl"):
        save_training([], tmp_path / "a.png")


def test_a_curve_is_sorted_finite_and_takes_the_row_written_last() -> None:
    data = [
        {"step": 0, "loss": 5.0},
        {"step": 2, "loss": 4.0},
        {"step": 1, "loss": 3.0},
        {"step": np.int64(2), "loss": np.float32(2.0)},
        {"step": 3, "loss": None},
        {"step": 4, "loss": inf},
        {"step": 5},
    ]
    steps, values, lost = curve(data, "loss")
    assert steps.tolist() == [0, 1, 2] and values.tolist() == [5, 3, 2] and lost == 2


def test_smoothing_keeps_lines_starts_and_means() -> None:
    level = np.full(400, 3.0)
    assert np.allclose(smooth(level), 3)
    ramp = np.arange(400.0)
    assert np.allclose(smooth(ramp)[:380], ramp[:380])  # centred: no lag
    noise = random.standard_normal(4000)
    assert smooth(noise).std() < 0.2 and smooth(noise)[0] == noise[0]
    spiked = np.where(np.arange(400) == 200, 1e30, level)
    assert (smooth(spiked)[:180] == 3).all() and (smooth(spiked)[220:] == 3).all()
    short = random.standard_normal(30)
    assert (smooth(short) == short).all()


def test_the_view_cuts_spikes_and_the_first_fall_but_not_a_divergence() -> None:
    fall = 0.1 + np.exp(-np.arange(1000) / 10)
    assert _view(fall)[1] < 0.5
    spiked = np.full(1000, 1.0)
    spiked[500] = 1e6
    assert _view(spiked)[1] < 1.2
    diverged = np.concatenate([np.full(960, 1.0), np.full(40, 9.0)])
    assert _view(diverged)[1] > 8


@pytest.mark.parametrize(("step", "text"), [(0, "0"), (800, "800"), (25_000, "25k"), (1.5e6, "1.5M")])
def test_steps_read_as_people_say_them(step: float, text: str) -> None:
    assert _steps(step) == text


@pytest.mark.parametrize(("rate", "text"), [(0.0, "0"), (1.5e-4, "1.5e-4"), (0.1, "1e-1")])
def test_rates_read_as_people_write_them(rate: float, text: str) -> None:
    assert _rates(rate) == text


def test_trajectories_with_drift(tmp_path: Path, looks_drawn: Drawn) -> None:
    slices = [torch.randn(200, 2, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    feet = torch.randn(30, 2, generator=torch.Generator().manual_seed(9)).requires_grad_()
    fields = [-feet, torch.zeros(30, 2), torch.full((30, 2), nan)]
    path = tmp_path / "a.png"
    save_trajectories(torch.tensor([0, 0.5, 1]), slices, slices, path, (feet, fields))
    looks_drawn(path)


def test_columns_go_from_data_to_prior_whatever_the_order(tmp_path: Path) -> None:
    slices = [random.standard_normal((50, 2)) * scale for scale in (1, 2, 3)]
    drift = random.standard_normal((5, 2))
    field = [drift, -drift, 2 * drift]
    save_trajectories([0, 0.5, 1], slices, slices[::-1], tmp_path / "a.png", (drift, field))
    turned = (drift, field[::-1])
    save_trajectories([1, 0.5, 0], slices[::-1], slices, tmp_path / "b.png", turned)
    save_trajectories([1, 0.5, 0], slices, slices[::-1], tmp_path / "c.png", (drift, field))
    one, two, three = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert one == two and one != three


def test_rows_and_columns_hold_their_own_slices(tmp_path: Path, opened: Opened) -> None:
    """Each panel has its points in one place; find the place in the picture."""
    corners = np.array([[-1.0, -1], [1, 1], [-1, 1], [1, -1]])
    forward = [corners[[0] * 60], corners[[1] * 60]]
    reverse = [corners[[2] * 60], corners[[3] * 60]]
    save_trajectories([0, 1], forward, reverse, tmp_path / "a.png")
    picture = opened(tmp_path / "a.png").astype(int)
    blue = (picture[..., 2] - picture[..., 0] > 100) & (np.arange(picture.shape[1]) > 60)
    red = (picture[..., 0] - picture[..., 2] > 100) & (np.arange(picture.shape[1]) > 60)
    middle = picture.shape[0] // 2
    assert not blue[middle:].any() and not red[:middle].any()
    for ink, first, second in ((blue, 1, -1), (red, -1, 1)):  # is the first one lower?
        rows, columns = np.nonzero(ink)
        left = columns < picture.shape[1] // 2
        assert np.sign(rows[left].mean() - rows[~left].mean()) == first == -second


def test_not_finite_points_are_tolerated(tmp_path: Path, looks_drawn: Drawn) -> None:
    good, none = random.standard_normal((40, 2)), np.full((3, 2), nan)
    save_trajectories([0, 1], [good, none], [none, good], tmp_path / "a.png")
    looks_drawn(tmp_path / "a.png")


def test_the_view_is_square_and_ignores_a_stray() -> None:
    x = np.concatenate([random.uniform(-1, 1, (5000, 2)) * [2, 1], [[1e6, 0]]])
    left, right, bottom, top = bounds([x])
    assert right - left == pytest.approx(top - bottom) and 4 < right - left < 5
    assert bounds([np.zeros((0, 2))]) == (-1, 1, -1, 1)
    left, right, *_ = bounds([np.ones((1, 2))])
    assert left < 1 < right


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forward": [np.zeros((4, 2))]}, "forward has 1 slices, times has 2"),
        ({"reverse": [np.zeros((4, 2))] * 3}, "reverse has 3 slices, times has 2"),
        ({"reverse": [np.zeros((4, 2)), np.zeros((4, 3))]}, r"reverse\[1\] has shape \(4, 3\)"),
        ({"drift": (np.zeros((4, 2)), [np.zeros((4, 2))])}, "drift has 1 fields, times has 2"),
        ({"drift": (np.zeros((4, 2)), [np.zeros((5, 2))] * 2)}, r"drift\[1\]\[0\].*\(5, 2\)"),
        ({"times": []}, "times has shape"),
    ],
)
def test_trajectories_refuse_what_does_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    slices = [np.zeros((4, 2))] * 2
    good = {"times": [0, 1], "forward": slices, "reverse": slices, "path": tmp_path / "a.png"}
    with pytest.raises(ValueError, match=message):
        save_trajectories(**(good | change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 13])
def test_schedules_with_infinite_ends(tmp_path: Path, looks_drawn: Drawn, count: int) -> None:
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    keep = 1 - t
    one = {"logsnr": torch.logit(keep), "keep": keep}
    assert one["logsnr"][0] == inf and one["logsnr"][-1] == -inf
    save_schedules(t, {f"schedule {i}": one for i in range(count)}, tmp_path / "a.png")
    looks_drawn(tmp_path / "a.png")


def test_a_schedule_without_any_finite_value_does_not_warn(tmp_path: Path) -> None:
    save_schedules([0, 1], {"step": {"logsnr": [inf, -inf], "keep": [1, 0]}}, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_schedules_refuse_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="schedules is empty"):
        save_schedules([0, 1], {}, path)
    with pytest.raises(ValueError, match=r"schedules\['a'\] has keys \['keep'\]; add 'logsnr'"):
        save_schedules([0, 1], {"a": {"keep": [1, 0]}}, path)
    with pytest.raises(ValueError, match=r"\['logsnr'\] has 3 values, t has 2"):
        save_schedules([0, 1], {"a": {"logsnr": [1, 0, -1], "keep": [1, 0]}}, path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("steps", "prior", "decode"),
    [
        ([0.1, 0.2, 0.3], 0.01, 1.0),
        ([0.1, 0.0, -0.01], 0.0, -2.0),
        ([0.1, inf, nan], 0.1, 1.0),
        ([0.0, 0.0, 0.0], 0.1, nan),
        ([0.1, 0.1, 0.1], inf, 1.0),
        ([1e-9, 1e-3, 5.0], 1e-6, 1e-6),
    ],
)
def test_terms_are_drawn_whatever_they_are(
    tmp_path: Path, looks_drawn: Drawn, steps: list[float], prior: float, decode: float
) -> None:
    path = tmp_path / "a.png"
    save_terms([1 / 3, 2 / 3, 1], steps, path, prior, decode, steps_se=[0.05, nan, 0.1])
    looks_drawn(path)


def test_one_term_is_enough_and_the_order_does_not_matter(tmp_path: Path, looks_drawn: Drawn) -> None:
    save_terms(torch.ones(1), torch.ones(1), tmp_path / "a.png", prior=0.1, decode=0.2, unit="nats")
    looks_drawn(tmp_path / "a.png")
    t, steps = np.array([0.25, 0.5, 1]), np.array([3.0, 2, 1])
    for name, turn in (("b", 1), ("c", -1)):
        save_terms(t[::turn], steps[::turn], tmp_path / f"{name}.png", 0.1, 0.2)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_terms_refuse_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="steps has 2 values, t has 3"):
        save_terms([0, 0.5, 1], [1, 2], tmp_path / "a.png", 0, 0)
    with pytest.raises(ValueError, match="steps_se has 1 values, t has 2"):
        save_terms([0.5, 1], [1, 2], tmp_path / "a.png", 0, 0, steps_se=[1])
    with pytest.raises(ValueError, match=r"end it in \.png"):
        save_terms([0.5, 1], [1, 2], tmp_path / "a.jpg", 0, 0)
    assert not list(tmp_path.iterdir())


def test_terms_add_up_in_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the drawn numbers back: running sum, split and total."""
    from undiffuse.plots import terms

    kept = []
    monkeypatch.setattr(terms, "save", lambda board, path: kept.append(board))
    save_terms([0.5, 1.0], [2.0, 0.5], tmp_path / "a.png", prior=0.25, decode=1.0)
    each, total, split = kept[0].axes
    assert each.lines[0].get_xydata().tolist() == [[1, 0.5], [0.5, 2]]
    assert total.lines[0].get_xydata().tolist() == [[1, 0.25], [1, 0.75], [0.5, 2.75], [0, 2.75]]
    assert total.lines[-1].get_ydata().tolist() == [2.75, 3.75]
    assert [(bar.get_x(), bar.get_width()) for bar in split.patches] == [
        (0, 0.25),
        (0.25, 2.5),
        (2.75, 1),
    ]
    assert "3.75 bits/dim" in split.get_title(loc="left")
