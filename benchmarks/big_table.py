"""Tables of many rows, and of a size one has: minutes and memory.

    pip install plotnine pyarrow
    python benchmarks/big_table.py [--rows 1000000 10000000]

First a .parquet of so many rows of six made-up columns (whole numbers, decimals, words, a truth value, dates;
a tenth of the incomes missing), read by a process of its own, to the end of the first 20 steps: seconds, and
the most memory at once. Then 1,000 diamonds, a tenth of their cells taken away: fit, score and impute; and
50,000 rows of 20 columns, the diamonds beside their own rows in another order: without a step, and 200.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

import undiffuse as ud
from mixed_data import TABLES

STEPS, PART = 200, 10**6
T = TypeVar("T")


def write(path: Path, rows: int) -> None:
    """A .parquet of so many rows, part by part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for begin in range(0, rows, PART):
        rng, n = np.random.default_rng(begin), min(PART, rows - begin)
        age = rng.integers(18, 90, n)
        income = np.round(np.exp(rng.normal(10 + age / 90, 0.5)), 2)
        frame = pd.DataFrame(
            {
                "age": age,
                "income": np.where(rng.random(n) < 0.1, np.nan, income),
                "x": rng.normal(age / 50, 1),
                "city": rng.choice(["Aachen", "Bath", "Cork", "Delft"], n, p=[0.4, 0.3, 0.2, 0.1]),
                "ok": rng.random(n) < age / 100,
                "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 2000, n), unit="D"),
            }
        )
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def read(path: Path) -> tuple[float, float]:
    """Seconds to the end of 20 steps, and the most GiB at once."""
    begin = time.perf_counter()
    ud.fit(path, steps=20, quiet=True)
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30


def timed(what: str, task: Callable[[], T]) -> T:
    begin = time.perf_counter()
    found = task()
    print(f"| {what} | {time.perf_counter() - begin:.1f} |", flush=True)
    return found


def ordinary() -> None:
    """What is done to tables of a size one has."""
    diamonds, rng = TABLES["diamonds"](), np.random.default_rng(0)
    small = diamonds.sample(1000, random_state=0, ignore_index=True)
    small = small.mask(rng.random(small.shape) < 0.1)
    model = timed("1,000 x 10: fit", lambda: ud.fit(small, quiet=True))
    timed("1,000 x 10: score", lambda: model.score(small))
    timed("1,000 x 10: impute", lambda: model.impute(small))
    half = diamonds.head(50_000)
    other = half.sample(frac=1, random_state=0, ignore_index=True).add_suffix("_too")
    wide = pd.concat([half, other], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        for steps in (0, STEPS):
            timed(
                f"50,000 x 20: fit, {steps} steps",
                partial(ud.fit, wide, steps=steps, out=Path(folder, f"{steps}"), quiet=True),
            )


def main() -> None:
    """Print a row for each table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=[10**6, 10**7])
    options = parser.parse_args()
    print("| rows | seconds to the end of 20 steps | GiB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            path = Path(folder, f"{rows}.parquet")
            write(path, rows)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                seconds, size = pool.submit(read, path).result()
            print(f"| {rows:,} | {seconds:.0f} | {size:.1f} |", flush=True)
    print("\n| task | seconds |\n|---|---|")
    ordinary()


if __name__ == "__main__":
    main()
