"""Where a run pays more than a model in closed form: bits by part of the chain, and what that usually means.

The same chain, the same examples and the same noise for both, so that a part's difference is far better known
than either. It takes about the same time for every run: so many examples, and so many steps of each.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse import bounds
from undiffuse.bases import Base, ColumnsBase, NumberBase
from undiffuse.data import Splits
from undiffuse.diffusion.bases import INDEPENDENT, NORMAL
from undiffuse.diffusion.evaluation import windows
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.kernels import Mixed
from undiffuse.mixed import MixedDenoiser
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import (
    DiscretizedDecoder,
    LearnedDecoder,
    ResidualVariance,
    beginning_at,
)
from undiffuse.runs.run import Run
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

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
    """The parts, from the prior to the decoder, then all of them; and what training examples cost less.

    `kind` is that of the base, as recipes call it; `watched` whether examples were watched while training.
    """

    parts: list[Part]
    unseen: Estimate | None
    kind: str
    watched: bool

    def findings(self) -> Iterator[str]:
        """What is amiss, and what that usually means; nothing where nothing is."""
        *parts, whole = self.parts
        for part in parts:
            if part.worse:
                bits = f"{part.more.mean:.3f} bits/dim more than the base"
                yield f"{part.name}: {bits}: {_meaning(part, parts)}"
        if whole.worse:
            yield (
                f"in all {whole.more.mean:.3f} +- {whole.more.se:.3f} bits/dim worse than the base: train "
                f"longer, or let the model begin at it (base={self.kind}, with no parameterization, "
                "variance or decoder named)"
            )
        if self.unseen is not None and self.unseen.mean > max(0.02, 3 * self.unseen.se):
            watch = "" if self.watched else "train.watch=0.1 keeps the weights that do best on unseen ones; "
            yield (
                f"training examples cost {self.unseen.mean:.3f} bits/dim less than unseen ones: learned by "
                f"heart; {watch}use fewer hidden units or more dropout, or get more data"
            )


class Silent(nn.Module):
    """A network that says nothing: zeros, of so many outputs for each input."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Of the shape of x, with as many more channels."""
        return x.new_zeros(len(x), self.outputs * x.shape[1], *x.shape[2:])


def base_of(run: Run) -> Base:
    """The base that the run begins at, or else one of its data. Raises ValueError if it has none."""
    usual = INDEPENDENT if run.model.kernel.symbols is not None else NORMAL
    base = run.bases.model or run.bases.found.get(usual)
    if base is None:
        raise ValueError("this run has no model in closed form of its data (it was imported without any)")
    return base


def examine(run: Run, splits: Splits, seed: int = 0, *, track: Track = SILENT) -> Diagnosis:
    """The run beside its base on unseen examples, and what the same costs of training examples.

    Raises ValueError for fewer than two test examples, and for a run without a base.
    """
    base, unit = base_of(run), 1 / (dims(run.shape) * math.log(2))
    spans = list(windows(len(run.grid) - 1, STRETCHES))
    both, alone = track.split(2 * min(EXAMPLES, len(splits.test)), min(EXAMPLES, len(splits.train)))

    def each(model: ReverseProcess, raw: Tensor, track: Track = SILENT) -> Iterator[Tensor]:
        run.check_density(raw)  # bits/dim of each part, block by block
        how: dict[str, Any] = {"grid": run.grid, "seed": seed, "encode": run.space.encode, "track": track}
        for _, bound in bounds.blocks(model, raw, terms=_terms(run), **how):
            stretches = (bound.steps[:, i:j].sum(1) for i, j in spans)
            yield unit * torch.stack([bound.prior, *stretches, bound.decode, bound.total], 1)

    (test, given), (train, learned) = (splits.examples(part, slice(EXAMPLES)) for part in ("test", "train"))
    own, seeing = run.told(given), run.told(learned)
    check_examples(test)
    beside = Moments()
    for a, b in zip(each(own.model, test, both), each(_plain(run, base), test), strict=True):
        beside.add(torch.cat([a, b, a - b], 1))
    times = [f"steps from t = {float(run.grid[j]):.2f} to {float(run.grid[i]):.2f}" for i, j in spans]
    names, found = ["prior", *times, "decoder", "all"], beside.estimates()
    ours, its, more = (found[i * len(names) : (i + 1) * len(names)] for i in range(3))
    shifts = [run.shift * (name in ("decoder", "all")) for name in names]  # to raw units
    parts = [
        Part(name, a - shift, b - shift, c)
        for name, a, b, c, shift in zip(names, ours, its, more, shifts, strict=True)
    ]
    seen = Moments()
    for a in each(seeing.model, train, alone):
        seen.add(a)
    unseen = _apart(ours[-1], seen.estimates()[-1]) if seen.count > 1 else None
    kind = "gaussian" if isinstance(base, NumberBase) else "frequencies"
    kind = "auto" if isinstance(base, ColumnsBase) else kind
    return Diagnosis(parts, unseen, kind, splits.watched is not None)


def _terms(run: Run) -> int:
    return min(TERMS, max(len(run.grid) - 1, 1))


def _plain(run: Run, base: Base) -> Denoiser:
    """The base alone, on the run's chain."""
    if isinstance(base, ColumnsBase) and isinstance(run.model.kernel, Mixed):
        return MixedDenoiser(Silent(2), run.model.kernel, base)
    if not isinstance(base, NumberBase):
        return Denoiser.on(base, Silent(), run.model.kernel)
    decoder = LearnedDecoder() if run.levels is None else DiscretizedDecoder(run.levels)
    variance = ResidualVariance(base, learned=False)
    return Denoiser(Silent(), run.model.kernel, beginning_at(base), variance, decoder)


def _apart(a: Estimate, b: Estimate) -> Estimate:
    """a - b of other examples."""
    return Estimate(a.mean - b.mean, math.hypot(a.se, b.se))


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
