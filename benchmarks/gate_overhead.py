"""What the checks of a training step cost: steps with and without them, taken in turn, in one run.

python benchmarks/gate_overhead.py [RECIPE ...]
"""

import statistics
import sys
from itertools import islice
from tempfile import TemporaryDirectory
from unittest import mock

import torch

from undiffuse.recipes import override, read
from undiffuse.runs import Experiment
from undiffuse.training import loop

STEPS, QUIET = 60, ("evaluate_every=0", "sample_every=0", "figures_every=0", "checkpoint_every=0")


def main() -> None:
    torch.set_num_threads(1)
    for recipe in sys.argv[1:] or ("swiss-roll", "digits"):
        with TemporaryDirectory() as folder:
            node = override(read(recipe), [f"train.{each}" for each in (*QUIET, f"steps={2 * STEPS + 10}")])
            steps = Experiment.create(f"{folder}/run", node).steps()
            times: dict[bool, list[float]] = {True: [], False: []}
            for _ in islice(steps, 8):
                pass
            for number in range(2 * STEPS):
                with mock.patch.object(
                    loop.State, "sum", WITH if number % 2 else lambda self: torch.zeros(())
                ):
                    times[bool(number % 2)].append(next(steps).seconds)
        on, off = (statistics.median(times[each]) for each in (True, False))
        pairs = [a / b - 1 for a, b in zip(times[True], times[False], strict=True)]
        print(
            f"{recipe}: {1e3 * off:.2f} ms a step, {1e3 * on:.2f} ms with the checks; "
            f"{100 * statistics.median(pairs):+.1f} % (median of {STEPS} pairs)"
        )


WITH = loop.State.sum


if __name__ == "__main__":
    main()
