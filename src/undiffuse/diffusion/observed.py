"""Observations of raw data as factors, and what the posterior of a run says of them, raw again.

run = undiffuse.load("runs/first")
found = run.posterior(run.noisy(raw, std=0.3), n=16)  # or run.measured("downsample:4", raw, 0.05)
found = run.impute(raw, n=16)                          # NaN marks what is missing
found.samples, found.mean, found.std, found.method
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.conditions import Given
from undiffuse.data import Affine, CellSpace
from undiffuse.devices import onto
from undiffuse.diffusion.containers import Container
from undiffuse.diffusion.filled import Filled
from undiffuse.diffusion.posterior import Factors, Way, draw
from undiffuse.mixed import CELLS
from undiffuse.posteriors import Both, Factor, Known, Linear, Linearised, Noisy
from undiffuse.posteriors.operators import Operator, operator_of
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

STEPS = 50  # of a table's chain that fill holes: as good as 200 where that was measured
DRAWS = 20  # of what is missing in a table, of whose range one more draw is nine times in ten
AFAR = 8  # widths of the noise from the data's range at which an observation is no observation


@dataclass(frozen=True)
class Posterior:
    """Raw `samples` (examples, n, *shape), and by which `method` they were drawn.

    Samples, mean and standard deviation are of the kind, torch, numpy or pandas, of what was observed.
    `size` is the smallest effective share of a group of particles on the way; `log_evidence` is in nats, a
    density in raw units for continuous data, with its standard error `se`. `doubt` says why they are not to
    be relied on, if so.
    """

    samples: Any
    method: str
    size: float | None = None
    log_evidence: float | None = None
    se: float | None = None
    doubt: str | None = None
    kind: Container = field(default_factory=Container)

    @property
    def mean(self) -> Any:
        """The mean of the samples, (examples, *shape), float32; float64 if they are."""
        return self._put(self._drawn.double().mean(1))

    @property
    def std(self) -> Any:
        """The standard deviation of the samples about it, of the same type; of one sample 0."""
        correction = min(1, self.samples.shape[1] - 1)
        return self._put(self._drawn.double().std(1, correction=correction))

    def of_kind(self, kind: Container) -> "Posterior":
        """The same, of another kind; a table's samples given one observation are rows of it."""
        rows = self.samples[0] if kind.cells and len(self.samples) == 1 else self.samples
        return replace(self, samples=kind.put(rows), kind=kind)

    @property
    def _drawn(self) -> Tensor:
        if self.kind.cells:
            raise TypeError("symbols of a table have no mean: ask its samples, which are rows")
        return torch.as_tensor(self.samples)

    def _put(self, x: Tensor) -> Any:
        return self.kind.put(x if self._drawn.dtype == torch.float64 else x.float())


def known(run: "Diffusion", raw: Tensor, mask: Tensor) -> Known:
    """The elements of raw (*shape) or (B, *shape) where the mask, bool and of that shape, is True.

    Raises ValueError for another shape or mask, or known values that the data cannot have.
    """
    _check_shape(run, raw)
    if mask.dtype != torch.bool or mask.shape != raw.shape:
        raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}: give torch.bool {tuple(raw.shape)}")
    _check_known(run, raw[mask])
    if isinstance(run.space, CellSpace):
        return Known(run.space.encode(raw.masked_fill(~mask, torch.nan)), mask)
    filled = torch.where(mask, raw, 0)
    return Known(run.space.encode(filled if run.levels is None else filled.int()), mask)


def noisy(run: "Diffusion", raw: Tensor, std: float) -> Noisy:
    """All of raw (*shape), seen with normal noise of width std.

    Of data with levels std is in the unit in which they go from -1 to 1, else in raw units. Raises ValueError
    for another shape, std <= 0, values that are not finite or far outside the data's range, and for symbols.
    """
    _check_shape(run, raw)
    check_seen(run, raw, std)
    width = std / run.space.std if isinstance(run.space, Affine) else std
    return Noisy(_numbers(run, raw), float(width) if isinstance(width, Tensor) and not width.ndim else width)


