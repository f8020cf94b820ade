"""What benchmarks on tables and symbols have in common: a shipped recipe, trained on arrays."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from undiffuse.recipes import Experiment, Run, load, override, read


def trained(recipe: str, folder: Path, train: ArrayLike, test: ArrayLike, *changes: str) -> tuple[Run, float]:
    """The run of a recipe on training rows, with these test rows, and the minutes that it took.

    What was trained in the folder already is only loaded, and went on if it was interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", train=train, test=test)
    begin = time.perf_counter()
    node = override(read(recipe), [f"data.path={folder / 'data.npz'}", *changes])
    experiment = Experiment.create(folder / "run", node)
    try:
        for _ in experiment.train():
            pass
    finally:
        experiment.close()
    return load(folder / "run"), (time.perf_counter() - begin) / 60


def steps_of(run: Run) -> str:
    """Which of its steps the weights are of."""
    return f"{run.kept:,} of {run.step:,}"
