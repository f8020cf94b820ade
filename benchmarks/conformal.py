"""Conformal p values of new rows like the training ones: uniform, whatever the model has learned.

    pip install scipy plotnine statsmodels
    python benchmarks/conformal.py [--tables diamonds fair randhie] [--steps 2000] [--new 1000]

A thousand rows at random are put aside, a model is fitted to the others, of which it holds some out to
compare with, and the rows put aside are scored. Printed is the Kolmogorov-Smirnov test of their bits beside
those of the rows held out, of which p values are the ranks (two samples, since both are few), and how many of
them raise an alarm of 1, 5 and 10 %. Rows with holes are left out.
"""

import argparse
import time

import undiffuse as ud
from mixed_data import TABLES


def main() -> None:
    """A row for every table."""
    from scipy.stats import ks_2samp

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["diamonds", "fair", "randhie"], choices=TABLES)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--new", type=int, default=1000)
    options = parser.parse_args()
    print("| table | new rows | held out | KS p | alarm 1 % | 5 % | 10 % | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.tables:
        frame, begin = TABLES[name]().dropna().sample(frac=1.0, random_state=1), time.perf_counter()
        new, rest = frame.iloc[: options.new], frame.iloc[options.new :].reset_index(drop=True)
        model = ud.fit(rest, steps=options.steps, quiet=True)
        found = model.score(new.reset_index(drop=True))
        test = ks_2samp(found.bits.numpy(), found.held.bits.numpy())
        alarms = " | ".join(f"{float(found.alarm(rate).double().mean()):.3f}" for rate in (0.01, 0.05, 0.1))
        seconds = time.perf_counter() - begin
        print(
            f"| {name} | {len(new):,} | {found.held_out:,} | {test.pvalue:.3f} | {alarms} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
