"""Filling the holes of tables of mixed columns: CRPS and coverage of 90 % intervals, beside others.

    pip install scikit-learn plotnine statsmodels miceforest lightgbm     (what is not there is left out)
    python benchmarks/mixed_imputation.py [--tables penguins fair ..] [--rows 2000] [--steps 2000]

Of each table so many rows at most, at random; 30 % of all cells are taken away at random, everything is
fitted to what is left, and fills it 32 times. CRPS is of numbers, in their columns' standard deviations, the
mean over the cells that were taken; coverage that of the 5 % to 95 % quantiles of the draws; of symbols the
score is 1 - p(truth) among draws. `columns` draws from the column's other values; `iterative` is
scikit-learn's IterativeImputer with draws of a Bayesian ridge's posterior, categories one-hot; `miceforest`
its defaults, mean matching by LightGBM. Columns that are numbers to all are scored as numbers.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

import undiffuse as ud
from undiffuse.diffusion import Way

DRAWS, SHARE = 32, 0.3
Draws = Callable[[pd.DataFrame], list[pd.DataFrame]]


def shipped(package: str, *path: str) -> pd.DataFrame:
    """A .csv that a package has, without its code."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"pip install {package}")
    return pd.read_csv(Path(found.origin).parent.joinpath(*path))


def plotnine(name: str) -> pd.DataFrame:
    return shipped("plotnine", "data", f"{name}.csv")


def statsmodels(name: str) -> pd.DataFrame:
    return shipped("statsmodels", "datasets", name, f"{name}.csv")


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "penguins": lambda: plotnine("penguins").drop(columns="year"),
    "mpg": lambda: plotnine("mpg").drop(columns=["model", "year"]),
    "diamonds": lambda: plotnine("diamonds"),
    "fair": lambda: statsmodels("fair"),
    "randhie": lambda: statsmodels("randhie"),
}


def ours(frame: pd.DataFrame, steps: int, chain: int | None) -> list[pd.DataFrame]:
    model = ud.fit(frame, steps=steps, quiet=True)
    found = model.impute(frame, n=DRAWS, way=Way(steps=chain))
    return [found.draw(i) for i in range(DRAWS)]


def columns(frame: pd.DataFrame) -> list[pd.DataFrame]:
    random, found = np.random.default_rng(0), []
    for _ in range(DRAWS):
        filled = frame.copy()
        for name in frame:
            hole = frame[name].isna()
            filled.loc[hole, name] = random.choice(frame[name].dropna().to_numpy(), int(hole.sum()))
        found.append(filled)
    return found


def iterative(frame: pd.DataFrame) -> list[pd.DataFrame]:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    words = [name for name in frame if frame[name].dtype.kind not in "iuf"]
    hot = pd.get_dummies(frame, columns=words, dtype=float)
    for name in words:
        own = [c for c in hot if c.startswith(f"{name}_")]
        hot.loc[frame[name].isna(), own] = np.nan
    low, high = hot.min().to_numpy(), hot.max().to_numpy()
    found = []
    for seed in range(DRAWS):
        made = IterativeImputer(
            sample_posterior=True, random_state=seed, min_value=low, max_value=high, max_iter=5
        )
        filled = pd.DataFrame(made.fit_transform(hot), columns=hot.columns, index=frame.index)
        for name in words:
            own = [c for c in hot if c.startswith(f"{name}_")]
            filled[name] = filled[own].idxmax(axis=1).str.removeprefix(f"{name}_")
        found.append(filled[list(frame.columns)])
    return found


def miceforest(frame: pd.DataFrame) -> list[pd.DataFrame]:
    import miceforest as mf

    typed = frame.copy()
    for name in frame:
        if frame[name].dtype.kind not in "iuf":
            typed[name] = frame[name].astype("category")
    kernel = mf.ImputationKernel(typed, num_datasets=DRAWS, random_state=0, mean_match_candidates=5)
    kernel.mice(2, verbose=False, num_threads=1)
    return [kernel.complete_data(i) for i in range(DRAWS)]


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of draws (n, N) and values (N,): E|x - y| - E|x - x'| / 2, over pairs of different draws."""
    n = len(draws)
    order = np.sort(draws, 0)
    spread = ((2 * np.arange(1, n + 1) - n - 1)[:, None] * order).sum(0) / (n * (n - 1))
    return np.abs(draws - truth).mean(0) - spread


def scored(draws: list[pd.DataFrame], truth: pd.DataFrame, holes: pd.DataFrame) -> tuple[float, float, float]:
    """CRPS, coverage, and the symbols' score."""
    of_numbers, inside, of_words = [], [], []
    for name in truth:
        rows = holes[name] & truth[name].notna()
        y = truth.loc[rows, name].to_numpy()
        x = np.stack([each.loc[rows, name].to_numpy() for each in draws])
        if truth[name].dtype.kind in "iuf":
            x, y = x.astype(float), y.astype(float)
            of_numbers.append(crps(x, y) / truth[name].std())
            low, high = np.quantile(x, [0.05, 0.95], axis=0, method="median_unbiased")
            inside.append((low <= y) & (y <= high))
        else:
            of_words.append(1 - (x.astype(str) == y.astype(str)).mean(0))
    words = float(np.concatenate(of_words).mean()) if of_words else float("nan")
    return float(np.concatenate(of_numbers).mean()), float(np.concatenate(inside).mean()), words


def main() -> None:
    """Print a row for each table and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--chain", type=int, help="steps in which holes are filled, by default 50")
    parser.add_argument("--ways", nargs="+", default=["ours", "columns", "iterative", "miceforest"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ways: dict[str, Draws] = {
        "ours": lambda frame: ours(frame, options.steps, options.chain),
        "columns": columns,
        "iterative": iterative,
        "miceforest": miceforest,
    }
    print("| table | way | CRPS, deviations | coverage of 90 % | symbols, 1 - p | seconds |")
    print("|---|---|---|---|---|---|")
    for name in options.tables:
        truth = TABLES[name]()
        truth = truth.sample(min(options.rows, len(truth)), random_state=0).reset_index(drop=True)
        holes = pd.DataFrame(np.random.default_rng(0).random(truth.shape) < SHARE, columns=truth.columns)
        frame = truth.mask(holes)
        for way in options.ways:
            begin = time.perf_counter()
            try:
                draws = ways[way](frame)
            except (
                ImportError,
                TypeError,
            ) as error:  # miceforest 6.0.5 calls LightGBM 4.7 in a way it has no more
                print(f"| {name} | {way} | {error} | | | |")
                continue
            numbers, covered, words = scored(draws, truth, holes)
            seconds = time.perf_counter() - begin
            print(
                f"| {name} | {way} | {numbers:.4f} | {covered:.3f} | {words:.3f} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
