"""Examples to a file, on the plan of the run: found once, kept in its folder, weighed on new data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from undiffuse.diffusion import coded
from undiffuse.runs.planned import Chosen, Planner
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.runs.run import Run


@dataclass(frozen=True)
class Packed:
    """A file, how it was coded, and how else; `missing` says why the run's data were not at hand, if so."""

    data: bytes
    chosen: Chosen
    others: list[Chosen]
    missing: str


def pack(
    run: "Run",
    raw: Tensor,
    methods: Sequence[str],
    steps: int | None = None,
    *,
    extra: bytes = b"",
    verify: bool = True,
    track: Track = SILENT,
) -> Packed:
    """Raw examples (N, *shape), coded by that of the `methods` that is expected to make the smallest file.

    Raises RuntimeError for a file that does not give them back.
    """
    planner = Planner(run, raw, methods, steps)
    chosen, *others = planner.choose(track.stage("choose steps, once for this run"))
    plan = chosen.option.plan
    data = coded.coded(run, raw, chosen.method, plan, extra=extra, verify=verify, track=track)
    return Packed(data, chosen, others, planner.missing)
