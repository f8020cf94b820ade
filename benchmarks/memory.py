"""Peak memory of `sample` and `evaluate` on chains of 100 and of 1000 steps: it should be the same.

    python benchmarks/memory.py

Trains a digits run for one step for each chain, in a temporary folder, then runs the commands as whole
processes and prints their peak resident size as the operating system counts it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHAINS = (100, 1000)
VERBS = {
    "sample": ["sample", "RUN", "-n", "64"],
    "evaluate": ["evaluate", "RUN", "--terms", "0", "--examples", "64"],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = {steps: Path(folder) / str(steps) for steps in CHAINS}
        for steps, run in runs.items():
            command(["train", "digits", f"grid.steps={steps}", "train.steps=1", "--out", str(run)])
        for verb, words in VERBS.items():
            peaks = [command([w.replace("RUN", str(runs[s])) for w in words]) for s in CHAINS]
            print(f"{verb:9s} T=100 {peaks[0]:.1f} MiB, T=1000 {peaks[1]:.1f} MiB, {peaks[1] / peaks[0]:.3f}")


def command(words: list[str]) -> float:
    """Run `undiffuse words`; returns its peak resident size in MiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "undiffuse", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"undiffuse {' '.join(words)} failed")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
