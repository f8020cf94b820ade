"""Many small panels in one figure."""

import math
from typing import TYPE_CHECKING

from undiffuse.plots.style import INK, TICK, TITLE, figure, panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4  # panels a row: four still read at 800 pixels
LETTERS = 24  # of a name fit above a panel


def small(names: list[str], title: str, note: str = "", height: float = 1.75) -> "tuple[Figure, list[Axes]]":
    """A figure with one panel a name, in reading order, each `height` inches tall.

    Args:
        names: what stands above each panel; of a long name its end is kept.
        title: what stands above all; left out where empty.
        note: a remark after the title.
        height: inches a row of panels.
    """
    across = min(len(names), ACROSS)
    rows = math.ceil(len(names) / across)
    board = figure(max(2.35 * across, 5), max(height * rows + 0.4, 3))
    if title or note:
        text = "  -  ".join(part for part in (title, note) if part)
        board.suptitle(text, x=0.01, ha="left", fontsize=TITLE, color=INK, fontweight="bold")
    cells = list(board.subplots(rows, across, squeeze=False).flat)
    for spare in cells[len(names) :]:
        spare.remove()
    for axes, name in zip(cells, names, strict=False):
        panel(axes).set_title(shorten(name), loc="left", fontsize=TICK, color=INK, fontweight="bold")
    return board, cells[: len(names)]


def shorten(name: str) -> str:
    """The end of a long name, where its tensors differ.

    >>> shorten("unet.down.0.blocks.1.attention.project.weight")
    '…tention.project.weight'
    """
    return name if len(name) <= LETTERS else "…" + name[-LETTERS + 1 :].lstrip("._/")
