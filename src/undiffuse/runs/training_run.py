"""A run while it trains: the loop, and what is written on the way.

`TrainingRun.train` yields an event a step, and logs, samples, evaluates, draws and saves as often as the
recipe says. How it begins, or goes on, is `experiment`'s.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import plots
from undiffuse.data import Splits
from undiffuse.objectives import Distilled
from undiffuse.processes import ALONE, Processes
from undiffuse.runs import final
from undiffuse.runs.datafiles import save_skipped
from undiffuse.runs.distilling import Taught
from undiffuse.runs.figures import save_schedule
from undiffuse.runs.log import Event, Log, read_metrics, record
from undiffuse.runs.measuring import Leaving, averaged, due, kept, measured, noted, recalled
from undiffuse.runs.progress import save_monitors, save_samples, save_weights
from undiffuse.runs.rewind import held, rewind
from undiffuse.runs.run import Run
from undiffuse.tensors import dims
from undiffuse.trackers import TRACKERS, Tracker
from undiffuse.training import (
    Batches,
    Left,
    Lock,
    NonFiniteError,
    Pace,
    Progress,
    Settings,
    Signals,
    SpikeError,
    State,
    Stopped,
    checkpoint,
    train,
    whole,
)


class TrainingRun:
    """A run in training. `run` of it is what a loaded run would be, with the weights of the moment."""

    def __init__(self, run: Run, splits: Splits, state: State) -> None:
        self.run, self.splits, self.state = run, splits, state
        self.settings: Settings = state.settings
        self.objective = run.recipe.objective(run.model.kernel)
        if isinstance(self.objective, Distilled):
            if state.settings.shard and run.processes.size > 1:
                raise ValueError("train.shard=true: a teacher is whole on each process; leave it off")
            self.objective.teacher = Taught(run.folder, run.denoiser)
        self.lock: Lock | None = None
        self.warnings: list[str] = []
        self.origin: dict[str, Any] = {}  # of its checkpoints
        self.pending: list[float] = []  # losses since the log's last row
        self.pace = Pace()
        self.owed: dict[str, Any] | None = None  # the last step, if what is measured after it was left
        self.listed = 0  # pictures in skipped.txt by this start
        self.pictured = True  # whether figures are drawn at the end

    @property
    def processes(self) -> Processes:
        """Those that train it."""
        return self.run.processes

    def train(self, signals: Signals | None = None) -> Iterator[Event]:
        """Train to the end, yielding after every step; a last checkpoint and figures at the end.

        `signals` are looked at after every step: one to any of several processes is one to all. One process
        alone leaves a step, or what is measured after it, and whoever goes on does that again. Raises
        NonFiniteError with the command that repeats the step, Stopped after a signal, WriteError if the disk
        is full, LostError if another process is gone; the newest checkpoint stays in any case.
        """
        signals = Signals() if signals is None else signals
        begin, leads = self.state.step, self.processes.leads
        path, owed = self.run.folder / "metrics.jsonl", self._owed()
        log = Log(path, begin, self.pending, self._tracker() if leads else None, writes=leads)
        if begin == 0:
            self._look()  # before anything is learned
        if self.settings.on_spike == "rewind" or not self.settings.steps:
            self._save(log)  # or there may be none to go back to, or at all
        try:
            with self.processes.watched(self._again()):
                for progress in log.closing(self._all(owed, signals)):
                    signals.agree(self.processes.largest)
                    yield self._after(progress, log, signals)
                    self._obey(signals)
        except NonFiniteError as error:
            raise self._explained(error, log) from error
        except Left:
            self.objective.times.forget()
            self._save(log)
            signals.agree(self.processes.largest)
            self._obey(signals)
        if self.pictured:
            self._draw(begin < self.settings.steps or not self.settings.steps, signals)

    def close(self) -> None:
        """Let another process train the run."""
        if self.lock is not None:
            self.lock.release()

    def _obey(self, signals: Signals) -> None:
        if signals.stop is not None:
            raise Stopped(signals.stop, f"after step {self.state.step:,}: saved; {self._again()}")

    def _owed(self) -> list[Progress]:
        """The step that was left while it was measured, unless a later start has measured and logged it."""
        owed, self.owed = self.owed, None
        if owed is None:
            return []
        rows = read_metrics(self.run.folder) if (self.run.folder / "metrics.jsonl").exists() else []
        if any(row["step"] == self.state.step for row in rows):
            self.pending = []
            return []
        return [recalled(owed)]

    def _all(self, owed: list[Progress], signals: Signals) -> Iterator[Progress]:
        yield from owed
        for progress in self.steps(signals.leaving) if not self.ended else ():
            yield progress
            if self.ended:
                return

    def steps(self, leaving: Leaving = nullcontext) -> Iterator[Progress]:
        """The bare training steps, in memory alone; workers that read ahead end with them."""
        run, settings, seed = self.run, self.settings, self.run.recipe["seed"]
        batches = Batches(
            self.splits.train,
            run.space.encode,
            settings.batch,
            seed,
            settings.flips,
            self.processes.part(settings.batch),
            self.splits.conditions,
            settings.condition_dropout,
        )
        given, processes = batches.given, self.processes
        return batches.closing(train(self.state, batches, self.objective, seed, given, processes, leaving))

    def _after(self, progress: Progress, log: Log, signals: Signals) -> Event:
        """Everything that is due after a step; the log is never behind a checkpoint."""
        settings, step, leads = self.settings, progress.step, self.processes.leads
        if leads and progress.parts is not None:
            record(self.run.folder, step, "out of memory", parts=progress.parts)
        if progress.spike is not None:
            if leads:
                self._spiked(progress.spike)
            if settings.on_spike == "rewind":
                back = rewind(self.run, self.state, self.objective, log, progress.spike)
                return Event(progress, rewound=back)
        if progress.skipped and leads:
            record(self.run.folder, step, "skipped", bad=progress.skipped.bad, in_a_row=self.state.skips)
        event = replace(self._measured(progress, signals), notice=self.pace.add(progress.seconds))
        event = replace(event, watched=self._look(), notice=self._ends() or event.notice)
        last = step == settings.steps or self.ended
        drawn = due(step, settings.figures_every)
        log.add(event, last or drawn or due(step, settings.log_every))
        if drawn and leads:
            event = event.with_files(save_monitors(self.run))
        asked = signals.save or signals.stop is not None
        if last or asked or due(step, settings.checkpoint_every):
            event = event.with_files(*self._save(log))
            self._list_skipped()
        log.show(event)
        return event

    def _measured(self, progress: Progress, signals: Signals) -> Event:
        """The step with what is measured and drawn of it, which is owed if that is left for a signal.

        Not if the run may have to go back to the checkpoint of this step, which says how the log goes on.
        """
        alone: Leaving = signals.leaving
        together: Leaving = partial(signals.leaving, together=True)
        if self.settings.on_spike == "rewind":
            alone = together = nullcontext
        run = self.run.replace(processes=self.processes.stoppable(together))
        self.owed = noted(progress)
        files: list[Path] = []
        drawn = due(progress.step, self.settings.figures_every) and self.processes.leads
        if drawn:
            files += save_weights(self.run, progress.step)  # first: who goes on has no gradients
        event = measured(run, self.state, self.splits, progress, alone)
        if drawn:
            files += save_samples(self.run, self.state, self.splits, alone)
        self.owed = None
        return event.with_files(*files)

    @property
    def ended(self) -> bool:
        """Whether the examples that are watched have ended the training."""
        return self.state.watch is not None and self.state.watch.ended

    def beside(self) -> dict[str, float]:
        """Bits per dimension that models in closed form take of the examples that are watched, if any are."""
        raw, run = self.splits.watched, self.run
        if raw is None:
            return {}
        scale, means = dims(run.shape) * math.log(2), run.simple.mean(raw, run.space)
        return {name: nats / scale - run.shift for name, nats in means.items()}

    def _look(self) -> float | None:
        """Look at the examples that are watched, if that is due: their bits per dimension."""
        watch, step, examples = self.state.watch, self.state.step, self.splits.watched
        if watch is None or examples is None or watch.best >= step:
            return None
        if not watch.due(step) and step < self.settings.steps:
            return None
        bits = torch.tensor(self.processes.share(self.watched_bits(examples).tolist()), dtype=torch.float64)
        watch.look(step, bits, self.state.ema.average)
        return float(bits.mean())

    def watched_bits(self, examples: Tensor) -> Tensor:
        """Bits per dimension of the examples that are watched, by the averaged weights of the moment."""
        given = self.splits.given("watched", slice(None), examples)
        run = self.run.told(given).replace(processes=ALONE)
        with averaged(self.state):
            return run.bits(examples, terms=min(self.settings.evaluate_terms, len(run.grid)))

    def _ends(self) -> str | None:
        """What there is to say if the examples that are watched end the training."""
        watch = self.state.watch
        if watch is None or not watch.ended:
            return None
        return (
            f"ends after step {self.state.step:,}: in {watch.since} looks the {len(watch.bits)} examples "
            f"that are watched were not predicted better than before; the weights of step {watch.best:,} are "
            "kept (train.patience)"
        )

    def _list_skipped(self) -> None:
        """What any process could not read, as of a checkpoint."""
        skipped: dict[str, str] = {}
        for own in self.processes.collect(dict(self.splits.skipped)):
            skipped |= own
        if self.processes.leads and len(skipped) > self.listed:
            self.listed = save_skipped(self.run.folder, skipped)

    def _spiked(self, spike: SpikeError) -> None:
        """Write down that there was one."""
        found = {"loss": spike.loss, "median": spike.median, "limit": spike.limit}
        record(self.run.folder, spike.step + 1, "spike", **found, done=self.settings.on_spike)

    def _explained(self, error: NonFiniteError, log: Log) -> NonFiniteError:
        """The error with the command that repeats the step, from a checkpoint as close to it as can be."""
        if not error.state:
            self._save(log)
        again = f"undiffuse train --resume {self.run.folder} --replay {error.step}"
        return error.because(f"repeat that step with: {again}")

    def _again(self) -> str:
        return f"go on with: undiffuse train --resume {self.run.folder}"

    def _draw(self, trained: bool, signals: Signals) -> None:
        """The figures of a finished run, if they are not there; a signal leaves them to the next start."""
        try:
            if trained or not (self.run.folder / f"{final.NAME}.npy").exists():
                self._draw_samples(signals)
        except Left:
            signals.agree(self.processes.largest)
            self._obey(signals)
        if not self.processes.leads:
            return
        curves, schedule = (self.run.folder / name for name in ("curves.png", "schedule.png"))
        if self.settings.steps and (trained or not curves.exists()):
            plots.save_training(read_metrics(self.run.folder), curves)
        if trained or not schedule.exists():
            save_schedule(self.run, schedule)

    def _draw_samples(self, signals: Signals) -> None:
        """Samples of the weights that are kept, the best or the averaged ones, beside test examples."""
        state = self.state
        together: Leaving = partial(signals.leaving, together=True)
        run = self.run.replace(processes=self.processes.stoppable(together))
        count = final.count(run, self.splits)
        _, given = self.splits.examples("test", slice(count))
        with kept(state), together():
            steps = min(self.settings.sample_steps, len(run.grid))
            drawn = run.told(given).sample(count, seed=run.recipe["seed"], steps=steps)
        if self.processes.leads:
            final.save_final(run, drawn, self.splits, given)

    def _tracker(self) -> Tracker | None:
        """The tracker of the recipe, begun."""
        name, recipe = self.settings.tracker, self.run.recipe.describe()
        return None if name is None else TRACKERS[name](self.run.folder, self.state.step, recipe)

    def _save(self, log: Log) -> list[Path]:
        """A checkpoint of the moment, in whole tensors, after the log's rows; the first process writes it."""
        state, recipe = self.state, self.run.recipe
        leads = self.processes.leads
        found = state.groups() | {"best": {} if state.watch is None else state.watch.weights}
        groups = {name: {key: whole(t, leads) for key, t in each.items()} for name, each in found.items()}
        if not leads:
            return []
        other = {"settings": asdict(self.settings), "recipe": recipe.describe(), **state.notes()}
        other |= {"times": self.objective.times.state(), "pending": log.losses}
        other |= {} if self.owed is None else {"owed": self.owed}
        now = checkpoint.Checkpoint(state.step, **groups, state=other, origin=self.origin)
        log.sync()
        root, keep = self.run.folder / "checkpoints", self.settings.keep
        return [checkpoint.save(root, now, keep, held(state.step, self.settings))]
