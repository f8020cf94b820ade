"""Where the bits of a bound go."""

from typing import TYPE_CHECKING

import numpy as np

from undiffuse.plots.arrays import Floats, Values, line
from undiffuse.plots.style import (
    AMBER,
    BLUE,
    GREEN,
    HAIR,
    INK,
    LABEL,
    TICK,
    Target,
    figure,
    note,
    panel,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRIOR, STEPS, DECODE = AMBER, BLUE, GREEN


def save_terms(
    t: Values,
    steps: Values,
    path: Target,
    prior: float,
    decode: float,
    unit: str = "bits/dim",
    steps_se: Values | None = None,
) -> None:
    """Draw the bound's terms over time, their running sum from prior to data, and the split.

    total = prior + sum of steps + decode; in both panels time runs from 1 at the left to 0.

    Args:
        t: ``(T,)`` times of the latents in (0, 1], in any order.
        steps: ``(T,)`` the cost of the transition that leaves x_t.
        path: where the .png goes.
        prior: the cost of x_1, of the same unit.
        decode: the cost of x_0 given the first latent, of the same unit.
        unit: what the terms are measured in.
        steps_se: ``(T,)`` standard errors of the steps.
    """
    at = line(t, "t")
    cost = line(steps, "steps", len(at))
    error = np.zeros_like(at) if steps_se is None else line(steps_se, "steps_se", len(at))
    order = np.argsort(-at, kind="stable")
    at, cost, error = at[order], cost[order], error[order]
    board = figure(9, 5.2)
    axes = board.subplot_mosaic([["each", "sum"], ["split", "split"]], height_ratios=[4.2, 1])
    _each(panel(axes["each"], "Cost of each step", "t", unit), at, cost, error)
    _sum(panel(axes["sum"], "Sum from the prior to the data", "t", unit), at, cost, prior, decode)
    _split(axes["split"], prior, float(cost.sum()), decode, unit)
    save(board, path)


def _each(axes: "Axes", t: Floats, cost: Floats, error: Floats) -> None:
    """Every step on a log scale, with a band of one standard error either side."""
    drawn = np.isfinite(cost) & (cost > 0)
    axes.set_xlim(1.02, -0.02)
    if not drawn.all():
        text = f"{(~drawn).sum()} of {len(cost)} not drawn: zero, negative or not finite"
        axes.set_xlabel(f"t  ({text})", fontsize=TICK)
    if not drawn.any():
        axes.set_yticks([])
        note(axes, "no positive step")
        return
    axes.set_yscale("log")
    t, cost, error = t[drawn], cost[drawn], np.nan_to_num(error[drawn], posinf=0.0)
    marker = "o" if len(t) <= 60 else None
    axes.plot(t, cost, color=STEPS, linewidth=1.5, marker=marker, markersize=3.5)
    axes.set_ylim(cost.min() / 1.6, cost.max() * 1.6)
    axes.fill_between(t, np.maximum(cost - error, cost / 1e3), cost + error, color=STEPS, alpha=0.2)


def _sum(axes: "Axes", t: Floats, cost: Floats, prior: float, decode: float) -> None:
    """What has been paid once x_t is left; the decoder pays the rest at 0."""
    paid = prior + np.concatenate([[0.0], np.cumsum(cost)])
    paid = np.where(np.isfinite(paid), paid, np.nan)
    axes.plot([1.0, *t, 0.0], [*paid, paid[-1]], color=STEPS, linewidth=1.9, drawstyle="steps-post")
    axes.plot([1.0], [prior], "o", color=PRIOR, markersize=6)
    (last,) = axes.plot([0.0, 0.0], [paid[-1], paid[-1] + decode], color=DECODE, linewidth=3.5)
    last.set(clip_on=False, solid_capstyle="butt")
    axes.set_xlim(1.02, -0.02)
    if not np.isfinite(paid[-1] + decode):
        axes.set_yticks([])
        note(axes, "the sum is not finite")


def _split(axes: "Axes", prior: float, steps: float, decode: float, unit: str) -> None:
    """One bar of the three parts; parts below zero lie left of it."""
    parts = (("prior", prior, PRIOR), ("steps", steps, STEPS), ("decoder", decode, DECODE))
    ends = {True: 0.0, False: 0.0}
    for name, value, shade in parts:
        size = value if np.isfinite(value) else 0.0
        start = ends[size >= 0]
        axes.barh([0], [size], left=start, color=shade, height=0.6, label=f"{name}  {value:.4g}")
        ends[size >= 0] += size
    title = f"Total  {prior + steps + decode:.4g} {unit}"
    panel(axes, title, grid=False).set(yticks=[], ylim=(-0.32, 0.32))
    axes.spines["left"].set_visible(False)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        fontsize=LABEL,
        labelcolor=INK,
        borderaxespad=0.2,
    )
    axes.axvline(0, color=HAIR, linewidth=0.8)
