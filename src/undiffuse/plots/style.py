"""One look for every figure.

Figures are built without pyplot, so there is no global state: threads can draw at the same time
and nothing needs a display. At 150 dots an inch an 8 inch figure is 1200 pixels wide, and its text
stays readable when a README shows it at 800.
"""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from undiffuse.files import atomic
from undiffuse.plots.arrays import Bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with any common colour blindness. Darkest, most distinct first.
BLUE, RED, GREEN, PINK, AMBER, SKY = COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
DASHES = ("-", "--", ":", "-.")  # a second lap through the colours changes the dash
INK, MUTED, HAIR, PAPER = "#24292f", "#57606a", "#d0d7de", "#ffffff"
DPI = 150
TITLE, LABEL, TICK = 11.5, 10.5, 9.5  # points

Target = str | os.PathLike[str]


def figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches that makes room for its own labels."""
    from matplotlib.figure import Figure  # half a second, which only those wait for who draw

    return Figure((width, height), dpi=DPI, facecolor=PAPER, layout="constrained")


def panel(axes: "Axes", title: str = "", x: str = "", y: str = "", grid: bool = True) -> "Axes":
    """Give axes the common look: title at the left, two thin spines, pale grid lines."""
    axes.set_title(title, loc="left", fontsize=TITLE, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=LABEL, color=MUTED)
    axes.set_ylabel(y, fontsize=LABEL, color=MUTED)
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=HAIR, linewidth=0.8)
    axes.tick_params(which="both", labelsize=TICK, color=HAIR, labelcolor=MUTED, width=0.8)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, color=HAIR, linewidth=0.5, alpha=0.7)
    return axes


def cell(axes: "Axes", extent: tuple[float, float, float, float]) -> "Axes":
    """Give axes the look of a picture: a hairline frame, no ticks, equal units on both sides."""
    axes.set_facecolor(PAPER)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=HAIR, linewidth=0.8)
    return axes


def note(axes: "Axes", text: str, x: float = 0.5, y: float = 0.5) -> None:
    """Write a muted remark at this place of the axes, in fractions of their size."""
    axes.text(x, y, text, transform=axes.transAxes, ha="center", va="center", fontsize=TICK, color=MUTED)


def color(index: int) -> tuple[str, str]:
    """Colour and dash of the index-th line in one panel."""
    lap, place = divmod(index, len(COLORS))
    return COLORS[place], DASHES[lap % len(DASHES)]


def save(figure: "Figure", path: Target) -> None:
    """Write a figure as .png, or as .svg or .pdf if the path ends so."""
    kind = suffix(path, ".png", ".svg", ".pdf")[1:]
    with atomic(path) as file:
        figure.savefig(file, format=kind, dpi=DPI, facecolor=PAPER)


def pixels(figure: "Figure") -> Bytes:
    """The figure drawn: uint8 ``(H, W, 3)``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=DPI, facecolor=PAPER)
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    return np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]


def suffix(path: Target, *allowed: str) -> str:
    """The path's ending, in lower case.

    Raises:
        ValueError: the ending is not one of those allowed.
    """
    ending = Path(path).suffix.lower()
    if ending not in allowed:
        raise ValueError(f"path {os.fspath(path)!r} ends in {ending!r}; end it in {' or '.join(allowed)}")
    return ending