@unaided
def measured(run: "Diffusion", operator: Operator | str, raw: Tensor, std: float) -> Linear:
    """What a linear operator, such as "downsample:4", made of an example, with noise of width std.

    std is as in `noisy`. Raises ValueError for an unknown operator, a raw that is not of the shape that it
    gives, and as `noisy` does.
    """
    operator, shape = operator_for(run, operator)
    if tuple(raw.shape) != shape:
        raise ValueError(f"an observation of shape {tuple(raw.shape)}: the operator gives {shape}")
    constant = operator(torch.ones(1, *run.shape, dtype=torch.float32))[0].double()
    check_seen(run, raw, std, ranged=bool((constant - 1).abs().max() < 1e-3))
    if isinstance(run.space, Affine):  # of x_0 it is A (width x_0) that was seen, and A of the mean
        width, mean = run.space.std.float(), run.space.mean.expand(run.shape)
        seen = (raw.double() - operator(mean[None])[0]).float()  # of large numbers: first the difference
        return Linear(lambda x: operator(x * onto(width, x)), seen, std)
    assert run.levels is not None
    half = (run.levels - 1) / 2
    return Linear(operator, (raw.double() / half - constant).float(), std)


def operator_for(run: "Diffusion", operator: Operator | str) -> tuple[Operator, tuple[int, ...]]:
    """The operator, and the shape of what it makes of the run's examples."""
    found = operator_of(operator) if isinstance(operator, str) else operator
    return found, tuple(found(torch.zeros(1, *run.shape)).shape[1:])


def raw_width(run: "Diffusion", std: float) -> float:
    """Noise of this width in raw units."""
    return std if run.levels is None else std * (run.levels - 1) / 2


def check_seen(run: "Diffusion", raw: Tensor, std: float, ranged: bool = True) -> None:
    """Raise ValueError unless raw may be what is seen of the run's data with noise of this width."""
    if run.model.kernel.symbols is not None:
        raise ValueError("normal noise is that of numbers, this run is of symbols: use inpaint or impute")
    if not 0 < std < float("inf"):
        raise ValueError(f"std={std:g}: noise has a positive, finite width; for none use inpaint or impute")
    if not bool(raw.isfinite().all()):
        raise ValueError("the observation holds values that are not finite; for missing values use impute")
    if run.levels is not None and ranged:
        reach, top = AFAR * raw_width(run, std), run.levels - 1
        low, high = (float(end) for end in raw.aminmax())
        if low < -reach or high > top + reach:
            raise ValueError(
                f"the observation has values {low:g} to {high:g}, this run's data 0 to {top}: "
                f"no noise of width {std:g} does that"
            )


def posterior(
    run: "Diffusion",
    factor: Factor,
    n: int = 16,
    seed: int = 0,
    *,
    way: Way | None = None,
    track: Track = SILENT,
) -> Posterior:
    """n draws of the run's data given one observation: `samples` (1, n, *shape).

    Raises ValueError for a factor or a way that do not go with the run.
    """
    return _posterior(run, lambda _, __: factor, 1, n, seed, way or Way(), track, _log_det(run, factor))


def impute(
    run: "Diffusion",
    raw: Tensor,
    mask: Tensor | None = None,
    n: int = 16,
    seed: int = 0,
    *,
    way: Way | None = None,
    track: Track = SILENT,
) -> Posterior:
    """n completions of every example in raw (N, *shape), of what the mask says is known (default: not NaN).

    What is known stays as it is. Raises ValueError as `known` does.
    """
    run.check(raw)
    mask = ~raw.isnan() if mask is None else mask
    all_known = known(run, raw, mask)

    def factors(examples: range, repeats: int) -> Known:
        rows = torch.tensor([e for e in examples for _ in range(repeats)])
        return Known(all_known.value[rows], mask[rows])

    log_det = _log_det(run, all_known)
    found = _posterior(run, factors, len(raw), n, seed, way or Way(), track, log_det)
    held = torch.where(mask, raw, 0).to(found.samples.dtype)
    samples = torch.where(mask.unsqueeze(1), held.unsqueeze(1), found.samples)
    return replace(found, samples=samples)


def imputed(
    run: "Diffusion", raw: Tensor, mask: Tensor | None = None, n: int | None = None, seed: int = 0, **how: Any
) -> Posterior | Filled:
    """n completions of every example in raw (N, *shape), of what the mask says is known (default: not NaN).

    What is known stays as it is. By default 16; of a table 20, which are `Filled`, rows of their own.
    `how` are `way` and `track`. Raises ValueError as `impute` and `fill` do.
    """
    if not isinstance(run.space, CellSpace):
        return impute(run, raw, mask, 16 if n is None else n, seed, **how)
    run.check(raw)
    raw = raw if mask is None else raw.masked_fill(~mask, torch.nan)
    return fill(run, raw, DRAWS if n is None else n, seed, **how)


