"""Whether what is drawn of hidden data is as uncertain as it should be: drawn where the truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse.data import CellSpace
from undiffuse.diffusion.filled import Filled
from undiffuse.diffusion.observed import imputed, measured, noisy, operator_for, posterior, raw_width
from undiffuse.diffusion.posterior import Way
from undiffuse.metrics.calibration import (
    DRAWS,
    Numbers,
    Symbols,
    check_counts,
    numbers,
    summary,
    symbols,
)
from undiffuse.posteriors.operators import Operator
from undiffuse.random import Streams, normal, uniform
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

MISSING = 0.3  # share of values that are hidden, unless told
APART = 64  # numbers of a vector that are told of apart, at most


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `examples` say of a `task`, by so many `draws` of each: of numbers, of symbols, by column."""

    task: str
    examples: int
    draws: int
    numbers: Numbers | None
    symbols: Symbols | None
    columns: Mapping[str, Numbers | Symbols]

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        parts = {name: each for name in ("numbers", "symbols") if (each := getattr(self, name)) is not None}
        found = {"task": self.task, "examples": self.examples, "draws": self.draws}
        found |= {name: summary(each) for name, each in parts.items()}
        return found | {"columns": {name: summary(each) for name, each in self.columns.items()}}

    def __str__(self) -> str:
        lines = [f"{self.task}: {self.examples:,} examples, {self.draws} draws of each"]
        if self.numbers is not None:
            lines += [
                f"intervals of {share:.1%} hold {each.mean:.1%} +- {each.se:.1%} (ties by chance: "
                f"{self.numbers.fair[share].mean:.1%}) of {self.numbers.count:,} numbers"
                for share, each in self.numbers.coverage.items()
            ]
            lines.append(
                f"ranks of the truth are uniform: p = {self.numbers.uniform:.3g}; CRPS {self.numbers.crps}, "
                f"energy score {self.numbers.energy} (deviations)"
            )
        if self.symbols is not None:
            lines.append(
                f"{self.symbols.truth.mean:.1%} of draws of {self.symbols.count:,} symbols are the truth; "
                f"Brier score {self.symbols.brier}"
            )
        return "\n".join(lines)


def calibrate(
    of: "Diffusion",
    raw: Tensor,
    *,
    missing: float | None = None,
    columns: str | Sequence[str] | None = None,
    mask: Tensor | None = None,
    std: float | None = None,
    operator: Operator | str | None = None,
    n: int = DRAWS,
    seed: int = 0,
    way: Way | None = None,
    track: Track = SILENT,
) -> Calibration:
    """Hide something of raw examples (N, *shape), draw it n times, and look where the truth lies.

    Args:
        raw: examples that the model was not trained on.
        missing: the share of values that are hidden, at random; 0.3 where nothing else is asked for. With 1
            all of them: examples are drawn given nothing but the model's condition, as those of a posterior
            of a simulator's parameters (Talts et al. 2018).
        columns: of a table, those to be predicted from the others.
        mask: bool (*shape), True where known, as of `inpaint`.
        std: instead, width of normal noise on the example, or on what the operator makes of it, as of
            `noisy` and `measured`.
        operator: what is seen, with noise, as "downsample:4".
        n: draws of each; with 39 there are intervals of 50, 80, 90 and 95 %.
        seed: keys what is hidden, and the draws.
        way: as of `posterior`.
        track: where progress is reported.

    Raises:
        ValueError: for several of these at once, what the data have not, fewer than two examples or draws.
    """
    of.check(raw)
    check_counts(len(raw), n)
    raw = of.with_noise(raw, seed)
    asked = {"missing": missing, "columns": columns, "mask": mask, "std": std}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1 or (operator is not None and std is None):
        raise ValueError(
            f"{', '.join(given) or 'operator'}: one of missing, columns, mask, std; operator goes with std"
        )
    if std is not None:
        task = f"{'denoise' if operator is None else f'restore {operator}'}, std {std:g}"
        hidden = torch.ones(raw.shape, dtype=torch.bool)
        draws = _observed(of, raw, std, operator, n, seed, way, track)
    else:
        task, hidden = _hidden(of, raw, missing, columns, mask, seed)
        whole = missing == 1 and not isinstance(of.space, CellSpace)
        draws = (_sampled if whole else _completed)(of, raw, hidden, n, seed, way, track)
    return _judged(of, task, draws, raw, hidden, seed)


