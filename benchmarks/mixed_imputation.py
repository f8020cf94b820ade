"""Filling the holes of tables of mixed columns: CRPS and coverage of 90 % intervals, beside others.

    pip install scikit-learn plotnine statsmodels miceforest "lightgbm<4.7" ForestDiffusion qolmat
    python benchmarks/mixed_imputation.py [--tables penguins fair ..] [--rows 1000] [--steps 2000]

Of each table so many rows at most, at random; 30 % of all cells are taken away at random, everything is
fitted to what is left, and fills it 39 times, in a process of its own, on one core. CRPS is of numbers, in
their columns' standard deviations, the mean over the cells that were taken; coverage that of intervals from
the second to the second-last draw, which hold their ends, and with ties broken by chance; of symbols
Brier's score; beside it what the CRPS is less the first way's, cell by cell, and the error of that difference
over rows. The others are those of `imputers.py`. Columns that are numbers to all are scored as numbers.
Ours draws from the model that is told what is known; `product` from the model that is told nothing, times
`known`, without weights, `particles` with those of groups of 64.
"""

import argparse
import os
import resource
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

import undiffuse as ud
from imputers import WAYS, words_in
from mixed_data import TABLES
from undiffuse.diffusion import Way
from undiffuse.metrics.calibration import DRAWS, crps_of, numbers, ratio, symbols
from undiffuse.random import keyed

SHARE = 0.3


OURS = {"ours": Way(), "product": Way(method="tilted"), "particles": Way(method="tilted", particles=64)}


def ours(frame: pd.DataFrame, steps: int | None, way: Way) -> list[pd.DataFrame]:
    model = ud.fit(frame, steps=steps, quiet=True)
    found = model.impute(frame, n=DRAWS, way=way)
    return [found.draw(i) for i in range(DRAWS)]


class Scores(NamedTuple):
    """Means, and CRPS (N, D) where cells are `hidden`."""

    means: list[float]
    crps: torch.Tensor
    hidden: torch.Tensor

    def less(self, other: "Scores") -> str:
        """What the CRPS is less another's."""
        apart = ratio(self.crps - other.crps, self.hidden)
        return f"{apart.mean:+.4f} +- {apart.se:.4f}"


def scored(draws: list[pd.DataFrame], truth: pd.DataFrame, holes: pd.DataFrame) -> Scores:
    """CRPS, coverage, coverage with ties by chance, and Brier's score of symbols."""
    hidden, words = holes & truth.notna(), words_in(truth)
    values = [name for name in truth if name not in words]
    x = torch.from_numpy(np.stack([each[values].to_numpy(float) for each in draws], 1))
    y = torch.from_numpy(truth[values].to_numpy(float))
    scale = torch.from_numpy(truth[values].std(ddof=0).to_numpy(float))
    cells = torch.from_numpy(hidden[values].to_numpy())
    own = numbers(x, y, cells, scale, keyed("ties"))
    assert own is not None
    brier = float("nan")
    if words:
        tables = {name: pd.Index(truth[name].dropna().astype(str).unique()) for name in words}
        coded = [
            np.stack([tables[n].get_indexer(each[n].astype(str)) for n in words], 1)
            for each in (*draws, truth)
        ]
        codes = torch.from_numpy(np.stack(coded, 1)).double()
        found = symbols(codes[:, :-1], codes[:, -1], torch.from_numpy(hidden[words].to_numpy()))
        brier = float("nan") if found is None else found.brier.mean
    share = min(own.coverage, key=lambda share: abs(share - 0.9))
    means = [own.crps.mean, own.coverage[share].mean, own.fair[share].mean, brier]
    return Scores(means, crps_of(x, y) / scale, cells)


def coded(frame: pd.DataFrame, tables: dict[str, pd.Index]) -> np.ndarray:
    """Categories (N, D) by their places in the tables."""
    return np.stack([table.get_indexer(frame[name].astype(str)) for name, table in tables.items()], 1)


def one(name: str, way: str, rows: int, steps: int | None, chain: int | None) -> tuple[str, Scores | None]:
    """A row of the table, and what it is about."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    truth = TABLES[name]()
    truth = truth.sample(min(rows, len(truth)), random_state=0).reset_index(drop=True)
    holes = pd.DataFrame(np.random.default_rng(0).random(truth.shape) < SHARE, columns=truth.columns)
    frame, begin = truth.mask(holes), time.perf_counter()
    try:
        own = OURS.get(way)
        draws = WAYS[way](frame, DRAWS) if own is None else ours(frame, steps, replace(own, steps=chain))
    except Exception as error:  # of another package: it is said, and the next is tried
        return f"{type(error).__name__}: {' '.join(str(error).split())[:60]} | | | | |", None
    seconds, memory = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = scored(draws, truth, holes)
    return " | ".join(f"{value:.4f}" for value in found.means) + f" | {seconds:.0f} | {memory:.1f}", found


def main() -> None:
    """Print a row for each table and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--steps", type=int, help="of training, by default as many as are chosen")
    parser.add_argument("--chain", type=int, help="steps in which holes are filled, by default 50")
    parser.add_argument("--limit", type=int, default=900, help="seconds for a table and a way")
    parser.add_argument("--ways", nargs="+", default=["ours", *WAYS], choices=[*OURS, *WAYS])
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1"}
    print(
        "| table | way | CRPS, deviations | 90 % hold | ties by chance | Brier | seconds | GiB | CRPS less |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.tables:
        first: Scores | None = None
        for way in options.ways:
            pool = ProcessPoolExecutor(1, get_context("spawn"))
            work = pool.submit(one, name, way, options.rows, options.steps, options.chain)
            try:
                row, found = work.result(timeout=options.limit)
                apart = "" if first is None or found is None else found.less(first)
                first = first or found
                print(f"| {name} | {way} | {row} | {apart} |", flush=True)
            except TimeoutError:
                print(f"| {name} | {way} | more than {options.limit:,} s | | | | | | |", flush=True)
                for process in list(pool._processes.values()):
                    process.kill()
            pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
