"""Weak scaling: twice the batch on two processes, against the batch on one, in turn.

python benchmarks/weak_scaling.py [RECIPE [ROUNDS]]

Each has one thread. The efficiency is the time of a step on one over that on two: 1 if the second process
came for nothing.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

STEPS, BATCH = 30, 64
QUIET = [
    f"train.{name}=0" for name in ("evaluate_every", "sample_every", "figures_every", "checkpoint_every")
]


def step_seconds(recipe: str, processes: int, folder: Path) -> float:
    """The median time of a step, after the first ten."""
    words = [f"train.steps={STEPS}", f"train.batch={BATCH * processes}", "train.log_every=1", *QUIET]
    command = [sys.executable, "-m", "undiffuse", "train", recipe, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "--out", str(folder), "--processes", str(processes)],
        env=environment,
        check=True,
        capture_output=True,
    )
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(row["seconds"] for row in rows[10:])


def main() -> None:
    recipe = sys.argv[1] if len(sys.argv) > 1 else "digits"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    pairs = []
    for number in range(rounds):
        with TemporaryDirectory() as folder:
            pair = [step_seconds(recipe, size, Path(folder) / f"{size}") for size in (1, 2)]
        pairs.append(pair)
        one, two = (1e3 * each for each in pair)
        print(
            f"round {number + 1}: {one:.1f} ms on one, {two:.1f} ms on two; efficiency {one / two:.3f}",
            flush=True,
        )
    ratios = sorted(one / two for one, two in pairs)
    print(f"{recipe}: efficiency {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
