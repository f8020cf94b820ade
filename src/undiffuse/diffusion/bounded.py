"""The bound on what examples cost, in raw units: of each, and over a data set; to a given error."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse import bounds
from undiffuse.bases import GaussianBase
from undiffuse.diffusion.bases import NORMAL
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.kernels import Gaussian
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion


def bits(
    of: "Diffusion", raw: Tensor, seed: int = 0, *, terms: int | None = None, track: Track = SILENT
) -> Tensor:
    """Upper bound on -log2 p of every raw example (B, *shape), in bits per dimension, (B,).

    Probabilities of levels, or densities in the raw units of continuous data. As `undiffuse evaluate` does,
    so many `terms` of the chain are computed for every example, drawn at random: unbiased, the fewer the
    noisier. By default the recipe's `evaluate_terms`, as 50 of 1000; 0 is all of them, which takes as many
    network calls.
    """
    parts = bounds.blocks(of.model, raw, **_drawn(of, raw, seed, terms), track=track)
    nats = torch.cat([bound.total for _, bound in parts])
    return nats / (dims(of.shape) * math.log(2)) - of.shift


def bits_map(
    of: "Diffusion", raw: Tensor, seed: int = 0, *, terms: int | None = None, track: Track = SILENT
) -> Tensor:
    """What every pixel, position or column of raw examples (B, *shape) costs: bits, of that shape.

    Their mean over an example is `bits` of the same seed and terms. A cell of a table that is given, or left
    out, costs nothing.
    """
    nats = bounds.elements(of.model, raw, **_drawn(of, raw, seed, terms), track=track)
    return (nats - of.space.log_dets(of.shape)) / math.log(2)


def _drawn(of: "Diffusion", raw: Tensor, seed: int, terms: int | None) -> dict[str, Any]:
    """Which terms of the bound are computed of raw examples. Raises ValueError as `bits` does."""
    of.check_density(raw)
    terms = of.terms if terms is None else terms
    if terms is not None and terms < 0:
        raise ValueError(f"terms={terms}: the number of steps for each example, or 0 for all")
    return {"grid": of.grid, "seed": seed, "terms": terms or None, "encode": of.space.encode}


def evaluate(
    of: "Diffusion",
    raw: Tensor,
    seed: int = 0,
    *,
    steps: int | None = None,
    terms: int | None = None,
    error: float | None = None,
    worth: bool = False,
    track: Track = SILENT,
    **resume: Any,
) -> bounds.Report:
    """The bound over a data set, in bits per dimension of x_0 (subtract `shift` for raw units).

    `error`: as many terms as bring the standard error that their draws leave in the bound of these examples
    down to so many bits per dimension, found by a look at some of them (`bounds.plan`). `worth`: also what
    the model's condition is worth, beside the same model if nothing is told, which takes as long again.
    `resume` are `partial` and `kept` of `bounds.evaluate`.

    Raises ValueError for terms and an error at once, or an error that is not positive.
    """
    of.check_density(raw)
    if error is not None and terms is not None:
        raise ValueError(f"terms={terms}, error={error:g}: an error decides how many terms there are")
    grid = of.thinned(steps)
    how: dict[str, Any] = {"grid": grid, "seed": seed, "encode": of.space.encode}
    drawn: dict[str, Any] = {"terms": terms}
    if error is not None:
        look, track = track.split(1, 9)
        plan = bounds.plan(of.model, raw, error=error, control=control_of(of), track=look, **how)
        drawn = {"terms": plan.terms, "rounds": plan.rounds, "drawing": plan.drawing}
    return bounds.evaluate(
        of.model,
        raw,
        **how,
        **drawn,
        track=track,
        processes=of.processes,
        beside=of.simple,
        untold=of.denoiser.told(None) if worth else None,
        **resume,
    )


def control_of(of: "Diffusion") -> bounds.Control | None:
    """What is known of the steps' costs without a network: by the normal density of the training data."""
    base, kernel = of.bases.found.get(NORMAL), of.model.kernel
    if not isinstance(base, GaussianBase) or not isinstance(kernel, Gaussian):
        return None
    return bounds.LinearControl(base, kernel, of.device)


@dataclass(frozen=True)
class Weighted:
    """-log2 p of examples by the mean weight of so many trajectories, at most, bits/dim in raw units.

    `bound` is that of the same trajectories one by one, `gain` how far `bits` lies below it, pair by pair;
    `effective` the number of trajectories that the weights are worth, the mean over examples.
    """

    examples: int
    trajectories: int
    steps: int
    bits: Estimate
    bound: Estimate
    gain: Estimate
    effective: float

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.bits} bits/dim at most by {self.trajectories} trajectories, worth "
            f"{self.effective:.1f}; one by one {self.bound}"
        )


def weighted(
    of: "Diffusion",
    raw: Tensor,
    seed: int = 0,
    *,
    trajectories: int = 8,
    steps: int | None = None,
    track: Track = SILENT,
) -> Weighted:
    """The bound over a data set that K trajectories tighten (see `undiffuse.bounds.weighted`).

    Each takes all steps of the chain, or of one thinned to `steps`. Raises ValueError for fewer than two
    examples, and trajectories below 1.
    """
    of.check_density(raw)
    check_examples(raw)
    grid = of.thinned(steps)
    how: dict[str, Any] = {"grid": grid, "seed": seed, "encode": of.space.encode, "track": track}
    mean, alone, number = bounds.weighted(of.model, raw, trajectories=trajectories, **how).unbind(1)
    moments, scale = Moments(), 1 / (dims(of.shape) * math.log(2))
    moments.add(torch.stack([mean, alone, alone - mean], 1) * scale)
    bits, bound, gain = moments.estimates()
    shift, effective = of.shift, float(number.mean())
    return Weighted(len(raw), trajectories, len(grid), bits - shift, bound - shift, gain, effective)


def step_entropies(
    of: "Diffusion", raw: Tensor, seed: int = 0, *, steps: int | None = None, track: Track = SILENT
) -> bounds.StepEntropies:
    """The entropy of every reverse step between its bounds (2015, eq. 24), in bits per dimension."""
    of.check(raw)
    return bounds.step_entropies(
        of.model, raw, grid=of.thinned(steps), seed=seed, encode=of.space.encode, track=track
    )
