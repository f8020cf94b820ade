"""metrics.jsonl: what training reported, one JSON object a line."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from undiffuse.files import write_text
from undiffuse.recipes.evaluation import Evaluation
from undiffuse.training import Progress


@dataclass(frozen=True)
class Event:
    """One training step, and what was measured or written after it."""

    progress: Progress
    test: Evaluation | None = None
    files: tuple[Path, ...] = ()


class Log:
    """metrics.jsonl: a row every `log_every` steps, the loss averaged since the last."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.losses: list[float] = []
        if path.exists():  # rows after the checkpoint that we continue from belong to a lost future
            rows = [row for row in read_metrics(path.parent) if row["step"] <= step]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            write_text(path, text)

    def add(self, event: Event, due: bool) -> None:
        """Count a step in; write a row if one is due or the model was evaluated."""
        self.losses.append(event.progress.loss)
        if not (due or event.test):
            return
        row = asdict(event.progress) | {"loss": sum(self.losses) / len(self.losses)}
        if event.test:
            total = event.test.report.total  # bits per dimension of x_0
            row |= {"test_bits": total.mean, "test_bits_se": total.se}
        self.losses.clear()
        with self.path.open("a") as handle:
            handle.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line that was cut off by a crash is left out."""
    text = (folder / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.split("\n")[:-1]]