def _hidden(
    of: "Diffusion",
    raw: Tensor,
    missing: float | None,
    columns: str | Sequence[str] | None,
    mask: Tensor | None,
    seed: int,
) -> tuple[str, Tensor]:
    """What is done in words, and which known values (N, *shape) are hidden."""
    known = ~raw.isnan()
    if columns is not None:
        named = [columns] if isinstance(columns, str) else list(columns)
        return f"predict {', '.join(named)}", known & torch.tensor([c in named for c in _names(of, named)])
    if mask is not None:
        if mask.dtype != torch.bool or mask.numel() != dims(of.shape):
            raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}: give torch.bool {of.shape}")
        return f"inpaint, {float((~mask).double().mean()):.0%} missing", known & ~mask.view(of.shape)
    share = MISSING if missing is None else missing
    if not 0 < share <= 1:
        raise ValueError(f"missing={share:g}: a share of the values, above 0, and 1 at most")
    if share == 1:
        return "sample", known
    chance = uniform(tuple(raw.shape), Streams("hidden", seed, rows=range(len(raw))), torch.float64)
    return f"impute, {share:.0%} missing at random", known & (chance < share)


def _names(of: "Diffusion", wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns. Raises ValueError unless all that are wanted are there."""
    names = of.space.names if isinstance(of.space, CellSpace) else of.container.names
    lost = [name for name in wanted if name not in names]
    if lost:
        there = f"there are: {', '.join(names)}" if names else "these data have no names"
        raise ValueError(f"columns: no column {lost[0]!r}; {there}")
    return names


def _completed(
    of: "Diffusion", raw: Tensor, hidden: Tensor, n: int, seed: int, way: Way | None, track: Track
) -> Tensor:
    """Draws (N, n, *shape) of what is hidden, given the rest."""
    found = imputed(of, raw, ~hidden, n, seed, way=way, track=track)
    return found.draws if isinstance(found, Filled) else torch.as_tensor(found.samples)


def _sampled(
    of: "Diffusion", raw: Tensor, hidden: Tensor, n: int, seed: int, way: Way | None, track: Track
) -> Tensor:
    """Draws (N, n, *shape) given what the model is given of every example."""
    of.model.check_count(len(raw))
    each = of.in_tensors.replace(model=of.model.rows(torch.arange(len(raw)).repeat_interleave(n)))
    drawn = each.sample(len(raw) * n, seed, steps=None if way is None else way.steps, track=track)
    return drawn.view(len(raw), n, *of.shape)


def _observed(
    of: "Diffusion",
    raw: Tensor,
    std: float,
    operator: Operator | str | None,
    n: int,
    seed: int,
    way: Way | None,
    track: Track,
) -> Tensor:
    """Draws (N, n, *shape) of examples seen with noise."""
    degrade = None if operator is None else operator_for(of, operator)[0]
    seen = raw.double() if degrade is None else degrade(raw.double())
    noise = normal(tuple(seen.shape), Streams("observation", seed, rows=range(len(raw))), torch.float64)
    seen = seen + raw_width(of, std) * noise
    found = []
    for i, part in track.over(range(len(raw))):
        factor = noisy(of, seen[i], std) if degrade is None else measured(of, degrade, seen[i], std)
        one = posterior(of, factor, n, seed + i, way=way, track=part)
        found.append(torch.as_tensor(one.samples))
    return torch.cat(found)


def _judged(of: "Diffusion", task: str, draws: Tensor, raw: Tensor, hidden: Tensor, seed: int) -> Calibration:
    n = draws.shape[1]
    x, y, there = draws.flatten(2).double(), raw.flatten(1).double(), hidden.flatten(1)
    cells = of.space.columns if isinstance(of.space, CellSpace) else ()
    symbolic = [bool(c.symbols) for c in cells] or [of.model.kernel.symbols is not None] * y.shape[1]
    kinds, scale = torch.tensor(symbolic), _scale(y, apart=len(of.shape) == 1)

    def judged(some: Tensor) -> tuple[Numbers | None, Symbols | None]:
        """Of some columns."""
        own, others = some & ~kinds, some & kinds
        ties = Streams("ties", seed, rows=range(len(y)))
        return (
            numbers(x[..., own], y[:, own], there[:, own], scale[own], ties),
            symbols(x[..., others], y[:, others], there[:, others]),
        )

    whole = judged(torch.ones_like(kinds))
    columns: dict[str, Numbers | Symbols] = {}
    for i, name in enumerate(_apart(of)):
        one = next((each for each in judged(torch.arange(len(kinds)) == i) if each is not None), None)
        columns |= {} if one is None else {name: one}
    return Calibration(task, len(y), n, *whole, columns)


def _apart(of: "Diffusion") -> Sequence[str]:
    """Names of the values that are told of apart: a table's columns, and those of a short vector."""
    if isinstance(of.space, CellSpace):
        return of.space.names
    few = len(of.shape) == 1 and of.shape[0] <= APART
    return (of.container.names or [str(i) for i in range(of.shape[0])]) if few else ()


def _scale(y: Tensor, apart: bool) -> Tensor:
    """The standard deviation of values (N, D), NaN where there are none: of every column apart, or of all."""
    values = y if apart else y.reshape(-1, 1)
    squares = (values - values.nanmean(0)).square().nanmean(0)
    return torch.where(squares > 0, squares.sqrt(), 1.0).expand(y.shape[1])
