"""The entropies of a run's reverse steps between their bounds, as table, CSV and figure."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from undiffuse import plots
from undiffuse.bounds import StepEntropies
from undiffuse.files import write_text


def entropy_stretches(found: StepEntropies, count: int) -> Iterator[tuple[float, ...]]:
    """(t from, t to, lower, model, upper) of about `count` stretches: means a step, from noise to data."""
    lower, upper, own = found.means
    size = max(1, -(-len(own) // count))
    for high in range(len(own), 0, -size):
        low = max(0, high - size)
        means = (float(row[low:high].mean()) for row in (lower, own, upper))
        yield float(found.grid[high]), float(found.grid[low]), *means


def save_entropies(found: StepEntropies, folder: Path, split: str) -> list[Path]:
    """entropy-SPLIT.csv and entropy-SPLIT.png in the folder."""
    table, figure = (folder / f"entropy-{split}.{kind}" for kind in ("csv", "png"))
    write_text(table, _csv(found))
    lower, upper, own = found.means
    plots.save_entropy(found.grid[1:], lower, upper, own, figure, model_se=found.errors[2])
    return [table, figure]


def _csv(found: StepEntropies) -> str:
    """t, s, and in bits per dimension the bounds and the model's entropy with their standard errors."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("lower", "upper", "model")
    writer.writerow(["t", "s", *names, *(f"{name}_se" for name in names)])
    grid = found.grid.tolist()
    writer.writerows(zip(grid[1:], grid[:-1], *found.means.tolist(), *found.errors.tolist(), strict=True))
    return text.getvalue()
