"""What is inside a network: histograms of its tensors, and its filters as pictures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from undiffuse.files import atomic
from undiffuse.plots.arrays import Bytes, Floats, Values, numpy
from undiffuse.plots.grid import fit, sheet
from undiffuse.plots.small import small
from undiffuse.plots.style import BLUE, HAIR, MUTED, RED, TICK, Target, note, save, suffix
from undiffuse.plots.words import stack, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 24  # panels in one figure
BINS = 41  # odd: one is centred where a symmetric tensor has its peak
GREY = 128  # zero in a picture of weights


def save_histograms(arrays: Mapping[str, Values], path: Target, title: str) -> None:
    """Draw a histogram of each tensor: parameters, or gradients, of a network.

    Below each stand its shape, the root mean square of its finite values and the share that is exactly zero;
    zeros are not in the bars, which they would dwarf. Of more than 24 tensors the 24 largest are drawn, in
    the order given.

    Args:
        arrays: tensors of any shape by name.
        path: where the .png goes.
        title: what stands above all panels.
    """
    if not arrays:
        raise ValueError("arrays is empty; give at least one named tensor, dict(net.named_parameters())")
    read = {name: numpy(values) for name, values in arrays.items()}
    largest = set(sorted(read, key=lambda name: -read[name].size)[:MOST])
    names = [name for name in read if name in largest]
    rest = len(read) - len(names)
    remark = f"the {MOST} largest of {len(read)} tensors, {rest} left out" if rest else ""
    board, cells = small(names, title, remark, height=2.0)
    for axes, name in zip(cells, names, strict=True):
        _histogram(axes, read[name].astype(np.float64))
    save(board, path)


def save_fields(weights: Values, path: Target, title: str) -> None:
    """Write filters as small pictures: grey is 0, white and black its largest absolute value either way.

    Every filter is scaled by itself; the line below the title tells the range of their largest values. Three
    channels are colours; any other number lie side by side as a strip. What is not finite is drawn grey.

    Args:
        weights: ``(N, C, h, w)`` or ``(N, h, w)``, for example the weight of a first convolution.
        path: where the .png goes.
        title: what stands above.
    """
    suffix(path, ".png")
    pictures, largest, lost = _fields(weights)
    body = sheet(pictures, None, fit(pictures))
    size = max(14, body.shape[1] // 45)
    legend = f"grey is 0; each scaled by its own largest |value|, {_range(largest)}"
    if lost:
        legend += f"; {lost} values are not finite"
    head = [words(title, size), words(legend, size * 4 // 5, RED if lost else MUTED)]
    with atomic(path) as file:
        Image.fromarray(stack([*head, body], gap=4)).save(file, format="PNG")


def _histogram(axes: "Axes", values: Floats) -> None:
    """The bars of one tensor, or the reason why there are none."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    finite = values[np.isfinite(values)]
    lost = values.size - finite.size
    shape = "×".join(map(str, values.shape)) or "1"
    label = shape if values.ndim > 1 else f"{shape} value{'s' * (values.size != 1)}"
    label += f", {lost} not finite" if lost else ""
    axes.set_xlabel(f"{label}\n{_facts(finite)}", fontsize=TICK, color=RED if lost else MUTED)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    drawn = finite[finite != 0]
    top = float(np.abs(drawn).max(initial=0.0))
    if not drawn.size or np.ptp(drawn / top) < 1e-9:
        axes.set_xticks([])
        note(axes, _constant(finite, drawn))
        return
    heights, edges = np.histogram(drawn / top, BINS)
    axes.stairs(heights, edges * top, fill=True, color=BLUE)
    axes.axvline(0, color=HAIR, linewidth=0.8, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))


def _facts(finite: Floats) -> str:
    """Root mean square and share of zeros."""
    if not finite.size:
        return ""
    top = float(np.abs(finite).max()) or 1.0
    rms = top * float(np.sqrt(np.mean((finite / top) ** 2)))
    zeros = float(np.mean(finite == 0))
    share = "no" if zeros == 0 else "<0.1%" if zeros < 1e-3 else f"{100 * zeros:.3g}%"
    return f"rms {rms:.2g}, {share} zeros"


def _constant(finite: Floats, drawn: Floats) -> str:
    if not finite.size:
        return "no finite value"
    if not drawn.size:
        return "all zero"
    return f"all {drawn[0]:.3g}" if drawn.size == finite.size else f"0 and {drawn[0]:.3g} only"


def _fields(weights: Values) -> tuple[Bytes, Floats, int]:
    """Pictures uint8 ``(N, C, h, w)``, the largest absolute value of each ``(N,)``, how many are lost."""
    array = numpy(weights)
    if array.ndim not in (3, 4) or array.size == 0:
        raise ValueError(
            f"weights has shape {array.shape}; give (N, C, h, w), or (N, h, w): reshape the rows of a dense "
            "layer to the shape of what they read"
        )
    array = (array if array.ndim == 4 else array[:, None]).astype(np.float64)
    good = np.isfinite(array)
    array = np.where(good, array, 0.0)
    largest = np.abs(array).max(axis=(1, 2, 3))
    unit = array / np.where(largest > 0, largest, 1.0)[:, None, None, None]
    return np.rint(GREY + (GREY - 1) * unit).astype(np.uint8), largest, int((~good).sum())


def _range(largest: Floats) -> str:
    low, high = float(largest.min()), float(largest.max())
    return f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
