"""metrics.jsonl: what training reported, one JSON object a line; a tracker, if any, gets the same."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from undiffuse.diffusion.evaluation import Evaluation
from undiffuse.enclosure import enclose, names
from undiffuse.files import append, sync, write_text
from undiffuse.jsonfile import check as check_value
from undiffuse.jsonfile import read_lines
from undiffuse.trackers import Tracker
from undiffuse.training import Progress

LARGEST = 2**30  # bytes of metrics.jsonl, some millions of rows
LIKE = {"step": 1, "loss": 0.0, "grad_norm": (0.0, None), "lr": 0.0, "seconds": 0.0}  # a row


@dataclass(frozen=True)
class Event:
    """One training step, and what was measured or written after it; or the step that the run went back to.

    `watched` are the bits per dimension of the examples that are watched, where they were looked at. `notice`
    is what there is to say of how the run goes, such as that its steps are uneven, or that it ends.
    """

    progress: Progress
    test: Evaluation | None = None
    files: tuple[Path, ...] = ()
    rewound: int | None = None
    notice: str | None = None
    watched: float | None = None

    def with_files(self, *files: Path) -> "Event":
        """The event, and these files."""
        return replace(self, files=(*self.files, *files))


class Log:
    """metrics.jsonl: a row every `log_every` steps, the loss averaged since the last.

    `pending` are the losses since then, which a checkpoint keeps: a run that goes on writes the same rows.
    Only the process that `writes` writes any.
    """

    def __init__(
        self,
        path: Path,
        step: int,
        pending: list[float],
        tracker: Tracker | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self.path, self.tracker, self.writes = path, tracker, writes
        self.back_to(step, pending)

    def back_to(self, step: int, pending: list[float]) -> None:
        """As it was after this step: later rows belong to a lost future."""
        self.losses = list(pending)
        if self.writes and self._begun:
            rows = [row for row in read_metrics(self.path.parent) if row["step"] <= step]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            write_text(self.path, text)

    @property
    def _begun(self) -> bool:
        return self.path.name in names(self.path.parent)

    def add(self, event: Event, due: bool) -> None:
        """Count a step in; write a row if one is due or the model was evaluated."""
        progress = event.progress
        if progress.taken:
            self.losses.append(progress.loss)
        if not (due or event.test or event.watched is not None) or not self.losses:
            return
        row = {name: getattr(progress, name) for name in ("step", "loss", "grad_norm", "lr", "seconds")}
        row |= {"loss": sum(self.losses) / len(self.losses)}
        if not math.isfinite(progress.grad_norm):
            row["grad_norm"] = None
        if progress.loss_scale is not None:
            row |= {"loss_scale": progress.loss_scale, "overflows": progress.overflows}
        if event.test:
            bits = event.test.bits  # as it is printed, in raw units
            row |= {"test_bits": bits.mean, "test_bits_se": bits.se}
        if event.watched is not None:
            row["watched_bits"] = event.watched
        self.losses.clear()
        if not self.writes:
            return
        append(self.path, json.dumps(row, allow_nan=False) + "\n")
        if self.tracker is not None:
            step = row.pop("step")
            self.tracker.scalars(step, {name: value for name, value in row.items() if value is not None})

    def sync(self) -> None:
        """Flush the rows to the disk, so that no checkpoint is ahead of them."""
        if self._begun:
            sync(self.path)

    def show(self, event: Event) -> None:
        """Report the pictures that were drawn after a step."""
        for path in event.files:
            if self.tracker is not None and path.suffix == ".png":
                inside = path.relative_to(self.path.parent).with_suffix("").parts
                name = "/".join(part for part in inside if not part.startswith("step-"))
                self.tracker.picture(name, event.progress.step, path)

    def closing(self, events: Iterator[Progress]) -> Iterator[Progress]:
        """The events; after the last, or when their reader leaves, the tracker ends."""
        try:
            yield from events
        finally:
            if self.tracker is not None:
                self.tracker.close()


def record(folder: Path, step: int, event: str, **facts: Any) -> None:
    """A line of events.jsonl: what happened to a run, which no rerun repeats."""
    append(folder / "events.jsonl", json.dumps({"step": step, "event": event, **facts}) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line that was cut off by a crash is left out."""
    enclose(folder)
    path = folder / "metrics.jsonl"
    rows = read_lines(path, LIKE, LARGEST)
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            check_value(value, (0.0, None), f"{path}: line {number}: damaged, {name!r}")
    return rows