def fill(
    run: "Diffusion",
    raw: Tensor,
    n: int = DRAWS,
    seed: int = 0,
    *,
    way: Way | None = None,
    track: Track = SILENT,
) -> Filled:
    """n draws of what is missing in a table's rows (N, D), given what is there.

    By what the model, told of it, says; with a method or particles by the model times `known`. In fifty steps
    of the chain, unless told. Raises ValueError for n below 1, and a way that is none of tables.
    """
    way = way or Way()
    assert isinstance(run.space, CellSpace)
    if n < 1:
        raise ValueError(f"n={n}: at least one draw of what is missing")
    holes = raw.isnan()
    draws, some = raw.unsqueeze(1).repeat(1, n, 1), holes.any(1)
    if not bool(some.any()):
        return Filled(draws, holes, run.space.columns)
    if way.method is not None or way.particles is not None:
        draws[some] = impute(run, raw[some], None, n, seed, way=way, track=track).samples
    else:
        told = Given({CELLS: run.space.encode(raw[some]).repeat_interleave(n, 0)})
        steps = way.steps or min(STEPS, len(run.grid))
        drawn = run.in_tensors.told(told).sample(n * int(some.sum()), seed, steps=steps, track=track)
        draws[some] = torch.where(holes[some].unsqueeze(1), drawn.view(-1, n, raw.shape[1]), draws[some])
    return Filled(draws, holes, run.space.columns)


def _posterior(
    run: "Diffusion",
    factors: Factors,
    examples: int,
    n: int,
    seed: int,
    way: Way,
    track: Track,
    log_det: float,
) -> Posterior:
    """Drawn in x_0, and decoded."""
    steps = min(STEPS, len(run.grid)) if isinstance(run.space, CellSpace) else None
    grid, way = run.thinned(way.steps or steps), way.settled(run.model, run.shape)
    found = draw(run.model, factors, examples, n, run.shape, seed=seed, grid=grid, way=way, track=track)
    raw = run.space.decode(found.x_0.flatten(0, 1).cpu()).view(examples, n, *run.shape)
    nats = None if found.log_evidence is None else found.log_evidence + log_det
    return Posterior(raw, found.method, found.size, nats, found.se, found.doubt)


def _log_det(run: "Diffusion", factor: Factor) -> float:
    """What a density of the observation in raw units has more than one in x_0's, in nats."""
    if not isinstance(run.space, Affine):
        return 0.0
    if isinstance(factor, Both):
        return sum(_log_det(run, part) for part in factor.factors)
    if isinstance(factor, Linearised):
        return _log_det(run, factor.of)
    if isinstance(factor, Known):
        return -float(run.space.std.log().expand(factor.mask.shape)[factor.mask].sum())
    return run.space.log_det(run.shape) if isinstance(factor, Noisy) else 0.0  # Linear is in raw units


def _numbers(run: "Diffusion", raw: Tensor) -> Tensor:
    """x_0's coordinates of raw numbers that need not be levels."""
    if run.levels is None:
        return run.space.encode(raw.double())
    return (2 * raw.double() / (run.levels - 1) - 1).float()


def _check_shape(run: "Diffusion", raw: Tensor) -> None:
    if tuple(raw.shape[-len(run.shape) :]) != run.shape:
        raise ValueError(f"an observation of shape {tuple(raw.shape)}: this run's examples have {run.shape}")


def _check_known(run: "Diffusion", values: Tensor) -> None:
    """Raise ValueError unless these are values that the data can have."""
    if not bool(values.isfinite().all()):
        raise ValueError("known values are not finite; mark them as missing (NaN, or False in the mask)")
    if run.levels is None or not values.numel():
        return
    low, high = (float(end) for end in values.double().aminmax())
    if low < 0 or high > run.levels - 1 or bool((values != values.round()).any()):
        raise ValueError(
            f"known values {low:g} to {high:g}: this run has whole numbers 0 to {run.levels - 1}"
        )
