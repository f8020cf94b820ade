"""Train the run that comes with the package: `python -m tools.ship`, about a minute on two cores.

Only what loading it needs comes along: its averaged weights, and none of the optimizer's state.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from undiffuse.recipes import read
from undiffuse.runs import Experiment, load
from undiffuse.runs.scoring import held_out
from undiffuse.runs.shipped import shipped_run
from undiffuse.training import checkpoint

KEPT = ("recipe.yaml", "run.json", "bases.safetensors")


def main() -> None:
    """Train it anew, in the place of what is there."""
    target = shipped_run()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "run"
        experiment = Experiment.create(made, read("demo"))
        for event in experiment.train():
            if event.progress.step % 100 == 0:
                print(f"step {event.progress.step:,}: loss {event.progress.loss:.4f}")
        experiment.close()
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in KEPT:
            shutil.copy(made / name, target / name)
        saved = checkpoint.load(checkpoint.latest(made / "checkpoints"))
        checkpoint.save(target / "checkpoints", replace(saved, weights={}, optimizer={}), keep=1)
    held_out(load(target))  # found once: nothing is written beside the package's files later
    print(f"{target}: {sum(f.stat().st_size for f in target.rglob('*') if f.is_file()):,} bytes")


if __name__ == "__main__":
    main()
