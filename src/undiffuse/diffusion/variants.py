"""A diffusion with one thing changed: its condition, the range of its predictions, the times of its chain."""

from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from undiffuse.bounds import Curve, curve_of
from undiffuse.conditions import Given
from undiffuse.data import CellSpace
from undiffuse.data.frame import rows_of
from undiffuse.kernels import Gaussian
from undiffuse.parameterizations import Clipped
from undiffuse.posteriors import Guided
from undiffuse.random import Streams
from undiffuse.samplers import Sampler, Tuner, UniPC, like_of, start
from undiffuse.samplers.tuned import FINE, ROWS, USUAL, check_tuned
from undiffuse.schedules.grids import logsnr, thin
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

TIMES = 64  # that a chain is chosen from
D = TypeVar("D", bound="Diffusion")


def given(of: D, condition: Any, guidance: float = 1.0) -> D:
    """The model of examples with this condition, to sample, evaluate and compress with like any other.

    A class by number or name, numbers, an image, a sequence: one for all examples, or (N, ...) one each, in
    their order; of several a dictionary, by name. None tells nothing, nor does -1 of a class and NaN of
    numbers.
    `guidance` above 1 leads away from what examples are like of which nothing is told, step by step (Ho &
    Salimans 2022); sampled by `samplers.Particles` it is the geometric mixture of both (see
    `posteriors.Guided`).
    The model of a table is given cells: a DataFrame or mappings of columns to values, one row for all or one
    each, or rows (N, D) with NaN for what is not given.
    Raises ValueError for a model that takes no condition, and for what is none of its own.
    """
    if isinstance(of.space, CellSpace) and condition is not None:
        condition = of.space.encode(rows_of(condition, of.space.columns))
    return guided(of.replace(model=of.denoiser.given(condition)), guidance)


def guided(of: D, guidance: float) -> D:
    """The model led away, for a guidance above 1, from itself if nothing is told; itself for 1."""
    if guidance == 1.0:
        return of
    return of.replace(model=Guided(of.denoiser, of.denoiser.told(None), guidance), walks=None)


def told(of: D, given: Given | None) -> D:
    """The model of examples that are given this, checked before; itself if there is nothing."""
    return of if given is None else of.replace(model=of.denoiser.told(given))


def clipped(of: D, on: bool) -> D:
    """The run whose predictions are clipped to [-1, 1], where its levels are; or not clipped at all.

    Raises ValueError for data without levels, and for symbols.
    """
    model, said = copy(of.denoiser), of.denoiser.parameterization
    if not on:
        model.parameterization = said.of if isinstance(said, Clipped) else said
    elif not isinstance(said, Clipped):
        if of.levels is None:
            raise ValueError("continuous data have no range to clip predictions to")
        model.parameterization = Clipped(said)
    return of.replace(model=model, walks=None)


def stopped(of: D, t: float) -> D:
    """The run whose chain has no times before t: from its first one, x_0 is decoded.

    Samplers without noise then give means E[x_0 | x_t] in the place of samples. Raises ValueError unless
    0 <= t <= 1.
    """
    if not 0 <= t <= 1:
        raise ValueError(f"stop={t:g}: a time from 0 (the whole chain) to 1")
    return of.replace(first=t, walks=of.walks if t == 0 else None)


def curve_times(of: "Diffusion") -> Tensor:
    """The times of `curve`, (K,)."""
    kernel, chain = of.model.kernel, of.grid
    if isinstance(kernel, Gaussian) and kernel.schedule.steps is None:
        return logsnr(kernel.schedule, TIMES, float(chain[0]))
    return thin(chain, min(TIMES, len(chain)))


def curve(of: "Diffusion", raw: Tensor, seed: int = 0, *, track: Track = SILENT) -> Curve:
    """Mean squared errors of predictions for raw examples (N, *shape), N >= 2, along the chain.

    At 64 times even in log-SNR; of a table's chain at some of its own. In x_0's units, summed over the values
    of an example; with standard errors. Raises ValueError for kernels of symbols.
    """
    of.check(raw)
    how: dict[str, Any] = {"encode": of.space.encode, "track": track}
    return curve_of(of.model, raw, grid=curve_times(of), seed=seed, **how)


def chained(of: D, steps: int, curve: Curve) -> D:
    """The diffusion on the chain of so many steps that has the lowest bound, by its `curve`.

    Raises ValueError for steps that the curve does not have.
    """
    return of.replace(chain=curve.best(steps), first=0.0, walks=None)


def tuned(
    of: D,
    steps: int = 10,
    sampler: Sampler | None = None,
    seed: int = 0,
    *,
    rows: int = ROWS,
    track: Track = SILENT,
) -> D:
    """The diffusion that walks so few steps of a solver, by default UniPC, at the times that suit it best.

    They are chosen by where so many rows come to, beside a walk of a hundred steps (`samplers.Tuner`). Raises
    ValueError for kernels of symbols, solvers with noise, fewer than two steps, or rows below 1.
    """
    if rows < 1:
        raise ValueError(f"rows={rows}: at least one is walked, to choose times by")
    solver, streams = sampler or UniPC(), Streams(seed, "tuned", rows=range(rows))
    check_tuned(of.model, solver, steps)
    x_1 = start(of.model, like_of(of.model, (rows, *of.shape)), streams)
    fine, search = track.split(FINE, USUAL * steps)
    grid, _ = Tuner(of.model.rows_alike(rows), x_1, of.grid, fine).tuned(solver, steps, search)
    return of.replace(chain=grid, first=0.0, sampler=solver, walks=None)
