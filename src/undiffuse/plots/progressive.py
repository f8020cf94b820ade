"""What a receiver knows after so many bits: rate and distortion as curves, and the images themselves.

Ho et al. (2020), figures 5 and 10: the bits of the chain are sent from noise to data, and x_0-hat is what
those received so far are worth.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from undiffuse.files import atomic
from undiffuse.plots.arrays import Bytes, Floats, Values, labelled, line
from undiffuse.plots.grid import GAP, enlarge, fit, tile
from undiffuse.plots.style import BLUE, GREEN, MUTED, RED, TICK, Target, figure, note, panel, save, suffix
from undiffuse.plots.words import pad, stack, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST = 15  # pixels to the em


def save_progressive(
    t: Values,
    rate: Values,
    distortion: Values,
    path: Target,
    unit: str = "bits/dim",
    measure: str = "RMSE",
    rate_se: Values | None = None,
    distortion_se: Values | None = None,
    lossless: float | None = None,
) -> None:
    """Draw rate and distortion over reverse time, and one against the other.

    Args:
        t: ``(P,)`` times in (0, 1] of the latents received last, in any order.
        rate: ``(P,)`` what has been received once x_t is known.
        distortion: ``(P,)`` the error of x_0-hat(x_t).
        path: where the .png goes.
        unit: what rates are measured in.
        measure: what distortions are.
        rate_se: ``(P,)`` standard errors.
        distortion_se: the same of the distortions.
        lossless: the rate at which x_0 itself is known, where it is one of levels or symbols.
    """
    at = line(t, "t")
    order = np.argsort(-at, kind="stable")
    given = {"rate": rate, "distortion": distortion, "rate_se": rate_se, "distortion_se": distortion_se}
    nothing = np.zeros_like(at)
    read = {
        name: (nothing if values is None else line(values, name, len(at)))[order]
        for name, values in given.items()
    }
    at = at[order]
    board = figure(11, 3.9)
    left, middle, right = board.subplots(1, 3)
    panel(left, "Rate", "t", unit)
    panel(middle, "Distortion", "t", measure)
    panel(right, "Distortion at a rate", unit, measure)
    for axes, name, shade in ((left, "rate", BLUE), (middle, "distortion", RED)):
        _curve(axes, at, read[name], read[f"{name}_se"], shade)
        axes.set_xlim(1.02, -0.02)
    _curve(right, read["rate"], read["distortion"], read["distortion_se"], GREEN)
    if lossless is not None and np.isfinite(lossless):
        _end(right, lossless)
    save(board, path)


def save_received(
    columns: Sequence[tuple[str, Values]], path: Target, title: str = "", apart: bool = True
) -> None:
    """Write batches of images side by side: a row is one example, a column what is known of all of them.

    Args:
        columns: pairs of a label, such as "0.25" or "truth", and its images, uint8 ``(N, C, H, W)`` or
            ``(N, H, W)``, all of one shape.
        path: where the .png goes.
        title: a line above the labels.
        apart: whether the last column is set apart a little.
    """
    suffix(path, ".png")
    batches = labelled(columns, "columns", "column")
    scale = fit(np.concatenate(batches), len(batches))
    sheets = [tile(enlarge(batch, scale), 1, max(GAP, scale // 2)) for batch in batches]
    size = max(SMALLEST, sheets[0].shape[1] * len(sheets) // 60)
    labels = [words(label, size) for label, _ in columns]
    width = max(part.shape[1] for part in (*labels, *sheets)) + max(GAP, scale // 2)
    pairs = zip(labels, sheets, strict=True)
    parts = [stack([_middle(label, width), _middle(each, width)]) for label, each in pairs]
    parts = [pad(part, *part.shape[:2]) for part in parts]
    if apart:
        parts.insert(-1, np.full_like(parts[-1][:, : width // 6], 255))
    picture = np.concatenate(parts, 1)
    picture = stack([words(title, size, MUTED), picture]) if title else picture
    with atomic(path) as file:
        Image.fromarray(picture).save(file, format="PNG")


def _curve(axes: "Axes", x: Floats, y: Floats, error: Floats, shade: str) -> None:
    """A line with a band of one standard error either side, from zero up."""
    drawn = np.isfinite(x) & np.isfinite(y)
    if not drawn.any():
        axes.set_yticks([])
        note(axes, "nothing finite")
        return
    x, y, error = x[drawn], y[drawn], np.nan_to_num(error[drawn], posinf=0.0)
    marker = "o" if len(x) <= 60 else None
    axes.fill_between(x, y - error, y + error, color=shade, alpha=0.25, linewidth=0)
    axes.plot(x, y, color=shade, linewidth=1.6, marker=marker, markersize=3)
    axes.set_ylim(min(0.0, float(y.min())), (float(y.max()) or 1.0) * 1.06)


def _end(axes: "Axes", lossless: float) -> None:
    """The rate at which nothing is lost any more."""
    axes.plot([lossless], [0.0], "o", color=MUTED, markersize=6, clip_on=False, zorder=3)
    axes.annotate(
        f"all of x_0\n{lossless:.4g}",
        (lossless, 0.0),
        (4, 9),
        textcoords="offset points",
        ha="right",
        fontsize=TICK,
        color=MUTED,
    )


def _middle(picture: Bytes, width: int) -> Bytes:
    """The picture in the middle of a page: ``(H, width, 3)``."""
    page = np.full((picture.shape[0], width, 3), 255, np.uint8)
    left = (width - picture.shape[1]) // 2
    page[:, left : left + picture.shape[1]] = picture[..., None] if picture.ndim == 2 else picture
    return page
