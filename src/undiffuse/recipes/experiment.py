"""A run while it trains: a folder, the loop, and what is written on the way.

`Experiment.create` checks a recipe, looks at the data and writes recipe.yaml and run.json; `Experiment.open`
continues from the newest whole checkpoint. Both are the run's one writer, until they are forgotten.
`Experiment.train` yields an event a step, and logs, samples, evaluates, draws and saves as often as the
recipe says.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from undiffuse import plots
from undiffuse.data import Splits
from undiffuse.random import digest
from undiffuse.recipes.begin import absolute, begin, begun, check_origin, check_recipe, put_back, recipe_hash
from undiffuse.recipes.evaluation import Evaluation, evaluate
from undiffuse.recipes.facts import check_same, read_facts
from undiffuse.recipes.figures import save_schedule
from undiffuse.recipes.loading import run_of
from undiffuse.recipes.log import Event, Log, read_metrics, record
from undiffuse.recipes.output import save_npy, save_picture
from undiffuse.recipes.progress import save_progress
from undiffuse.recipes.reading import read
from undiffuse.recipes.recipe import Plan, load_data
from undiffuse.recipes.rounding import same_rounding
from undiffuse.recipes.run import Run
from undiffuse.training import (
    Batches,
    LabelBatches,
    Lock,
    NonFiniteError,
    Progress,
    Settings,
    Signals,
    State,
    Stopped,
    checkpoint,
    fingerprint,
    recover,
    train,
)

SHOWN = 64  # samples in a picture made while training


class Experiment:
    """A run in training. `run` of it is what a loaded run would be, with the weights of the moment."""

    def __init__(self, run: Run, splits: Splits, state: State) -> None:
        self.run, self.splits, self.state = run, splits, state
        self.settings: Settings = state.settings
        self.objective = run.recipe.objective(run.model.kernel)
        self.lock: Lock | None = None
        self.warnings: list[str] = []
        self.origin: dict[str, Any] = {}  # of its checkpoints
        self.pending: list[float] = []  # losses since the log's last row

    @classmethod
    def create(
        cls, folder: str | Path, node: dict[str, Any], device: torch.device | str = "cpu", **how: bool
    ) -> "Experiment":
        """Check a recipe and begin a run in a new or empty folder; or go on with one of the same recipe.

        Raises RecipeError for the recipe, FileExistsError for a folder in use or a run of another recipe, and
        what `open` raises.
        """
        folder, plan = Path(folder), Plan(absolute(node))
        lock = Lock(folder) if begun(folder) else begin(folder, plan)
        check_recipe(folder, plan)
        return cls.open(folder, device, lock, **how)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        device: torch.device | str = "cpu",
        lock: Lock | None = None,
        *,
        exact: bool = False,
        other_data: bool = False,
        until: int | None = None,
    ) -> "Experiment":
        """A run that was begun, from its newest whole checkpoint on if it has one, with as many threads as
        then.

        `until`: checkpoints after that step are left alone.

        Raises BusyError if another process trains it, ValueError for other data (unless `other_data`), for
        another recipe than the checkpoint's, if no checkpoint is whole, and with `exact` if this machine
        rounds otherwise. What it puts up with is written to events.jsonl, and is in `warnings`.
        """
        folder = Path(folder)
        facts, plan = read_facts(folder), Plan(read(str(folder / "recipe.yaml")))
        lock = lock or Lock(folder)
        splits = load_data(plan)
        same = check_same(facts, splits, folder)
        if not same and not other_data:
            raise ValueError(
                f"{folder}: the data are no longer those the run began with, some of their values "
                f"differ; restore "
                "them, or accept that: --allow-data-change"
            )
        saved, warnings = recover(folder / "checkpoints", device, until)
        warnings += [] if same else ["the data have changed since the run began"]
        if saved is not None:
            check_origin(folder, plan, saved)
            warnings += same_rounding(saved, device, exact)
        experiment = cls._built(folder, plan, facts, splits, device, saved)
        experiment.lock, experiment.warnings = lock, warnings
        for warning in warnings:
            record(folder, experiment.state.step, "warning", text=warning)
        return experiment

    @classmethod
    def _built(
        cls,
        folder: Path,
        plan: Plan,
        facts: dict[str, Any],
        splits: Splits,
        device: torch.device | str,
        saved: checkpoint.Checkpoint | None,
    ) -> "Experiment":
        """Everything in place to train."""
        settings: Settings = plan["train"].build()
        with torch.random.fork_rng([]):
            torch.manual_seed(digest(plan["seed"], "weights") % 2**63)
            model = plan.denoiser(splits.shape, splits.levels, splits.classes).to(device)
        if settings.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        state = State(model, settings)
        if saved is not None:
            put_back(state, saved)
        if settings.compile:
            model.network.compile()
        made = cls(run_of(folder, plan, model, facts, state.step), splits, state)
        made.origin = {
            "recipe": recipe_hash(plan),
            "data": facts.get("sha256", ""),
            "numerics": fingerprint(device),
        }
        if saved is not None:
            made.pending = saved.state["pending"]
            if saved.state["times"]:
                made.objective.times.restore(saved.state["times"])
        return made

    def train(self, signals: Signals | None = None) -> Iterator[Event]:
        """Train to the end, yielding after every step; a last checkpoint and figures at the end.

        `signals` are looked at after every step. Raises NonFiniteError with the command that repeats the
        step, Stopped after a signal, WriteError if the disk is full; the newest checkpoint stays in any case.
        """
        signals = Signals() if signals is None else signals
        begin, log = self.state.step, Log(self.run.folder / "metrics.jsonl", self.state.step, self.pending)
        try:
            for progress in self.steps():
                yield self._after(progress, log, signals)
                if signals.stop is not None:
                    raise Stopped(signals.stop, f"after step {progress.step:,}: saved; {self._again()}")
        except NonFiniteError as error:
            raise self._explained(error, log) from error
        self._draw(begin < self.settings.steps)

    def steps(self) -> Iterator[Progress]:
        """The bare training steps, in memory alone."""
        run, settings, seed = self.run, self.settings, self.run.recipe["seed"]
        batches = Batches(self.splits.train, run.space.encode, settings.batch, seed, settings.flips)
        return train(self.state, batches, self.objective, seed, self._labels())

    def _after(self, progress: Progress, log: Log, signals: Signals) -> Event:
        """Everything that is due after a step; the log is never behind a checkpoint."""
        settings, step = self.settings, progress.step
        event, last = self._measured(progress), step == settings.steps
        drawn = _due(step, settings.figures_every)
        log.add(event, last or drawn or _due(step, settings.log_every))
        if drawn:
            event = event.with_files(*save_progress(self.run, self.state, self.splits.test))
        if progress.skipped:
            record(self.run.folder, step, "skipped", bad=progress.skipped.bad, in_a_row=self.state.skips)
        asked = signals.save or signals.stop is not None
        if last or asked or _due(step, settings.checkpoint_every):
            signals.save = False
            event = event.with_files(self._save(log))
        return event

    def _explained(self, error: NonFiniteError, log: Log) -> NonFiniteError:
        """The error with the command that repeats the step, from a checkpoint as close to it as can be."""
        if not error.state:
            self._save(log)
        again = f"undiffuse train --resume {self.run.folder} --replay {error.step}"
        return error.told(f"repeat that step with: {again}")

    def _again(self) -> str:
        return f"go on with: undiffuse train --resume {self.run.folder}"

    def _draw(self, trained: bool) -> None:
        """The figures of a finished run, if they are not there yet."""
        curves, schedule = (self.run.folder / name for name in ("curves.png", "schedule.png"))
        if trained or not curves.exists():
            plots.save_training(read_metrics(self.run.folder), curves)
        if trained or not schedule.exists():
            save_schedule(self.run, schedule)

    def _labels(self) -> LabelBatches | None:
        """The labels of the batches, if the model is to know them."""
        labels, settings, recipe = self.splits.train_labels, self.settings, self.run.recipe
        if labels is None or not recipe["conditional"]:
            return None
        return LabelBatches(labels, settings.batch, recipe["seed"], settings.label_dropout)

    def _measured(self, progress: Progress) -> Event:
        """The test bound and the samples that are due after a step."""
        event, step, settings = Event(progress), progress.step, self.settings
        if _due(step, settings.evaluate_every):
            event = replace(event, test=self._evaluate())
        if _due(step, settings.sample_every):
            event = event.with_files(self._sample(step))
        return event

    def _evaluate(self) -> Evaluation:
        count, labels = self.settings.evaluate_examples, self.splits.test_labels
        run = self.run.told(None if labels is None else labels[:count])
        with self._averaged():
            return evaluate(run, self.splits.test[:count], terms=self.settings.evaluate_terms)

    def _sample(self, step: int) -> Path:
        with self._averaged():
            steps = min(self.settings.sample_steps, len(self.run.grid))
            raw = self.run.sample(SHOWN, seed=self.run.recipe["seed"], steps=steps)
        folder = self.run.folder / "samples"
        folder.mkdir(exist_ok=True)
        stem = folder / f"step-{step:08d}"
        picture = save_picture(self.run, raw, stem)
        return picture or save_npy(raw, stem.with_suffix(".npy"))

    def _averaged(self) -> Any:
        self.run.model.eval()
        return self.state.ema.applied()

    def _save(self, log: Log) -> Path:
        """A checkpoint of the moment, and the log's rows before it."""
        state, recipe = self.state, self.run.recipe
        other = {"settings": asdict(self.settings), "recipe": recipe.describe(), "skips": state.skips}
        other |= {"times": self.objective.times.state(), "pending": log.losses}
        now = checkpoint.Checkpoint(state.step, **state.groups(), state=other, origin=self.origin)
        log.sync()
        return checkpoint.save(self.run.folder / "checkpoints", now, self.settings.keep)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
