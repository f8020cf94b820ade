"""What fills the holes of a table beside ours, each by its own defaults where it has any; for other scripts.

columns      draws from the column's other values
iterative    scikit-learn's IterativeImputer with draws of a Bayesian ridge's posterior, categories one-hot
miceforest   mean matching by LightGBM
forest       ForestDiffusion: gradient-boosted trees at 50 times, the Gaussian process that can be filled by
tabddpm      qolmat's TabDDPM, categories one-hot, several samplings
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

Draws = Callable[[pd.DataFrame, int], list[pd.DataFrame]]


def words_in(frame: pd.DataFrame) -> list[str]:
    """The columns that are no numbers."""
    return [name for name in frame if frame[name].dtype.kind not in "iuf"]


def columns(frame: pd.DataFrame, draws: int) -> list[pd.DataFrame]:
    random, found = np.random.default_rng(0), []
    for _ in range(draws):
        filled = frame.copy()
        for name in frame:
            hole = frame[name].isna()
            filled.loc[hole, name] = random.choice(frame[name].dropna().to_numpy(), int(hole.sum()))
        found.append(filled)
    return found


def hot_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Categories one-hot, NaN where they are missing."""
    hot = pd.get_dummies(frame, columns=words_in(frame), dtype=float)
    for name in words_in(frame):
        hot.loc[frame[name].isna(), _own(hot, name)] = np.nan
    return hot


def unhot(filled: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The categories whose indicators are the largest."""
    found = filled.copy()
    for name in words_in(frame):
        found[name] = filled[_own(filled, name)].idxmax(axis=1).str.removeprefix(f"{name}_")
    return found[list(frame.columns)]


def _own(hot: pd.DataFrame, name: str) -> list[str]:
    return [c for c in hot if c.startswith(f"{name}_")]


def iterative(frame: pd.DataFrame, draws: int) -> list[pd.DataFrame]:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    hot = hot_of(frame)
    ends = {"min_value": hot.min().to_numpy(), "max_value": hot.max().to_numpy()}
    found = []
    for seed in range(draws):
        made = IterativeImputer(sample_posterior=True, random_state=seed, max_iter=5, **ends)
        filled = pd.DataFrame(made.fit_transform(hot), columns=hot.columns, index=frame.index)
        found.append(unhot(filled, frame))
    return found


def miceforest(frame: pd.DataFrame, draws: int) -> list[pd.DataFrame]:
    import miceforest as mf

    typed = frame.astype(dict.fromkeys(words_in(frame), "category"))
    kernel = mf.ImputationKernel(typed, num_datasets=draws, random_state=0, mean_match_candidates=5)
    kernel.mice(2, verbose=False, num_threads=1)
    return [kernel.complete_data(i) for i in range(draws)]


def forest(frame: pd.DataFrame, draws: int) -> list[pd.DataFrame]:
    from ForestDiffusion import ForestDiffusionModel

    coded, tables = frame.copy(), {}
    for name in words_in(frame):
        coded[name], tables[name] = pd.factorize(frame[name])
        coded[name] = coded[name].astype(float).where(coded[name] >= 0)
    places = {name: frame.columns.get_loc(name) for name in frame}
    kinds: dict[str, list[int]] = {"bin_indexes": [], "cat_indexes": [], "int_indexes": []}
    for name, table in tables.items():
        kinds["bin_indexes" if len(table) == 2 else "cat_indexes"].append(places[name])
    for name in frame:
        values = frame[name].dropna()
        if name not in tables and (values == values.round()).all():
            kinds["int_indexes"].append(places[name])
    model = ForestDiffusionModel(
        np.array(coded, float), n_t=50, duplicate_K=50, diffusion_type="vp", n_jobs=1, seed=0, **kinds
    )
    found = []
    for array in model.impute(k=draws):
        filled = pd.DataFrame(array, columns=frame.columns, index=frame.index)
        for name, table in tables.items():
            filled[name] = table.to_numpy()[filled[name].round().clip(0, len(table) - 1).astype(int)]
        found.append(filled)
    return found


def tabddpm(frame: pd.DataFrame, draws: int) -> list[pd.DataFrame]:
    from qolmat.imputations.diffusions.ddpms import TabDDPM

    hot = hot_of(frame)
    model = TabDDPM(num_noise_steps=50, num_sampling=1, random_state=0)
    model.fit(hot, epochs=200, batch_size=100)
    return [unhot(model.predict(hot), frame) for _ in range(draws)]


WAYS: dict[str, Draws] = {
    "columns": columns,
    "iterative": iterative,
    "miceforest": miceforest,
    "forest": forest,
    "tabddpm": tabddpm,
}
