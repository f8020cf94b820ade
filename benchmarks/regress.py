"""Whether another commit is faster, or learns something else: shipped recipes, step by step, in one run.

    python benchmarks/regress.py COMMIT            # a few minutes on two cores
    python benchmarks/regress.py COMMIT digits swiss-roll --steps 100

Each recipe is trained for a few steps by the commit and by this tree in turn, three times each, and sampled
from. Ratios are of the fastest of the three, below 1 where this tree is faster; losses are the last step's,
which are equal to the last digit where nothing has changed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
RECIPES = (
    "digits",
    "swiss-roll",
    "swiss-roll-40",
    "heartbeat-fast",
    "dead-leaves-fast",
    "textures-fast",
)
ROUNDS = 3
QUIET = ["train.evaluate_every=0", "train.sample_every=0", "train.log_every=1", "train.watch=0"]
SAMPLED = """
import sys, time
import undiffuse
run = undiffuse.load(sys.argv[1])
run.sample(16, steps=2)
begin = time.perf_counter()
x = run.sample(64, steps=10)
print(time.perf_counter() - begin, float(undiffuse.load(sys.argv[1]).sample(4, steps=5).double().sum()))
"""


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commit")
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", old, asked.commit], cwd=ROOT, check=True)
        try:
            print(f"{'recipe':18} {'step':>7} {'sampling':>9}  loss there, here; sum of samples there, here")
            for recipe in asked.recipes:
                _compare(recipe, [old, ROOT], asked.steps, Path(folder))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", old], cwd=ROOT, check=True)


def _compare(recipe: str, trees: list[Path], steps: int, folder: Path) -> None:
    found = [
        [_measured(recipe, tree, steps, folder / f"{recipe}-{n}-{i}") for i, tree in enumerate(trees)]
        for n in range(ROUNDS)
    ]
    ours = [min(each[1][part] for each in found) for part in (0, 1)]
    theirs = [min(each[0][part] for each in found) for part in (0, 1)]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    (_, _, *before), (_, _, *after) = found[-1]
    said = "; ".join(f"{a:.6g}, {b:.6g}" for a, b in zip(before, after, strict=True))
    print(f"{recipe:18} {ratios[0]:7.2f} {ratios[1]:9.2f}  {said}", flush=True)


def _measured(recipe: str, tree: Path, steps: int, run: Path) -> tuple[float, float, float, float]:
    """Seconds of a step and of sampling, the last loss, and the sum of some samples."""
    env = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    words = ["train", recipe, f"train.steps={steps}", *QUIET, "--out", str(run), "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "undiffuse", *words], env=env, check=True, capture_output=True)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    command = [sys.executable, "-c", SAMPLED, str(run)]
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.split()
    seconds = median(row["seconds"] for row in rows[5:])
    return seconds, float(out[0]), rows[-1]["loss"], float(out[1])


if __name__ == "__main__":
    main()
