"""Log-likelihoods without a bound, and latents, by the probability flow; in raw units."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse.bounds.streamed import Streamed
from undiffuse.data import Levels
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.flow import Dequantize, LogProb, grid_of, log_probs, transport
from undiffuse.samplers.base import gaussian_of
from undiffuse.samplers.exponential import Level
from undiffuse.samplers.solvers import UniPC
from undiffuse.schedules.grids import logsnr
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

CALLS = 50


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
        kind = "density" if self.levels is None else f"probability, {self.dequantize} noise"
        line = (
            f"by the flow: {self.bits} bits/dim ({kind}; {self.calls} calls, grid +- {self.grid_error:.4f})"
        )
        return (
            line if self.less is None else f"{line}; the bound is {self.less.mean:+.4f} +- {self.less.se:.4f}"
        )


def log_prob(
    of: "Diffusion",
    raw: Tensor,
    seed: int = 0,
    *,
    calls: int = CALLS,
    signs: int | None = None,
    samples: int = 1,
    dequantize: Dequantize = "truncated",
    track: Track = SILENT,
) -> Tensor:
    """log p of raw examples (N, *shape), (N,) in nats an example and raw units: no bound, but an ODE.

    A density of continuous data. Of levels a lower bound on log-probabilities, by `samples` draws of noise
    within a level; more than one are weighted by importance. Each takes so many `calls` of the network, and
    as many products with its Jacobian for every one of so many random `signs`, or for every value: 0, which
    is the default up to 16 values. It has a gradient where `raw` has. `likelihood` says how far it is right.

    Raises ValueError for kernels of symbols, and models whose predictions have no gradient.
    """
    how: dict[str, Any] = {"signs": signs, "samples": samples, "dequantize": dequantize, "track": track}
    return _found(of, raw, seed, calls, **how).value


def likelihood(
    of: "Diffusion",
    raw: Tensor,
    seed: int = 0,
    *,
    calls: int = CALLS,
    signs: int | None = None,
    samples: int = 1,
    dequantize: Dequantize = "truncated",
    beside: bool = False,
    terms: int | None = None,
    track: Track = SILENT,
) -> Likelihood:
    """The same of a data set, with its errors; `beside` the bound of the same examples, of so many `terms`.

    Raises ValueError for fewer than two examples, and as `log_prob` does.
    """
    check_examples(raw)
    how: dict[str, Any] = {"signs": signs, "samples": samples, "dequantize": dequantize}
    first, second = track.split(4 * calls * samples, 10 * beside)
    found, scale = _found(of, raw, seed, calls, track=first, **how), 1 / (dims(of.shape) * math.log(2))
    own = -found.value.detach() * scale
    columns = [own] if not beside else [own, of.bits(raw, seed, terms=terms, track=second).double() - own]
    moments = Moments()
    moments.add(torch.stack(columns, 1))
    bits, *less = moments.estimates()
    level = Level.of(gaussian_of(of.model), of.grid[0])
    return Likelihood(
        examples=len(raw),
        calls=calls,
        bits=bits,
        grid_error=float(found.error.mean()) * scale,
        less=less[0] if less else None,
        levels=of.levels,
        dequantize=dequantize if of.levels else None,
        samples=samples,
        signs=signs,
        width=level.sigma / level.alpha,
    )


def encode(of: "Diffusion", raw: Tensor, *, calls: int = CALLS, track: Track = SILENT) -> Tensor:
    """The latents of raw examples (N, *shape), where the flow leads them: standard normal, as far as it fits.

    Raises ValueError for kernels of symbols, and fewer than 3 calls.
    """
    of.check(raw)
    return _carried(of, raw, calls, track, up=True)


def decode(of: "Diffusion", latents: Tensor, *, calls: int = CALLS, track: Track = SILENT) -> Tensor:
    """The raw examples of latents (N, *shape): the inverse of `encode`, as near as so many calls bring it."""
    of.check(latents)
    return of.space.decode(_carried(of, latents, calls, track, up=False).cpu())


def check_calls(of: "Diffusion", calls: int) -> None:
    """Raise ValueError for a kernel that has no flow, and for too few calls, before any is made."""
    UniPC(4).check(of.model)
    grid_of(gaussian_of(of.model).schedule, float(of.grid[0]), calls)


def _found(of: "Diffusion", raw: Tensor, seed: int, calls: int, **how: Any) -> LogProb:
    """In nats and raw units."""
    of.check_density(raw)
    check_calls(of, calls)
    half = 1 / (of.space.levels - 1) if isinstance(of.space, Levels) else None
    grid = grid_of(gaussian_of(of.model).schedule, float(of.grid[0]), calls)
    found = log_probs(of.model, raw, grid=grid, seed=seed, encode=of.space.encode, half=half, **how)
    return found._replace(value=found.value + of.space.log_det(of.shape))


def _carried(of: "Diffusion", x: Tensor, calls: int, track: Track, up: bool) -> Tensor:
    """Examples to latents, or back to x_0."""
    UniPC(4).check(of.model)
    if calls < 3:
        raise ValueError(f"calls={calls}: a walk along the flow takes three at least")
    kernel = gaussian_of(of.model)
    grid, done = logsnr(kernel.schedule, calls, float(of.grid[0])), []
    alpha = Level.of(kernel, grid[0]).alpha
    parts = Streamed(of.model, x, 0, "flow", of.space.encode if up else (lambda z: z), None, grid)
    for part, inner in track.over(parts):
        begin, times = (part.x_0 * alpha, grid) if up else (part.x_0, grid.flip(0))
        end = transport(part.model, begin, times, track=inner)[: part.kept]
        done.append((end if up else end / alpha).cpu())
    return torch.cat(done)
