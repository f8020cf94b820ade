"""What an array must be before examples are made of it: its shape, and every one of its values."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undiffuse.data.rows import CHUNK

Found = NDArray[Any]


def check_shape(shape: tuple[int, ...], channels_last: bool, where: str) -> None:
    """Refuse what is neither vectors, sequences nor images."""
    if not 2 <= len(shape) <= 4:
        raise ValueError(
            f"{where} has shape {shape}; give (N, D) vectors, (N, C, L) sequences or (N, C, "
            f"H, W) images, e.g. array.reshape(len(array), -1)"
        )
    if len(shape) == 4 and not channels_last and shape[1] == shape[2] > 4 and shape[3] in (1, 3):
        raise ValueError(
            f"{where} has shape {shape}, which looks like (N, H, W, C); set data.channels_last=true"
        )


def check_values(found: Callable[[], Found], levels: int | None, where: str) -> None:
    """Count what is no finite float32, or no level number, and name the first as the file has it.

    `found` gives the array anew for every few million values, so that a mapped file stays out of memory.
    """
    shape = found().shape
    size, wrong, first = max(1, CHUNK // int(np.prod(shape[1:]))), 0, None
    for begin in range(0, shape[0], size):
        values = found()[begin : begin + size]
        bad = _not_finite(values) if levels is None else _no_level(values, levels)
        if bad.any() and first is None:
            index = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
            first = values[index], (begin + index[0], *index[1:])
        wrong += int(bad.sum())
    if first is not None:
        what = "not finite in float32" if levels is None else f"not one of the whole numbers 0..{levels - 1}"
        level = "correct them, or set data.levels to the largest plus one"
        remedy = "remove or fill them in" if levels is None else level
        raise ValueError(
            f"{where}: {wrong:,} value(s) are {what}, the first {first[0]} at index {first[1]}; {remedy}"
        )


def _not_finite(array: Found) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):  # what overflows becomes infinite
        return ~np.isfinite(np.asarray(array, np.float32))


def _no_level(array: Found, levels: int) -> NDArray[np.bool_]:
    if array.dtype == np.float16:
        array = array.astype(np.float32)  # the largest levels are beyond float16
    wrong: NDArray[np.bool_] = ~((array >= 0) & (array <= levels - 1))  # NaN is wrong too
    return wrong | (array != np.round(array)) if array.dtype.kind == "f" else wrong
