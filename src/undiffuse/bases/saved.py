"""Bases as named tensors, and back: nothing in a file can name code."""

from collections.abc import Mapping
from math import prod

from torch import Tensor

from undiffuse.axes import NAMES, WHOLE, Axes
from undiffuse.bases.base import Base
from undiffuse.bases.columns import ColumnsBase
from undiffuse.bases.frequencies import Frequencies
from undiffuse.bases.gaussian import GaussianBase
from undiffuse.bases.mixture import MixtureBase
from undiffuse.marginals import Column, Marginals

KINDS: dict[str, type[Base]] = {
    "frequencies": Frequencies,
    "gaussian": GaussianBase,
    "mixture": MixtureBase,
    "columns": ColumnsBase,
}


def tensors_of(base: Base) -> dict[str, Tensor]:
    """Its tensors, by name."""
    return dict(base.state_dict())


def base_from(kind: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Base:
    """The base of these tensors, of examples of this shape. Raises ValueError for what is none."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"a base of kind {kind!r}; there are {', '.join(KINDS)}")
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise ValueError(f"a base of kind {kind} with numbers that are not finite")
    try:
        base = _built(kind, tensors, shape)
        base.load_state_dict(dict(tensors))  # to the last bit, and no others
    except (KeyError, RuntimeError, IndexError, AttributeError) as error:
        raise ValueError(f"not the tensors of a base of kind {kind}: {error}") from error
    if base.shape != shape:
        raise ValueError(f"a base of kind {kind} for examples of shape {base.shape}, not {shape}")
    return base


def _built(kind: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Base:
    if kind == "frequencies":
        return Frequencies(tensors["log_probs"].exp())
    if kind == "columns":
        return _columns(tensors)
    if kind == "gaussian":
        return _normal(tensors, "", shape)
    weights, means, variances, frames = (tensors[k] for k in ("log_weights", "means", "vars", "frames"))
    return MixtureBase(weights, means, variances, frames, _normal(tensors, "normal.", shape))


def _columns(tensors: Mapping[str, Tensor]) -> ColumnsBase:
    tables = [tensors[name] for name in sorted(tensors, key=_numbered) if name.startswith("symbols.")]
    maps = {key.removeprefix("marginals."): t for key, t in tensors.items() if key.startswith("marginals.")}
    columns = [
        Column(knots, scores, float(step), float(low), atoms[there.bool()])
        for knots, scores, step, low, atoms, there in zip(
            *(maps[name] for name in ("knots", "scores", "steps", "lows", "atoms", "there")), strict=True
        )
    ]
    found = [Frequencies(table.exp()) for table in tables]
    return ColumnsBase(tensors["counts"], tensors["corr"], tensors["inner"], Marginals(columns), found)


def _numbered(name: str) -> tuple[int, str]:
    """symbols.2 before symbols.10."""
    part = name.split(".")[1] if name.startswith("symbols.") else "0"
    return int(part), name


def _normal(tensors: Mapping[str, Tensor], prefix: str, shape: tuple[int, ...]) -> GaussianBase:
    sizes = {WHOLE: prod(shape)} | dict(enumerate(shape))
    found = {d: tensors.get(f"{prefix}basis.{name}") for d, name in NAMES.items()}
    matrices = {d: matrix for d, matrix in found.items() if matrix is not None}
    for d, matrix in matrices.items():
        if matrix.shape != (sizes.get(d), sizes.get(d)):
            raise ValueError(f"axes of shape {tuple(matrix.shape)} for a dimension of {sizes.get(d)}")
    return GaussianBase(tensors[f"{prefix}mean"], tensors[f"{prefix}var"], Axes(matrices))
