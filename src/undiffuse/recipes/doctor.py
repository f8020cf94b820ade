"""Where a run pays more than a model in closed form: bits by part of the chain, and what that usually means.

The same chain, the same examples and the same noise for both, so that a part's difference is far better known
than either. It takes about the same time for every run: so many examples, and so many steps of each.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse import bounds
from undiffuse.bases import Base, NumberBase
from undiffuse.bounds import Estimate, Moments
from undiffuse.model import Denoiser
from undiffuse.parameterizations import LearnedDecoder, ResidualVariance, beginning_at
from undiffuse.recipes.bases import INDEPENDENT, MODEL, NORMAL
from undiffuse.recipes.evaluation import windows
from undiffuse.recipes.run import Run
from undiffuse.tensors import dims

EXAMPLES, TERMS, STRETCHES = 256, 64, 8
NOTED = 0.005  # bits per dimension below which nothing is said


@dataclass(frozen=True)
class Part:
    """A part of the bound in bits per dimension: the run's, the base's, and how far the first is above."""

    name: str
    own: Estimate
    base: Estimate
    more: Estimate

    @property
    def worse(self) -> bool:
        """Whether the run surely pays more."""
        return self.more.mean > max(NOTED, 2 * self.more.se)


@dataclass(frozen=True)
class Diagnosis:
    """The parts, from the prior to the decoder, then all of them; and what training examples cost less."""

    parts: list[Part]
    unseen: Estimate | None

    def findings(self) -> Iterator[str]:
        """What is amiss, and what that usually means; nothing where nothing is."""
        *parts, whole = self.parts
        for part in parts:
            if part.worse:
                bits = f"{part.more.mean:.3f} bits/dim more than the base"
                yield f"{part.name}: {bits}: {_meaning(part, parts)}"
        if whole.worse:
            yield (
                f"in all {whole.more.mean:.3f} +- {whole.more.se:.3f} bits/dim worse than the base: a model "
                "that begins at it (base=auto, and no parameterization, variance or decoder named) cannot be"
            )
        if self.unseen is not None and self.unseen.mean > max(0.02, 3 * self.unseen.se):
            yield (
                f"training examples cost {self.unseen.mean:.3f} bits/dim less than unseen ones: learned by "
                "heart; set train.watch=0.1, which keeps the weights that do best on unseen ones, use fewer "
                "hidden units or more dropout, or get more data"
            )


class Silent(nn.Module):
    """A network that says nothing: zeros."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Of the shape of x."""
        return torch.zeros_like(x)


def base_of(run: Run) -> Base:
    """The base that the run begins at, or else one of its data. Raises ValueError if it has none."""
    for name in (MODEL, INDEPENDENT if run.model.kernel.symbols is not None else NORMAL):
        if name in run.bases:
            return run.bases[name]
    raise ValueError("this run has no model in closed form of its data (it was imported without any)")


def examine(
    run: Run, raw: Tensor, train: Tensor, seed: int = 0, *, tick: Callable[[], object] = lambda: None
) -> Diagnosis:
    """The run beside its base on raw unseen examples, and what the same costs of raw training examples."""
    run.check_density(raw)
    base, scale = base_of(run), 1 / (dims(run.shape) * math.log(2))
    said, variance = beginning_at(base), None
    decoder = run.denoiser.decoder
    if isinstance(base, NumberBase):
        variance = ResidualVariance(base, learned=False)
        decoder = LearnedDecoder() if run.levels is None else decoder
    plain = Denoiser(Silent(), run.model.kernel, said, variance, decoder)
    grid, found = run.grid, Moments()
    terms = min(TERMS, len(grid) - 1)
    how: dict[str, Any] = {
        "grid": grid,
        "seed": seed,
        "terms": terms,
        "encode": run.space.encode,
        "tick": tick,
    }
    pairs = zip(*(bounds.blocks(model, raw, **how) for model in (run.model, plain)), strict=True)
    spans = list(windows(len(grid) - 1, STRETCHES))
    for (_, own), (_, other) in pairs:
        both = [
            torch.stack([b.prior, *(b.steps[:, i:j].sum(1) for i, j in spans), b.decode, b.total], 1)
            for b in (own, other)
        ]
        found.add(torch.cat([*both, both[0] - both[1]], 1) * scale)
    times = [f"steps from t = {float(grid[j]):.2f} to {float(grid[i]):.2f}" for i, j in spans]
    names, each = ["prior", *times, "decoder", "all"], found.estimates()
    count = len(names)
    shift = [run.shift * (name in ("decoder", "all")) for name in names]
    parts = [
        Part(name, each[i] - shift[i], each[count + i] - shift[i], each[2 * count + i])
        for i, name in enumerate(names)
    ]
    return Diagnosis(parts, _unseen(run, parts[-1].own, train, how, scale))


def _unseen(run: Run, own: Estimate, train: Tensor, how: dict[str, Any], scale: float) -> Estimate | None:
    """How much more unseen examples cost than training ones."""
    if len(train) < 2:
        return None
    seen = Moments()
    for _, each in bounds.blocks(run.model, train, **how):
        seen.add(each.total[:, None] * scale)
    mean, se = seen.estimates()[0].mean - run.shift, seen.estimates()[0].se
    return Estimate(own.mean - mean, math.hypot(own.se, se))


def _meaning(part: Part, parts: list[Part]) -> str:
    """What it usually means."""
    place = parts.index(part)
    if part.name == "prior":
        return "x_1 still says something of x_0: let the schedule end at a lower log-SNR"
    if part.name == "decoder":
        return (
            "where nearly nothing is lost the network does not pass x_t on: begin at a base, which does, "
            "train longer, or make the network wider"
        )
    if place <= len(parts) / 3:
        return "the network knows less of what is common than counts do: train longer, or begin at a base"
    return "the network does not pass on what x_t says: it is too narrow, or not trained for long enough"
