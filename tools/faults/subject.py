"""What the faults are done to: a run of half a second, and a hash of all that it ends with."""

import gc
import hashlib
import importlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from tools.faults import child
from undiffuse import plots
from undiffuse.recipes import override, read
from undiffuse.runs import Experiment
from undiffuse.training import checkpoint

WORDS = (
    *("swiss-roll", "data.train=200", "data.test=40", "network.hidden=8", "network.layers=1"),
    *("grid.steps=12", "train.batch=16", "train.warmup=2", "train.steps=12", "train.checkpoint_every=2"),
    *(
        "train.log_every=3",
        "train.evaluate_every=6",
        "train.evaluate_examples=8",
        "train.evaluate_terms=2",
        "train.sample_every=0",
    ),
)


@dataclass
class Check:
    """What a check found: how many of how many held, and what did not."""

    name: str
    goal: str
    held: int = 0
    tried: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, good: bool, what: str) -> bool:
        """Count one expectation."""
        self.tried, self.held = self.tried + 1, self.held + bool(good)
        if not good:
            self.failures.append(what)
        return good

    def __str__(self) -> str:
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        mark = "ok " if self.held == self.tried else "BAD"
        return f"{mark} {self.name}: {self.held:,}/{self.tried:,} {self.goal}{notes}"


@dataclass(frozen=True)
class Bench:
    """A folder to work in, random choices by a seed, and how much to do: 1 quick, more is fuller."""

    folder: Path
    choose: random.Random
    full: bool

    def count(self, quick: int, full: int) -> int:
        """How often."""
        return full if self.full else quick

    def fresh(self, name: str = "run") -> Path:
        """A path that nothing has."""
        number = len(list(self.folder.iterdir()))
        return self.folder / f"{name}-{number}-{self.choose.randrange(10**9)}"

    def train(self, out: Path, *words: object, patch: child.Patch = lambda: None) -> child.Child:
        """The subject, to its end."""
        return child.run(self.fresh("out"), "train", *WORDS, *words, "--out", out, patch=patch)

    def whole(self) -> str:
        """The hash of the uninterrupted run, trained once."""
        path = self.folder / "whole"
        if not path.exists():
            done = self.train(path)
            assert done.code == 0, done.text
        return digest(path)

    def goes_on(self, check: Check, run: Path, told: str = "", good: bool = True) -> child.Child:
        """The run to its end. Expected: the bits of the uninterrupted one, and that all was `good` before."""
        last = self.train(run)
        same = last.code == 0 and digest(run) == self.whole()
        check.expect(good and same, f"{told or run.name}: {last.text[-300:]}")
        return last


@contextmanager
def bench(seed: int, full: bool, where: str | None = None) -> Iterator[Bench]:
    """A bench; figures, which take longest and decide nothing, are not drawn."""
    with (
        TemporaryDirectory(dir=where) as folder,
        mock.patch.object(plots, "save_training", _nothing),
        mock.patch.object(plots, "save_schedules", _nothing),
    ):
        _warm(Path(folder) / "warm")
        yield Bench(Path(folder), random.Random(seed), full)


def _warm(folder: Path) -> None:
    """Import all that a training imports, here, once; but no gradient, after which torch may not fork."""
    recipe, *changes = WORDS
    Experiment.create(folder, override(read(recipe), changes))
    importlib.import_module("rich.progress")
    importlib.import_module("rich.live")
    gc.freeze()  # or the collector of every child would copy all pages


def digest(run: Path) -> str:
    """SHA-256 of the newest checkpoint, the log without its clock, the recipe and the facts."""
    found = hashlib.sha256()
    newest = checkpoint.latest(run / "checkpoints")
    checkpoint.verify(newest)
    for name in checkpoint.FILES:
        found.update((newest / name).read_bytes())
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = {key: value for key, value in json.loads(line).items() if key != "seconds"}
        found.update(json.dumps(row).encode())
    for name in ("recipe.yaml", "run.json"):
        found.update((run / name).read_bytes())
    return found.hexdigest()


def whole_or_none(run: Path) -> bool:
    """Whether every checkpoint under its final name is whole, and there is one since the first was saved.

    That was at step 2, before the first row of the log, of step 3.
    """
    found, log = checkpoint.steps(run / "checkpoints"), run / "metrics.jsonl"
    try:
        for path in found:
            checkpoint.verify(path)
    except ValueError:
        return False
    return bool(found) or not (log.exists() and "\n" in log.read_text())


def _nothing(*_: object) -> None:
    pass


Run = Callable[[Bench], Check]
