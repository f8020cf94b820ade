"""50, 200 and 1,000 examples of 20 columns: held-out bits of a trained model less those of its base.

pip install scikit-learn
python benchmarks/few.py FOLDER [--steps 6000]

The columns are the first 20 principal components of scikit-learn's 8x8 digits, with noise of a hundredth of
their deviation; the rows that are not trained on are for testing. Each is the recipe `vectors` as it ships.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from trained import steps_of, trained
from undiffuse.diffusion import evaluate
from undiffuse.recipes import load_data

COLUMNS, COUNTS = 20, (50, 200, 1000)


def rows() -> np.ndarray:
    """All of them, shuffled."""
    x = load_digits().data.astype(np.float64)
    _, _, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
    random, columns = np.random.default_rng(0), (x - x.mean(0)) @ axes[:COLUMNS].T
    columns /= columns.std(0)
    return random.permutation(columns + 0.01 * random.normal(size=columns.shape))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    arguments = parser.parse_args()
    x = rows()
    print(f"{'rows':>5}{'base':>9}{'ours':>20}{'less':>20}  minutes  begins at, best step")
    for count in COUNTS:
        changes = [f"train.steps={arguments.steps}"]
        run, minutes = trained("vectors", arguments.folder / str(count), x[:count], x[count:], *changes)
        found = evaluate(run, load_data(run.recipe).test, terms=100)
        base, less = found.beside[run.bases.begins or "normal"]
        print(
            f"{count:5,}{base.mean:9.4f}  {found.bits}  {less.mean:+.4f} +- {less.se:.4f}{minutes:9.1f}  "
            f"{run.bases.begins}, {steps_of(run)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
