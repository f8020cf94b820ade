"""Runs beside one another on the same examples: bits per dimension, and the differences, pair by pair.

The same examples, seed and number of terms draw the same noise for every run, so that what an example or its
noise makes hard for all of them cancels: a difference is known far better than what it is a difference of.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from undiffuse.conditions import Given
from undiffuse.estimate import Estimate, Moments, check_examples
from undiffuse.recipes import load_data
from undiffuse.runs.run import Run
from undiffuse.track import SILENT, Track


@dataclass(frozen=True)
class Standing:
    """One run: its bits per dimension in raw units, and how many more than the first run's, pair by pair."""

    name: str
    bits: Estimate
    more: Estimate
    unpaired: float  # the standard error of `more` if the runs had been evaluated apart

    def __str__(self) -> str:
        """One line, in words."""
        count, way = abs(self.more.mean), "more" if self.more.mean > 0 else "fewer"
        sure = count / self.more.se if self.more.se else math.inf if count else 0.0
        told = f"{self.name}: {count:.4f} +- {self.more.se:.4f} bits/dim {way} ({sure:.1f} standard errors)"
        return told if sure >= 2 else f"{told}: no difference that these examples can tell"


def check_alike(runs: Sequence[Run]) -> None:
    """Raise ValueError unless all are of one kind of data, whose bits mean the same."""
    first = runs[0]
    for run in runs[1:]:
        for what in ("shape", "levels"):
            ours, theirs = getattr(first, what), getattr(run, what)
            if ours != theirs:
                raise ValueError(
                    f"{run.folder}: its data have {what} {theirs}, those of {first.folder} {ours}: "
                    "their bits can't be compared"
                )
        if (first.noise is None) != (run.noise is None):
            raise ValueError(f"{run.folder}: only one of the two is of data with noise; compare likes")


def held_out_by_all(runs: Sequence[Run], examples: int | None) -> list[tuple[Tensor, Given | None]]:
    """The test examples, and what each run is given of them.

    Raises ValueError for runs that hold out others: one may have been trained on them.
    """
    found = [load_data(run.recipe).examples("test", slice(examples)) for run in runs]
    for run, (raw, _) in zip(runs, found, strict=True):
        if raw.shape != found[0][0].shape or not torch.equal(raw.nan_to_num(), found[0][0].nan_to_num()):
            raise ValueError(
                f"{run.folder}: holds out other examples than {runs[0].folder}, which may be among those it "
                "was trained on; train both with the same data and seed, or give examples of neither: --on"
            )
    return found


def compare(
    runs: Sequence[Run],
    raw: Tensor,
    seed: int = 0,
    *,
    terms: int | None = None,
    track: Track = SILENT,
) -> list[Standing]:
    """Every run's bits on raw examples (N, *shape), N >= 2, and how many more than the first one's.

    Runs with conditions are those that were told them. By default as many `terms` as the first run's recipe
    says; 0 is all. Raises ValueError for fewer than two runs or examples, and as `Run.bits` does.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run: a comparison takes two at least")
    check_alike(runs)
    check_examples(raw)
    terms = (runs[0].terms or 0) if terms is None else terms
    looks = track.over(runs)
    bits = torch.stack([run.bits(raw, seed, terms=terms, track=part).double() for run, part in looks], 1)
    moments = Moments()
    moments.add(torch.cat([bits, bits - bits[:, :1]], 1))
    found = moments.estimates()
    own, more = found[: len(runs)], found[len(runs) :]
    return [
        Standing(str(run.folder), each, less, math.hypot(each.se, own[0].se))
        for run, each, less in zip(runs, own, more, strict=True)
    ]


def summary(standings: Sequence[Standing], examples: int) -> dict[str, Any]:
    """For JSON."""
    return {"examples": examples, "runs": [asdict(standing) for standing in standings]}
