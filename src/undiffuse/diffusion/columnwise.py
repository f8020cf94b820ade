"""What else is known of a table's columns, in their own words, as a factor."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse.data import Cell, CellSpace
from undiffuse.marginals import Marginals
from undiffuse.posteriors import Separable
from undiffuse.posteriors.separable import LogFactor

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

Likely = tuple[float, float] | Mapping[Any, float] | Callable[[Tensor], Tensor]


def by_column(of: "Diffusion", likely: Mapping[str, Likely]) -> Separable:
    """r(row) = prod_c r_c(value), for `posterior`: what else is known of columns, by their names.

    Of numbers (mean, std), a normal density of the value, as of a measurement with noise so wide. Of
    categories the weight of each, as {"Ideal": 3}: so many times as likely as it was; 1 of those not named.
    Of either a function that gives log r, elementwise, of a tensor of values; of categories of their places.
    Raises ValueError for data that are no table, columns that there are not, and what is none of these.
    """
    if not isinstance(of.space, CellSpace):
        raise ValueError("by_column: for tables; of other data use known, noisy, or a factor of your own")
    lost = [name for name in likely if name not in of.space.names]
    if lost:
        raise ValueError(f"by_column: no column {lost[0]!r}; there are: {', '.join(of.space.names)}")
    found = {of.space.names.index(name): _log_factor(of.space, name, each) for name, each in likely.items()}
    return Separable(found)


def _log_factor(space: CellSpace, name: str, likely: Likely) -> LogFactor:
    """log r_c of x_0's values."""
    place = space.names.index(name)
    cell = space.columns[place]
    log_r = _log_weights(cell, likely) if isinstance(likely, Mapping) else _log_density(cell, likely)
    if cell.symbols:
        return lambda x: log_r(x.nan_to_num(0.0))
    number = space.numbers.tolist().index(place)
    of_one = Marginals.from_state(space.marginals.state()[number : number + 1])
    return lambda z: log_r(of_one.to(z.device).decode(z.reshape(-1, 1)).view(z.shape))


def _log_weights(cell: Cell, weights: Mapping[Any, float]) -> LogFactor:
    if not cell.symbols:
        raise ValueError(f"by_column: {cell.name!r} has {cell.kind}: give (mean, std), or a function")
    lost = [each for each in weights if each not in cell.categories]
    if lost:
        known = ", ".join(map(str, cell.categories[:10]))
        raise ValueError(f"by_column: {cell.name!r} has no {lost[0]!r}; there are: {known}")
    if not all(w > 0 and math.isfinite(w) for w in weights.values()):
        raise ValueError(
            f"by_column: weights of {cell.name!r} are positive numbers; to be certain, use given"
        )
    table = torch.tensor([math.log(weights.get(each, 1.0)) for each in cell.categories], dtype=torch.float64)
    return lambda x: table.to(x.device)[x.long().clamp(0, len(table) - 1)]


def _log_density(cell: Cell, likely: Any) -> LogFactor:
    if callable(likely):
        return likely  # type: ignore[no-any-return]
    try:
        mean, std = map(float, likely)
    except (TypeError, ValueError):
        raise ValueError(
            f"by_column: {cell.name!r} is {likely!r}; give (mean, std) of numbers, weights of categories, or "
            "a function of a tensor of values"
        ) from None
    if cell.symbols or not (0 < std < math.inf and math.isfinite(mean)):
        raise ValueError(
            f"by_column: {cell.name!r} has {cell.kind}, {likely!r} is for numbers: a mean, and a positive std"
        )
    return lambda v: -0.5 * ((v - mean) / std).square()
