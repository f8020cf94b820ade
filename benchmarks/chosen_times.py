"""Which times few steps should stop at: chosen by arrival, even, or the best for the bound.

    python benchmarks/chosen_times.py RUN

For each solver and number of steps: how far x_0 is from that of a walk of a hundred, root mean square, from
the same x_1; at the times that `samplers.Tuner` finds, at times even in log-SNR, at those of the least bound
among 48 (dynamic programming on the curve of mean squared errors), and at equal increments of that curve's
root slope.
"""

import argparse
from pathlib import Path

import undiffuse
from undiffuse.bounds import curve_of
from undiffuse.random import Streams
from undiffuse.recipes import load_data
from undiffuse.samplers import DDIM, Tuner, UniPC, like_of, start
from undiffuse.samplers.tuned import BENDS, ROWS
from undiffuse.schedules.grids import logsnr


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--examples", type=int, default=100, help="test examples that the curve is measured on"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[6, 10, 20])
    options = parser.parse_args()
    run = undiffuse.load(options.run)
    fine = logsnr(run.model.kernel.schedule, 48, float(run.grid[0]))
    raw = load_data(run.recipe).test[: options.examples]
    curve = curve_of(run.model, raw, grid=fine, encode=run.space.encode)
    x_1 = start(run.model, like_of(run.model, (ROWS, *run.shape)), Streams(0, "times", rows=range(ROWS)))
    tuner = Tuner(run.model, x_1, run.grid)
    print("| solver | steps | chosen by arrival | even in log-SNR | best for the bound | equal increments |")
    print("|---|---|---|---|---|---|")
    for solver in (UniPC(3), DDIM()):
        for steps in options.steps:
            grids = (tuner.grid([0.0] * BENDS, steps), curve.best(steps), curve.even(steps))
            away = [tuner.tuned(solver, steps)[1], *(tuner.distance(solver, grid) for grid in grids)]
            cells = " | ".join(f"{each:.4f}" for each in away)
            print(f"| {type(solver).__name__} | {steps} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
