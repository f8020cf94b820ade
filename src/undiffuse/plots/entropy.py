"""How random each reverse step is, between its two bounds.

Equation 24 of Sohl-Dickstein et al. (2015): for X^0 of the data and the forward process q,

    H_q(X^t|X^{t-1}) + H_q(X^{t-1}|X^0) - H_q(X^t|X^0)  <=  H_q(X^{t-1}|X^t)  <=  H_q(X^t|X^{t-1})

Both bounds are known without a model. Entropies of continuous steps are differential: they may be negative,
and the lower bound is minus infinity at a step that ends in the data itself.
"""

from typing import TYPE_CHECKING

import numpy as np

from undiffuse.plots.arrays import Array, Floats, Values, line
from undiffuse.plots.style import BLUE, INK, LABEL, RED, SKY, TICK, Target, figure, note, panel, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPAN = 30.0  # positive entropies that span more than this factor are drawn on a log scale
BEYOND = 0.6  # widths of the band by which a model leaves it at most in the figure
ROUNDING = 1e-12  # of the entropies: what is less apart is equal


def save_entropy(
    t: Values,
    lower: Values,
    upper: Values,
    model: Values,
    path: Target,
    unit: str = "bits/dim",
    model_se: Values | None = None,
) -> None:
    """Draw the bounds on each reverse step's entropy as a band, and the model's step entropy in it.

    To the right: how wide the band is, and where in it the model lies. Time runs from 1 at the left to 0.

    Args:
        t: ``(T,)`` times in (0, 1] that the steps leave, in any order.
        lower: ``(T,)`` lower bounds on H(x_s | x_t).
        upper: ``(T,)`` upper bounds.
        model: ``(T,)`` mean entropies of p(x_s | x_t).
        path: where the .png goes.
        unit: what the entropies are measured in.
        model_se: ``(T,)`` standard errors of the model's.
    """
    at = line(t, "t")
    order = np.argsort(-at, kind="stable")
    low, high, mean = (
        _clean(line(values, name, len(at)))[order]
        for name, values in (("lower", lower), ("upper", upper), ("model", model))
    )
    error = np.zeros_like(at) if model_se is None else _clean(line(model_se, "model_se", len(at)))[order]
    board = figure(9, 4.6)
    axes = board.subplot_mosaic([["band", "gap"], ["band", "place"]], width_ratios=[1.5, 1])
    _band(panel(axes["band"], "Entropy of each reverse step", "t", unit), at[order], low, high, mean, error)
    same = ROUNDING * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    gap = np.where(high - low > same, high - low, 0.0)
    _gap(panel(axes["gap"], "How far the bounds are apart", "", unit), at[order], gap)
    place = panel(axes["place"], "The model between the bounds", "t")
    _place(place, at[order], mean - low, gap, same + 2 * np.nan_to_num(error))
    for one in axes.values():
        one.set_xlim(1.02, -0.02)
    save(board, path)


def _clean(values: Floats) -> Floats:
    """Infinities as NaN, which lines and bands leave out."""
    return np.where(np.isfinite(values), values, np.nan)


def _band(axes: "Axes", t: Floats, low: Floats, high: Floats, mean: Floats, error: Floats) -> None:
    """Bounds and model; on a log scale where all are positive, or zero, and far apart."""
    together = np.concatenate([low, high, mean])
    together = together[np.isfinite(together)]
    if not together.size:
        axes.set_yticks([])
        note(axes, "no finite entropy")
        return
    positive = together[together > 0]
    floor = -np.inf
    if together.min() >= 0 and positive.size and positive.max() > SPAN * positive.min():
        floor = float(positive.min()) / 1.6
        axes.set_yscale("log")
        axes.set_ylim(floor, float(positive.max()) * 1.6)
    low, high, mean = (np.maximum(values, floor) for values in (low, high, mean))
    marker = "o" if len(t) <= 60 else None
    axes.fill_between(t, low, high, color=SKY, alpha=0.35, linewidth=0, label="between the bounds")
    for edge in (low, high):
        axes.plot(t, edge, color=BLUE, linewidth=0.9, marker="." if marker else None, markersize=3)
    axes.fill_between(t, np.maximum(mean - error, floor), mean + error, color=RED, alpha=0.25, linewidth=0)
    axes.plot(t, mean, color=RED, linewidth=1.6, marker=marker, markersize=3, label="the model")
    axes.legend(loc="best", frameon=False, fontsize=LABEL, labelcolor=INK)


def _gap(axes: "Axes", t: Floats, gap: Floats) -> None:
    """The width of the band on a log scale, where it is positive."""
    drawn = gap > 0
    if _nothing(axes, drawn):
        return
    axes.set_yscale("log")
    marker = "o" if len(t) <= 60 else None
    axes.plot(t, np.where(drawn, gap, np.nan), color=BLUE, linewidth=1.5, marker=marker, markersize=3)
    axes.set_ylim(gap[drawn].min() / 1.6, gap[drawn].max() * 1.6)
    if not drawn.all():
        axes.set_xlabel(f"{(~drawn).sum()} of {len(t)} steps without a finite gap", fontsize=TICK)


def _place(axes: "Axes", t: Floats, above: Floats, gap: Floats, slack: Floats) -> None:
    """(model - lower) / (upper - lower): the band is the same at every step.

    A step is outside if it is so by more than `slack`, its rounding and two standard errors.
    """
    drawn = (gap > 0) & np.isfinite(above)
    if _nothing(axes, drawn):
        return
    place = np.where(drawn, above / np.where(drawn, gap, 1.0), np.nan)
    axes.axhspan(0, 1, color=SKY, alpha=0.35, linewidth=0)
    seen = np.clip(place, -BEYOND, 1 + BEYOND)
    axes.plot(t, seen, color=RED, linewidth=1.5, marker="o" if len(t) <= 60 else None, markersize=3)
    axes.set_ylim(min(np.nanmin(seen), 0) - 0.1, max(np.nanmax(seen), 1) + 0.1)
    axes.set_yticks([0, 0.5, 1], ["lower", "middle", "upper"])
    outside = int((np.maximum(-above, above - gap) > slack)[drawn].sum())
    if outside:
        axes.set_xlabel(f"t  ({outside} of {drawn.sum()} outside the bounds)", color=RED)


def _nothing(axes: "Axes", drawn: Array) -> bool:
    """Whether there is nothing to draw, which the panel then says."""
    if drawn.any():
        return False
    axes.set_yticks([])
    note(axes, "no finite gap at any step")
    return True
