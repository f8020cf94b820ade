"""What the plots accept: arrays or tensors, checked once, with the remedy in the message."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Values = npt.ArrayLike | Tensor
Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


def numpy(values: Values) -> Array:
    """The values as a NumPy array: off the device, out of the graph, half as float32."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    if values.dtype in (torch.bfloat16, torch.float16):
        values = values.float()
    return np.asarray(values.numpy())


def pictures(images: Values, name: str = "images") -> Bytes:
    """uint8 ``(N, C, H, W)`` from that or from ``(N, H, W)``.

    Raises:
        ValueError: another dtype, another rank, or nothing to draw.
    """
    array = numpy(images)
    if array.dtype != np.uint8:
        raise ValueError(
            f"{name} is {array.dtype}; pictures are uint8 in 0..255: map model values back to raw data first"
        )
    if array.ndim not in (3, 4):
        raise ValueError(
            f"{name} has shape {array.shape}; give (N, C, H, W), or (N, H, W) for grey: "
            "one image needs a leading axis, images[None]"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, which is empty; give at least one image")
    return array if array.ndim == 4 else array[:, None]


def labelled(pairs: Sequence[tuple[str, Values]], name: str, each: str) -> list[Bytes]:
    """The pictures of pairs of a label and images, all of one shape.

    Raises:
        ValueError: as `pictures`; no pair, or another shape than before, which every `each` must have.
    """
    if not pairs:
        raise ValueError(f"{name} is empty; give at least one pair of a label and its images")
    batches = [pictures(images, f"{name}[{i}][1]") for i, (_, images) in enumerate(pairs)]
    for number, batch in enumerate(batches):
        if batch.shape != batches[0].shape:
            raise ValueError(
                f"{name}[{number}][1] has shape {batch.shape}, those before {batches[0].shape}; "
                f"give every {each} the same examples"
            )
    return batches


def points(values: Values, name: str, keep: bool = False) -> Floats:
    """float64 ``(N, 2)``; rows that are not finite are left out unless told to keep them.

    Raises:
        ValueError: another shape, or no row at all.
    """
    array = numpy(values)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; give points (N, 2) with N >= 1: "
            "choose two of the dimensions, for example x[:, :2]"
        )
    array = array.astype(np.float64)
    return array if keep else array[np.isfinite(array).all(1)]


def line(values: Values, name: str, length: int | None = None) -> Floats:
    """float64 ``(length,)``, as it is: infinities and NaN stay.

    Raises:
        ValueError: not one-dimensional, empty, or of another length.
    """
    array = numpy(values)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} has shape {array.shape}; give a non-empty (T,): average or flatten")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} has {len(array)} values, t has {length}; give one value a time")
    return array.astype(np.float64)
