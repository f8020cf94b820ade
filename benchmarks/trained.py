"""What benchmarks on tables and symbols have in common: a shipped recipe, trained on other data."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from undiffuse.recipes import override, read
from undiffuse.runs import Experiment, Run, load


def trained(recipe: str, folder: Path, train: ArrayLike, test: ArrayLike, *changes: str) -> tuple[Run, float]:
    """As `trained_on`, on training rows with these test rows."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", train=train, test=test)
    return trained_on(recipe, folder, folder / "data.npz", *changes)


def trained_on(recipe: str, folder: Path, data: Path, *changes: str) -> tuple[Run, float]:
    """The run of a recipe on these data, in `folder`, and the minutes that it took.

    What was trained in the folder already is only loaded, and went on if it was interrupted.
    """
    begin = time.perf_counter()
    experiment = Experiment.create(folder / "run", override(read(recipe), [f"data.path={data}", *changes]))
    try:
        for _ in experiment.train():
            pass
    finally:
        experiment.close()
    return load(folder / "run"), (time.perf_counter() - begin) / 60


def steps_of(run: Run) -> str:
    """Which of its steps the weights are of."""
    return f"{run.kept:,} of {run.step:,}"
