"""A number given the other columns: CRPS and RMSE beside gradient boosting, NGBoost and a Gaussian process.

    pip install scikit-learn plotnine ngboost lifelines autograd
    python benchmarks/regression.py [--tables diabetes penguins diamonds] [--steps 4000]

Every fifth row, of a shuffle of seed 0, is for testing. Ours is `DiffusionRegressor`, of the table as it is;
the others see categories one-hot. CRPS is twice the mean pinball loss of the quantiles 0.05, 0.10 .. 0.95, in
deviations of the target, RMSE that of means, each with a standard error over rows. `boosting` fits every
quantile, and the mean, by scikit-learn's histogram gradient boosting; `ngboost` a normal law by its defaults;
the process, of up to 1,000 rows, has a kernel of a width a column and noise.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixed_data import plotnine
from undiffuse.estimators import DiffusionRegressor

LEVELS = np.arange(1, 20) / 20
Found = tuple[NDArray[np.float64], NDArray[np.float64]]  # means (N,) and quantiles (N, 19)


def diabetes() -> tuple[pd.DataFrame, str]:
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True, scaled=False).frame, "target"


TABLES: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "diabetes": diabetes,
    "penguins": lambda: (plotnine("penguins").drop(columns="year").dropna(), "body_mass_g"),
    "diamonds": lambda: (plotnine("diamonds").sample(6000, random_state=0), "price"),
}


def ours(x: pd.DataFrame, y: NDArray[np.float64], new: pd.DataFrame, steps: int | None) -> Found:
    made = DiffusionRegressor(200, steps=steps, random_state=0).fit(x, y)
    draws = made.sample(new, 200)
    return draws.mean(1), np.quantile(draws, LEVELS, axis=1, method="median_unbiased").T


def boosting(x: pd.DataFrame, y: NDArray[np.float64], new: pd.DataFrame) -> Found:
    from sklearn.ensemble import HistGradientBoostingRegressor as Boosting

    mean = Boosting(random_state=0).fit(x, y).predict(new)
    each = [Boosting(loss="quantile", quantile=q, random_state=0).fit(x, y).predict(new) for q in LEVELS]
    return mean, np.sort(np.stack(each, 1), 1)


def ngboost(x: pd.DataFrame, y: NDArray[np.float64], new: pd.DataFrame) -> Found:
    from ngboost import NGBRegressor

    law = NGBRegressor(verbose=False, random_state=0).fit(x.to_numpy(float), y).pred_dist(new.to_numpy(float))
    return law.loc, np.stack([law.ppf(q) for q in LEVELS], 1)


def process(x: pd.DataFrame, y: NDArray[np.float64], new: pd.DataFrame) -> Found:
    from scipy.stats import norm
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    if len(x) > 1000:
        raise ValueError("too many rows")
    middle, width = x.mean(), x.std().replace(0, 1)
    kernel = ConstantKernel() * RBF(np.ones(x.shape[1])) + WhiteKernel()
    made = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)
    mean, std = made.fit((x - middle) / width, y).predict((new - middle) / width, return_std=True)
    return mean, mean[:, None] + std[:, None] * norm.ppf(LEVELS)


WAYS = {"boosting": boosting, "ngboost": ngboost, "process": process}


def main() -> None:
    """Print a row for each table and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--steps", type=int, help="of training, by default as many as are chosen")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| table | rows | way | CRPS, deviations | RMSE, deviations | 90 % hold | seconds |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in options.tables:
        frame, target = TABLES[name]()
        frame = frame.sample(frac=1.0, random_state=0).reset_index(drop=True)
        y, x = frame[target].to_numpy(float), frame.drop(columns=target)
        hot, test = pd.get_dummies(x, dtype=float), np.arange(len(y)) % 5 == 0
        for way in ("ours", *WAYS):
            begin, seen = time.perf_counter(), x if way == "ours" else hot
            parts = seen[~test].reset_index(drop=True), y[~test], seen[test].reset_index(drop=True)
            try:
                mean, quantiles = ours(*parts, options.steps) if way == "ours" else WAYS[way](*parts)
            except (ImportError, ValueError) as error:
                print(f"| {name} | {len(y):,} | {way} | {error} | | | |", flush=True)
                continue
            seconds, truth, width = time.perf_counter() - begin, y[test], y[test].std()
            away = truth[:, None] - quantiles
            crps = 2 * np.maximum(LEVELS * away, (LEVELS - 1) * away).mean(1) / width
            squares = ((mean - truth) / width) ** 2
            root, n = squares.mean() ** 0.5, len(truth) ** 0.5
            held = ((quantiles[:, 0] <= truth) & (truth <= quantiles[:, -1])).mean()
            print(
                f"| {name} | {len(y):,} | {way} | {crps.mean():.4f} +- {crps.std() / n:.4f} | {root:.4f} +- "
                f"{squares.std() / n / (2 * root):.4f} | {held:.3f} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
