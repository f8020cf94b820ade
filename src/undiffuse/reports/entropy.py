"""The entropies of a run's reverse steps between their bounds, as table, CSV and figure."""

from collections.abc import Iterator
from pathlib import Path

from undiffuse import plots
from undiffuse.bounds import StepEntropies
from undiffuse.diffusion.evaluation import windows
from undiffuse.files import write_csv


def entropy_stretches(found: StepEntropies, count: int) -> Iterator[tuple[float, ...]]:
    """(t from, t to, lower, model, upper) of about `count` stretches: means a step, from noise to data."""
    lower, upper, own = found.means
    for low, high in windows(len(own), count):
        means = (float(row[low:high].mean()) for row in (lower, own, upper))
        yield float(found.grid[high]), float(found.grid[low]), *means


def save_entropies(found: StepEntropies, folder: Path, split: str) -> list[Path]:
    """entropy-SPLIT.csv, in bits per dimension, and entropy-SPLIT.png in the folder."""
    table, figure = (folder / f"entropy-{split}.{kind}" for kind in ("csv", "png"))
    grid, names = found.grid.tolist(), ("lower", "upper", "model")
    rows = zip(grid[1:], grid[:-1], *found.means.tolist(), *found.errors.tolist(), strict=True)
    write_csv(table, ("t", "s", *names, *(f"{name}_se" for name in names)), rows)
    lower, upper, own = found.means
    plots.save_entropy(found.grid[1:], lower, upper, own, figure, model_se=found.errors[2])
    return [table, figure]
