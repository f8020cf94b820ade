"""Bases as named tensors, and back: nothing in a file can name code."""

from collections.abc import Mapping

import torch
from torch import Tensor

from undiffuse.axes import NAMES, Axes
from undiffuse.bases.base import Base
from undiffuse.bases.frequencies import Frequencies
from undiffuse.bases.gaussian import GaussianBase
from undiffuse.bases.mixture import MixtureBase

KINDS: dict[str, type[Base]] = {"frequencies": Frequencies, "gaussian": GaussianBase, "mixture": MixtureBase}


def tensors_of(base: Base) -> dict[str, Tensor]:
    """Its tensors, by name."""
    return dict(base.state_dict())


def base_from(kind: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Base:
    """The base of these tensors, of examples of this shape. Raises ValueError for what is none."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"a base of kind {kind!r}; there are {', '.join(KINDS)}")
    try:
        base = _built(kind, tensors, shape)
    except (KeyError, RuntimeError, IndexError, AttributeError) as error:
        raise ValueError(f"not the tensors of a base of kind {kind}: {error}") from error
    if base.shape != shape or base.state_dict().keys() != tensors.keys():
        raise ValueError(f"not the tensors of a base of kind {kind} for examples of shape {shape}")
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise ValueError(f"a base of kind {kind} with numbers that are not finite")
    return base


def _built(kind: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Base:
    if kind == "frequencies":
        base = Frequencies(tensors["log_probs"].exp())
        base.log_probs.copy_(tensors["log_probs"])  # to the last bit
        return base
    axes = _axes(tensors, shape)
    if kind == "gaussian":
        return GaussianBase(tensors["mean"], tensors["var"], axes)
    weights, means, variances, frames = (tensors[k] for k in ("log_weights", "means", "vars", "frames"))
    return MixtureBase(weights, means, variances, frames, axes, shape)


def _axes(tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Axes:
    sizes = {-1: torch.Size(shape).numel()} | dict(enumerate(shape))
    matrices = {d: tensors[f"axes.{name}"] for d, name in NAMES.items() if f"axes.{name}" in tensors}
    for d, matrix in matrices.items():
        if matrix.shape != (sizes[d], sizes[d]):
            raise ValueError(f"axes of shape {tuple(matrix.shape)} for a dimension of {sizes[d]}")
    return Axes(matrices)
