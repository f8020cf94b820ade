"""Log-likelihoods without a bound, and latents, by the probability flow; in raw units."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import torch
from torch import Tensor

from undiffuse.bounds.streamed import Streamed
from undiffuse.data import Levels
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.flow import Dequantize, LogProb, check_flow, grid_of, log_probs, transport
from undiffuse.kernels import Gaussian
from undiffuse.samplers.base import gaussian_of
from undiffuse.schedules.grids import logsnr
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

CALLS = 50


class How(TypedDict, total=False):
    """How a density is followed; what is left out is as `_found` has it.

    `calls` of the network for each example and draw; so many products with its Jacobian at each as there are
    random `signs`, or for every value: 0, which is the default up to 16 values, above it two signs. Of levels
    so many `samples` of the noise within a level, weighted by importance where they are more than one, and
    what it is: "truncated" normal, or "uniform".
    """

    calls: int
    signs: int | None
    samples: int
    dequantize: Dequantize
    track: Track


@dataclass(frozen=True)
class Likelihood:
    """-log2 p of examples by the flow, bits per dimension in raw units; of levels at most so many.

    `bits` is the mean over examples, its error that of the examples and the random signs; `grid_error` is
    what the grid seems to be off by at most. `less` is the bound of the same examples less `bits`, pair by
    pair, where it is known. `width` is that of the noise in the last state, in x_0's coordinates: of
    continuous data the density is that of data with such noise.
    """

    examples: int
    calls: int
    bits: Estimate
    grid_error: float
    less: Estimate | None
    levels: int | None
    dequantize: str | None
    samples: int
    signs: int | None
    width: float

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """One line."""
        line = f"{self.bits} bits/dim by the flow, its grid's error up to {self.grid_error:.4f}"
        return line if self.less is None else f"{line}; the bound less that is {self.less}"


def log_prob(of: "Diffusion", raw: Tensor, seed: int = 0, **how: Unpack[How]) -> Tensor:
    """log p of raw examples (N, *shape), (N,) in nats an example and raw units: no bound, but an ODE.

    A density of continuous data, of levels a lower bound on log-probabilities. `how` are calls, signs,
    samples, dequantize and track (see `How`). It has a gradient where `raw` has. `likelihood` says how far it
    is right.

    Raises ValueError for kernels of symbols, and models whose predictions have no gradient.
    """
    return _found(of, raw, seed, **how).value


def likelihood(
    of: "Diffusion",
    raw: Tensor,
    seed: int = 0,
    *,
    beside: bool = False,
    terms: int | None = None,
    **how: Unpack[How],
) -> Likelihood:
    """The same of a data set, with its errors; `beside` the bound of the same examples.

    Of that so many `terms` are computed for each example as the flow takes calls, unless told. Raises
    ValueError for fewer than two examples, and as `log_prob` does.
    """
    check_examples(raw)
    calls, samples, track = how.get("calls", CALLS), how.get("samples", 1), how.get("track", SILENT)
    terms = calls if terms is None else terms
    how["track"], bound = track.split(4 * calls * samples, beside * (terms or len(of.grid)))
    found, scale = _found(of, raw, seed, **how), 1 / (dims(of.shape) * math.log(2))
    columns = [-found.value.detach() * scale]
    if beside:
        columns.append(of.bits(raw, seed, terms=terms, track=bound).double() - columns[0])
    moments = Moments()
    moments.add(torch.stack(columns, 1))
    bits, *less = moments.estimates()
    level = gaussian_of(of.model).level(of.grid[0])
    return Likelihood(
        examples=len(raw),
        calls=calls,
        bits=bits,
        grid_error=float(found.error.mean()) * scale,
        less=less[0] if less else None,
        levels=of.levels,
        dequantize=how.get("dequantize", "truncated") if of.levels else None,
        samples=samples,
        signs=how.get("signs"),
        width=level.sigma / level.alpha,
    )


def encode(of: "Diffusion", raw: Tensor, *, calls: int = CALLS, track: Track = SILENT) -> Tensor:
    """The latents of raw examples (N, *shape), where the flow leads them: standard normal, as far as it fits.

    Raises ValueError for kernels of symbols, and fewer than 3 calls.
    """
    of.check(raw)
    return _carried(of, raw, calls, track, up=True)


def decode(of: "Diffusion", latents: Tensor, *, calls: int = CALLS, track: Track = SILENT) -> Tensor:
    """The raw examples of latents (N, *shape): the inverse of `encode`, as near as so many calls bring it.

    Raises ValueError as `encode` does, and for latents that are not finite.
    """
    of.check(latents)
    if not bool(latents.isfinite().all()):
        raise ValueError("latents: some are not finite")
    return of.space.decode(_carried(of, latents, calls, track, up=False).cpu())


def round_trip(of: "Diffusion", raw: Tensor, *, calls: int = CALLS) -> float:
    """How far raw examples are from what their latents lead back to: root mean square, raw units."""
    back = decode(of, encode(of, raw, calls=calls), calls=calls)
    return float((back.double() - raw.double()).square().mean().sqrt())


def check_calls(of: "Diffusion", calls: int) -> None:
    """Raise ValueError for a model that has no flow, and for too few calls, before any is made."""
    kernel, first = _flow(of)
    grid_of(kernel.schedule, first, calls)


def _flow(of: "Diffusion") -> tuple[Gaussian, float]:
    """The kernel and the time at which the flow begins. Raises ValueError for a model that has none."""
    check_flow(of.model)
    first = float(of.grid[0])
    if first == 1:
        raise ValueError("stop=1: no time is left in which anything flows; stop before it")
    return gaussian_of(of.model), first


def _found(
    of: "Diffusion",
    raw: Tensor,
    seed: int,
    *,
    calls: int = CALLS,
    signs: int | None = None,
    samples: int = 1,
    dequantize: Dequantize = "truncated",
    track: Track = SILENT,
) -> LogProb:
    """In nats and raw units."""
    of.check_density(raw)
    kernel, first = _flow(of)
    found = log_probs(
        of.model,
        raw,
        grid=grid_of(kernel.schedule, first, calls),
        seed=seed,
        encode=of.space.encode,
        half=1 / (of.space.levels - 1) if isinstance(of.space, Levels) else None,
        dequantize=dequantize,
        samples=samples,
        signs=signs,
        track=track,
    )
    return found._replace(value=found.value + of.space.log_det(of.shape))


def _carried(of: "Diffusion", x: Tensor, calls: int, track: Track, up: bool) -> Tensor:
    """Examples to latents, or back to x_0."""
    kernel, first = _flow(of)
    if calls < 3:
        raise ValueError(f"calls={calls}: a walk along the flow takes three at least")
    grid, done = logsnr(kernel.schedule, calls, first), []
    alpha = kernel.level(grid[0]).alpha
    parts = Streamed(of.model, x, 0, "flow", of.space.encode if up else (lambda z: z), None, grid)
    for part, inner in track.over(parts):
        begin, times = (part.x_0 * alpha, grid) if up else (part.x_0, grid.flip(0))
        end = transport(part.model, begin, times, track=inner)[: part.kept]
        done.append((end if up else end / alpha).cpu())
    return torch.cat(done)
