"""Entropies of steps between their bounds, drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from undiffuse.plots.entropy import save_entropy

Drawn = Callable[[Path], None]
Opened = Callable[[Path], np.ndarray]
Kept = Callable[[str], list[Figure]]
random = np.random.default_rng(0)
nan, inf = float("nan"), float("inf")


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


@pytest.mark.parametrize(
    ("beyond", "error", "outside"),
    [(1e-15, 0.0, 0), (-1e-15, 0.0, 0), (1e-3, 0.0, 4), (1e-3, 6e-4, 0), (1e-3, 4e-4, 4), (-3.001, nan, 4)],
)
def test_rounding_and_noise_are_not_outside_the_bounds(
    tmp_path: Path, kept: Kept, beyond: float, error: float, outside: int
) -> None:
    """Four of 19 steps are as wide as their upper bound and a bit, which is 3 above the lower one."""
    boards, upper, extra = kept("entropy"), np.linspace(-2, 5, 19), np.full(19, -1.0)
    extra[:4] = beyond
    t, wide = np.linspace(0.05, 0.95, 19), upper + extra
    save_entropy(t, upper - 3, upper, wide, tmp_path / "a.png", model_se=np.full(19, error))
    said = f"t  ({outside} of 19 outside the bounds)" if outside else "t"
    assert boards[0].axes[2].get_xlabel() == said


def test_bounds_that_differ_by_rounding_are_one(tmp_path: Path, kept: Kept) -> None:
    boards, lower = kept("entropy"), np.array([-7.0, 0.5, 2.0])
    save_entropy([0.2, 0.4, 0.6], lower, lower + np.array([1e-15, 3e-16, 1]), lower, tmp_path / "a.png")
    assert boards[0].axes[1].get_xlabel() == "2 of 3 steps without a finite gap"
    assert boards[0].axes[2].get_xlabel() == "t"
