"""A training run at a glance."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from undiffuse.plots.arrays import Floats
from undiffuse.plots.style import BLUE, GREEN, MUTED, RED, TICK, Target, figure, note, panel, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
SPAN = 10.0  # a loss that falls by more than this factor is drawn on a log scale


class Curve(NamedTuple):
    """One key over the steps, ``(K,)`` each, finite; and how many values were not."""

    step: Floats
    value: Floats
    lost: int


def save_training(rows: Sequence[Row], path: Target) -> None:
    """Draw loss, bits on test data, learning rate and gradient norm over the steps.

    A key may be missing from any row. Where one step occurs twice, after a resume, the later row
    counts. Values that are not finite are left out, and the panel says how many.

    Args:
        rows: what metrics.jsonl holds, one dict a line: step, loss, lr, grad_norm and, in some
            rows, test_bits with its standard error test_bits_se, both in bits per dimension.
        path: where the .png goes.
    """
    if not rows:
        raise ValueError("rows is empty; give at least one line of metrics.jsonl")
    bits = curve(rows, "test_bits")
    board = figure(9, 5.6)
    mosaic = "LB;RG" if len(bits.step) or bits.lost else "LL;RG"
    axes = board.subplot_mosaic(mosaic, height_ratios=[1.45, 1])
    _noisy(panel(axes["L"], "Training loss"), curve(rows, "loss"), BLUE)
    _plain(panel(axes["R"], "Learning rate", "step"), curve(rows, "lr"))
    _noisy(panel(axes["G"], "Gradient norm", "step"), curve(rows, "grad_norm"), GREEN)
    if "B" in axes:
        _tested(panel(axes["B"], "Test, bits/dim"), bits, curve(rows, "test_bits_se"))
    last = max((float(row["step"]) for row in rows if _finite(row.get("step"))), default=1.0)
    for one in axes.values():
        one.set_xlim(0, max(last, 1.0) * 1.02)
        one.xaxis.set_major_formatter(_steps)
        one.locator_params(axis="x", nbins=6)
    save(board, path)


def curve(rows: Sequence[Row], key: str) -> Curve:
    """The finite values of a key, in order of step, the latest one of each step."""
    here = [row for row in rows if key in row and _finite(row.get("step"))]
    good = {float(row["step"]): float(row[key]) for row in here if _finite(row[key])}
    steps = sorted(good)
    return Curve(
        np.array(steps, np.float64),
        np.array([good[step] for step in steps], np.float64),
        sum(not _finite(row[key]) for row in here),
    )


def smooth(values: Floats) -> Floats:
    """Running mean, twice, over about a fortieth of the values ``(K,)``.

    The window is centred, so the average does not lag; it narrows at the start, where a loss falls
    fast, and is cut off at the end.
    """
    place = np.arange(len(values))
    half = np.minimum(len(values) // 80, place)
    first, end = place - half, np.minimum(place + half, len(values) - 1) + 1
    windows = np.stack([first, end], 1).ravel()
    for _ in range(2):  # window by window: differences of a running sum would smear a huge spike
        values = np.add.reduceat(np.append(values, 0.0), windows)[::2] / (end - first)
    return values


def _noisy(axes: "Axes", curve: Curve, shade: str) -> None:
    """The raw values faint, their running average on top."""
    if _empty(axes, curve):
        return
    average = smooth(curve.value)
    marker = "o" if len(average) < 40 else None
    axes.plot(curve.step, curve.value, color=shade, alpha=0.25, linewidth=0.8)
    axes.plot(curve.step, average, color=shade, linewidth=1.6, marker=marker, markersize=3)
    if curve.value.min() > 0 and average.max() > SPAN * average.min():
        axes.set_yscale("log")
    elif len(average) >= 40:
        axes.set_ylim(_view(curve.value))


def _view(values: Floats) -> tuple[float, float]:
    """Limits that cut off single spikes and the first fall, but not a loss that rises later."""
    low, high, spike = np.percentile(values, [0.5, 97.5, 99.5])
    high = max(high, smooth(np.minimum(values, spike))[len(values) // 10 :].max())
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _plain(axes: "Axes", curve: Curve) -> None:
    if _empty(axes, curve):
        return
    marker = "o" if len(curve.step) == 1 else None
    axes.plot(curve.step, curve.value, color=MUTED, linewidth=1.6, marker=marker, markersize=3)
    axes.set_ylim(0 if curve.value.min() >= 0 else None, None)
    axes.yaxis.set_major_formatter(_rates)


def _tested(axes: "Axes", bits: Curve, error: Curve) -> None:
    """Bits over the steps, with bars of one standard error either side, and the last in figures."""
    if _empty(axes, bits):
        return
    known = dict(zip(error.step, error.value, strict=True))
    bars = np.array([max(known.get(step, 0.0), 0.0) for step in bits.step])
    axes.errorbar(bits.step, bits.value, bars, color=RED, linewidth=1.6, marker="o", markersize=4, capsize=2)
    text = f"last {bits.value[-1]:.3f}" + (f" ± {bars[-1]:.3f}" if bars[-1] > 0 else "")
    if bits.lost:
        text += f", {bits.lost} not finite"
    axes.set_title(text, loc="right", fontsize=TICK, color=RED)


def _empty(axes: "Axes", curve: Curve) -> bool:
    """Say what is missing; true if there is nothing to draw."""
    if curve.lost:
        axes.set_title(f"{curve.lost} not finite", loc="right", fontsize=TICK, color=RED)
    if len(curve.step):
        return False
    note(axes, "no finite value" if curve.lost else "not recorded")
    axes.set_yticks([])
    return True


def _finite(value: object) -> bool:
    """Whether it is a number; JSON writes NaN as null."""
    return isinstance(value, Real) and math.isfinite(value)


def _steps(step: float, _: object = None) -> str:
    """Step counts as people say them: 800, 25k, 1.5M."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(step) >= unit:
            return f"{step / unit:g}{sign}"
    return f"{step:g}"


def _rates(rate: float, _: object = None) -> str:
    """Learning rates as people write them: 0, 1.5e-4."""
    digits, power = f"{rate:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}" if rate else "0"
