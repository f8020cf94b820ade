"""A run while it trains: a folder, the loop, and what is written on the way.

`Experiment.create` checks a recipe, looks at the data and writes recipe.yaml and run.json; `Experiment.open`
continues from the newest whole checkpoint. Both are the run's one writer, until they are forgotten.
`Experiment.train` yields an event a step, and logs, samples, evaluates, draws and saves as often as the
recipe says.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from undiffuse import plots
from undiffuse.data import Splits
from undiffuse.random import digest
from undiffuse.recipes.begin import absolute, begin, begun, check_origin, check_recipe, put_back, recipe_hash
from undiffuse.recipes.datafiles import accept, load_same, save_skipped
from undiffuse.recipes.facts import content, read_facts
from undiffuse.recipes.figures import save_schedule
from undiffuse.recipes.loading import run_of
from undiffuse.recipes.log import Event, Log, read_metrics, record
from undiffuse.recipes.measuring import due, measured
from undiffuse.recipes.progress import save_progress
from undiffuse.recipes.reading import read
from undiffuse.recipes.recipe import Plan
from undiffuse.recipes.rewind import held, rewind
from undiffuse.recipes.rounding import same_rounding
from undiffuse.recipes.run import Run
from undiffuse.trackers import TRACKERS, Tracker
from undiffuse.training import (
    Batches,
    LabelBatches,
    Lock,
    NonFiniteError,
    Progress,
    Settings,
    Signals,
    SpikeError,
    State,
    Stopped,
    checkpoint,
    fingerprint,
    recover,
    train,
)


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
        self.listed = 0  # pictures in skipped.txt by this process

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
        try:
            experiment = cls._resumed(folder, plan, facts, device, exact, other_data, until)
        except BaseException:
            lock.release()  # or it would last as long as the error's traceback
            raise
        experiment.lock = lock
        return experiment

    @classmethod
    def _resumed(
        cls,
        folder: Path,
        plan: Plan,
        facts: dict[str, Any],
        device: torch.device | str,
        exact: bool,
        other_data: bool,
        until: int | None,
    ) -> "Experiment":
        """What `open` says, with the lock held."""
        splits, files, changed = load_same(folder, plan, facts, other_data)
        facts |= content(splits, files) if changed else {}
        saved, warnings = recover(folder / "checkpoints", device, until)
        warnings += [f"the data have changed since the run began: {changed}"] if changed else []
        if saved is not None:
            check_origin(folder, plan, saved)
            warnings += same_rounding(saved, device, exact)
        experiment = cls._built(folder, plan, facts, splits, device, saved)
        experiment.warnings = warnings
        for warning in warnings:
            record(folder, experiment.state.step, "warning", text=warning)
        if changed:
            accept(folder, facts, files)
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
        if settings.compile:
            model.network.compile()
        made = cls(run_of(folder, plan, model, facts, saved.step if saved else 0), splits, state)
        made.origin = {
            "recipe": recipe_hash(plan),
            "data": facts.get("sha256", ""),
            "numerics": fingerprint(device),
        }
        if saved is not None:
            put_back(state, saved, made.objective)
            made.pending = saved.state["pending"]
        return made

    def train(self, signals: Signals | None = None) -> Iterator[Event]:
        """Train to the end, yielding after every step; a last checkpoint and figures at the end.

        `signals` are looked at after every step. Raises NonFiniteError with the command that repeats the
        step, Stopped after a signal, WriteError if the disk is full; the newest checkpoint stays in any case.
        """
        signals = Signals() if signals is None else signals
        begin = self.state.step
        log = Log(self.run.folder / "metrics.jsonl", begin, self.pending, self._tracker())
        if self.settings.on_spike == "rewind":
            self._save(log)  # or there may be none to go back to
        try:
            for progress in log.closing(self.steps()):
                yield self._after(progress, log, signals)
                if signals.stop is not None:
                    raise Stopped(signals.stop, f"after step {self.state.step:,}: saved; {self._again()}")
        except NonFiniteError as error:
            raise self._explained(error, log) from error
        self._draw(begin < self.settings.steps)

    def steps(self) -> Iterator[Progress]:
        """The bare training steps, in memory alone; workers that read ahead end with them."""
        run, settings, seed = self.run, self.settings, self.run.recipe["seed"]
        batches = Batches(self.splits.train, run.space.encode, settings.batch, seed, settings.flips)
        return batches.closing(train(self.state, batches, self.objective, seed, self._labels()))

    def _after(self, progress: Progress, log: Log, signals: Signals) -> Event:
        """Everything that is due after a step; the log is never behind a checkpoint."""
        settings, step = self.settings, progress.step
        if progress.parts is not None:
            record(self.run.folder, step, "out of memory", parts=progress.parts)
        if progress.spike is not None:
            self._spiked(progress.spike)
            if settings.on_spike == "rewind":
                back = rewind(self.run.folder, self.state, self.objective, log, progress.spike)
                return Event(progress, rewound=back)
        event, last = measured(self.run, self.state, self.splits, progress), step == settings.steps
        drawn = due(step, settings.figures_every)
        log.add(event, last or drawn or due(step, settings.log_every))
        if drawn:
            event = event.with_files(*save_progress(self.run, self.state, self.splits.test))
        if progress.skipped:
            record(self.run.folder, step, "skipped", bad=progress.skipped.bad, in_a_row=self.state.skips)
        asked = signals.save or signals.stop is not None
        if last or asked or due(step, settings.checkpoint_every):
            signals.save = False
            event = event.with_files(self._save(log))
        log.show(event)
        if len(self.splits.skipped) > self.listed:
            self.listed = save_skipped(self.run.folder, self.splits.skipped)
        return event

    def _spiked(self, spike: SpikeError) -> None:
        """Write down that there was one."""
        found = {"loss": spike.loss, "median": spike.median, "limit": spike.limit}
        record(self.run.folder, spike.step + 1, "spike", **found, done=self.settings.on_spike)

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

    def _tracker(self) -> Tracker | None:
        """The tracker of the recipe, begun."""
        name, recipe = self.settings.tracker, self.run.recipe.describe()
        return None if name is None else TRACKERS[name](self.run.folder, self.state.step, recipe)

    def _labels(self) -> LabelBatches | None:
        """The labels of the batches, if the model is to know them."""
        labels, settings, recipe = self.splits.train_labels, self.settings, self.run.recipe
        if labels is None or not recipe["conditional"]:
            return None
        return LabelBatches(labels, settings.batch, recipe["seed"], settings.label_dropout)

    def _save(self, log: Log) -> Path:
        """A checkpoint of the moment, and the log's rows before it."""
        state, recipe = self.state, self.run.recipe
        other = {"settings": asdict(self.settings), "recipe": recipe.describe(), **state.notes()}
        other |= {"times": self.objective.times.state(), "pending": log.losses}
        now = checkpoint.Checkpoint(state.step, **state.groups(), state=other, origin=self.origin)
        log.sync()
        root, keep = self.run.folder / "checkpoints", self.settings.keep
        return checkpoint.save(root, now, keep, held(state.step, self.settings))
