"""Whether values can have a density, found in a sample of bounded size.

Where values repeat, or are steps apart that a model can tell, a model may put as much density on them as it
likes: its bound falls below every truth. Noise as wide as the steps makes them continuous again (see
`dequantize.dithered`).

A model whose last step is as wide as sigma cannot tell steps of delta <= sigma. For values k delta of
probability P_k and any mixture p of normals that wide, by Jensen's inequality

    sum_k P_k log2 (delta p(k delta) / P_k)  <=  log2 sum_k delta p(k delta)
                                             <=  log2 max_y sum_k delta N(k delta; y, sigma^2)  <  1e-8,

so it does not fall below their entropy plus log2 delta. Steps of less than `FINE` standard deviations are
narrower than the last step of any chain that is shipped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.rows import Examples, sample_of

SAMPLE = 2**20  # values looked at
FINE = 2.0**-16  # standard deviations: a finer step is no step
FEW, SHARE = 4, 1e-3  # repeated values that are an accident: so many, or such a share of a column
NEAR = 0.02  # steps by which rounded multiples may be off and still say something
NAMED, LISTED = 3, 64  # columns that a message names; and of which it gives every width
Column = NDArray[np.float64]


@dataclass(frozen=True)
class Grain:
    """Why a column has no density, and how wide a noise would give it one; of a constant, at least."""

    what: str
    width: float
    constant: bool = False


def check_continuous(examples: Examples, where: str, noise: Tensor | None = None) -> None:
    """Refuse values that repeat or are steps apart: vectors column by column, of images and sequences all.

    Of columns that will get `noise` of this width (0-d, or one a column), only those are looked at where no
    model could see it.

    Raises:
        ValueError: naming the columns, and `data.levels` and `data.spacing` to set.
    """
    columns = sample_of(examples, SAMPLE).numpy()
    columns = columns if columns.ndim == 2 else columns.reshape(-1, 1)
    widths = np.broadcast_to(0.0 if noise is None else noise.numpy(), columns.shape[1])
    seen = widths > FINE * columns.std(0)
    grains = [None if well else _grain(np.sort(column)) for column, well in zip(columns.T, seen, strict=True)]
    if any(grains):
        raise ValueError(f"{where} has no density: {_said(grains)}; {_remedy(grains, columns)}")


def noise_of(examples: Examples) -> tuple[list[float], list[int]]:
    """How wide a noise each column needs to have a density, 0 where it has one, and which columns never vary.

    One number for images and sequences, whose values are alike.
    """
    columns = sample_of(examples, SAMPLE).numpy()
    columns = columns if columns.ndim == 2 else columns.reshape(-1, 1)
    grains = [_grain(np.sort(column)) for column in columns.T]
    widths = [0.0 if grain is None or grain.constant else grain.width for grain in grains]
    return widths, [number for number, grain in enumerate(grains) if grain is not None and grain.constant]


def _grain(found: NDArray[Any]) -> Grain | None:
    """What is wrong with these sorted values of their type; None if nothing is."""
    values = found.astype(np.float64)
    distinct, counts = np.unique(values, return_counts=True)
    ulp, std = _resolution(distinct, found.dtype), float(values.std())
    if len(values) <= FEW:
        return None
    if len(distinct) == 1 or not std:
        return Grain(f"is always {distinct[0]:g}", float(ulp[0]), constant=True)
    step = _step(distinct, FINE * std, float(np.finfo(found.dtype).eps) / 2)
    if step is not None:
        return Grain(f"goes in steps of {step:g}", step)
    again = _repeated(values, distinct, counts, FINE * std, ulp)
    if again.sum() <= max(FEW, SHARE * len(values)):
        return None
    share, most = again.sum() / len(values), distinct[again.argmax()]
    return Grain(f"repeats {share:.2%} of its values, such as {most:g}", float(f"{std / 100:.0e}"))


def _resolution(distinct: Column, dtype: np.dtype[Any]) -> Column:
    """How far apart neighbours of each value may be: those of its type, or of the larger ones of the column.

    What arithmetic makes is as coarse as the larger numbers in it: uniform floats are multiples of 2^-24.
    """
    size = np.abs(distinct).astype(dtype)
    own: Column = np.spacing(size).astype(np.float64)
    usual = float(np.spacing(np.quantile(size, 0.9).astype(dtype)))
    return np.maximum(own, usual).astype(np.float64, copy=False)


def _repeated(
    values: Column, distinct: Column, counts: NDArray[np.int64], fine: float, ulp: Column
) -> NDArray[np.int64]:
    """How often each distinct value occurs, if more than once, and as often as all others so near.

    Values that are `ulp` apart meet by chance, the more of them are near. Those that are only a few are left
    out if they are no more than that explains: the expected number and seven times its root.
    """
    crowd = values.searchsorted(distinct + fine, "right") - values.searchsorted(distinct - fine, "left")
    again = np.where((counts > 1) & (2 * counts >= crowd), counts, 0)
    chance = float((counts * (crowd - counts) * np.minimum(ulp / (2 * fine), 0.5)).sum())
    few = again <= FEW
    return np.where(few & (again[few].sum() <= chance + 7 * math.sqrt(chance)), 0, again)


def _step(distinct: Column, fine: float, rounding: float) -> float | None:
    """The step, coarser than `fine`, by which all values differ, up to their rounding; None if there is none.

    Tried are what consists of powers of two or ten, and the smallest difference.
    """
    off = rounding * float(np.abs(distinct).max())
    two, ten = (math.ceil(math.log(fine, base)) for base in (2, 10))
    units = [(2.0**two, 0.0), *((10.0**power, off) for power in range(ten, ten + 5))]
    for unit, error in units:
        count = _common(distinct / unit, error / unit)
        if count is not None:
            return float(f"{count * unit:.12g}")
    gap, span = float(np.diff(distinct).min()), float(distinct[-1] - distinct[0])
    unit = span / round(span / gap)
    even = unit > fine and _common((distinct - distinct[0]) / unit, 2 * off / unit) is not None
    return float(f"{unit:.6g}") if even else None


def _common(values: Column, off: float) -> int | None:
    """The greatest common divisor of their differences, if these are whole numbers that may be `off`."""
    whole = values.round()
    if 4 * off > NEAR or np.abs(values - whole).max() > 4 * off or np.abs(whole).max() >= 2.0**61:
        return None
    return int(np.gcd.reduce((whole - whole[0]).astype(np.int64)))


def _said(grains: Sequence[Grain | None]) -> str:
    """The first few columns and what is wrong with them."""
    bad = [(number, grain.what) for number, grain in enumerate(grains) if grain is not None]
    if len(grains) == 1:
        return bad[0][1]
    lines = [f"column {number} {what}" for number, what in bad[:NAMED]]
    return ", ".join(lines) + (f", and {len(bad) - NAMED:,} more columns" if len(bad) > NAMED else "")


def _remedy(grains: Sequence[Grain | None], columns: NDArray[Any]) -> str:
    """The keys to set: levels, if all columns are such, and the width of a noise that helps in any case."""
    steps = [grain.width for grain in grains if grain is not None and not grain.constant]
    least = min(steps, default=1.0)
    widths = [0.0 if grain is None else max(grain.width, least) for grain in grains]
    same = len(set(widths)) == 1 or len(widths) > LISTED
    spacing = f"{max(widths):g}" if same else f"[{', '.join(f'{width:g}' for width in widths)}]"
    noise = f"data.spacing={spacing} to add uniform noise of that width"
    whole, top = all(grains) and bool((columns == columns.round()).all()), float(columns.max())
    if whole and columns.min() >= 0 and 0 < top < 65536:
        return f"set data.levels={top + 1:.0f} if they are the levels 0..{top:.0f}, or {noise}"
    return f"number them 0..K-1 and set data.levels=K if they are levels, or {noise}"
