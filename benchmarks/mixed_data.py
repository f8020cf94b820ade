"""Real tables of mixed columns, out of packages' own files; for other scripts."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pandas as pd


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
