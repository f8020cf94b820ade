"""A run while it trains: a folder, the loop, and what is written on the way.

`Experiment.create` checks a recipe, looks at the data and writes recipe.yaml and run.json; `Experiment.open`
continues from the newest checkpoint. `Experiment.train` yields an event a step, and logs, samples, evaluates,
draws and saves as often as the recipe says.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from undiffuse import plots
from undiffuse.data import Space, Splits
from undiffuse.files import write_json, write_text
from undiffuse.random import digest, keyed
from undiffuse.recipes.evaluation import Evaluation, evaluate
from undiffuse.recipes.facts import check_same, facts_of, read_facts
from undiffuse.recipes.figures import save_schedule
from undiffuse.recipes.loading import run_of
from undiffuse.recipes.log import Event, Log, read_metrics
from undiffuse.recipes.output import save_npy, save_picture
from undiffuse.recipes.parts import RecipeError
from undiffuse.recipes.progress import save_progress
from undiffuse.recipes.reading import read
from undiffuse.recipes.recipe import Plan, load_data
from undiffuse.recipes.run import Run
from undiffuse.training import (
    Batches,
    LabelBatches,
    Progress,
    Settings,
    State,
    checkpoint,
    restore,
    state_of,
    train,
)

SHOWN = 64  # samples in a picture made while training


class Experiment:
    """A run in training. `run` of it is what a loaded run would be, with the weights of the moment."""

    def __init__(self, run: Run, splits: Splits, state: State) -> None:
        self.run, self.splits, self.state = run, splits, state
        self.settings: Settings = state.settings
        self.objective = run.recipe.objective(run.model.kernel)

    @classmethod
    def create(
        cls, folder: str | Path, node: dict[str, Any], device: torch.device | str = "cpu"
    ) -> "Experiment":
        """Check a recipe, look at the data, and begin a run in a new or empty folder.

        Raises RecipeError for the recipe, FileExistsError for a folder in use, and what the data raise.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder}: not an empty folder; choose another, or resume it")
        plan = Plan(absolute(node))
        splits = load_data(plan)
        space = plan.space(splits)  # first: what the data are decides what else fits
        _check(plan, splits, space)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "recipe.yaml", yaml.safe_dump(plan.describe(), sort_keys=False))
        facts = facts_of(splits, space)
        write_json(folder / "run.json", facts)
        return cls._built(folder, plan, facts, splits, device)

    @classmethod
    def open(cls, folder: str | Path, device: torch.device | str = "cpu") -> "Experiment":
        """A run that was begun, from its newest checkpoint on if it has one."""
        folder = Path(folder)
        facts, plan = read_facts(folder), Plan(read(str(folder / "recipe.yaml")))
        splits = load_data(plan)
        check_same(facts, splits, folder)
        return cls._built(folder, plan, facts, splits, device)

    @classmethod
    def _built(
        cls,
        folder: Path,
        plan: Plan,
        facts: dict[str, Any],
        splits: Splits,
        device: torch.device | str,
    ) -> "Experiment":
        """Everything in place to train."""
        settings: Settings = plan["train"].build()
        with torch.random.fork_rng([]):
            torch.manual_seed(digest(plan["seed"], "weights") % 2**63)
            model = plan.denoiser(splits.shape, splits.levels, splits.classes).to(device)
        if settings.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        state, times = State(model, settings), {}
        if checkpoint.steps(folder / "checkpoints"):
            saved = checkpoint.load(checkpoint.latest(folder / "checkpoints"), device)
            _restore(state, saved)
            times = saved.state["times"]
        if settings.compile:
            model.network.compile()
        begun = cls(run_of(folder, plan, model, facts, state.step), splits, state)
        if times:
            begun.objective.times.restore(times)
        return begun

    def train(self) -> Iterator[Event]:
        """Train to the end, yielding after every step; a last checkpoint and figures at the end.

        Raises FloatingPointError if the loss is not finite; the newest checkpoint stays.
        """
        run, settings, seed = self.run, self.settings, self.run.recipe["seed"]
        batches = Batches(self.splits.train, run.space.encode, settings.batch, seed, settings.flips)
        log = Log(run.folder / "metrics.jsonl", self.state.step)
        for progress in train(self.state, batches, self.objective, seed, self._labels()):
            event, last = self._measured(progress), progress.step == settings.steps
            drawn = _due(progress.step, settings.figures_every)
            log.add(event, last or drawn or _due(progress.step, settings.log_every))
            if drawn:
                event = replace(
                    event, files=(*event.files, *save_progress(run, self.state, self.splits.test))
                )
            if last or _due(progress.step, settings.checkpoint_every):  # the log is never behind a checkpoint
                event = replace(event, files=(*event.files, self._save()))
            yield event
        plots.save_training(read_metrics(run.folder), run.folder / "curves.png")
        save_schedule(run, run.folder / "schedule.png")

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
            event = replace(event, files=(*event.files, self._sample(step)))
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

    def _save(self) -> Path:
        state = self.state
        weights = {name: p.detach() for name, p in state.model.named_parameters()}
        optimizer = state_of(state.optimizer, state.model)
        other = {"settings": asdict(self.settings), "times": self.objective.times.state()}
        now = checkpoint.Checkpoint(state.step, weights, state.ema.average, optimizer, other)
        return checkpoint.save(self.run.folder / "checkpoints", now, self.settings.keep)


def _restore(state: State, saved: checkpoint.Checkpoint) -> None:
    shapes = {name: p.shape for name, p in state.model.named_parameters()}
    other = shapes.items() ^ {name: w.shape for name, w in saved.weights.items()}.items()
    if other:
        raise ValueError(f"the checkpoint is of another model: {min(other)[0]} differs")
    with torch.no_grad():
        for name, parameter in state.model.named_parameters():
            parameter.copy_(saved.weights[name])
            state.ema.average[name].copy_(saved.average[name])
    restore(state.optimizer, state.model, saved.optimizer)
    state.step = saved.step


def _check(plan: Plan, splits: Splits, space: Space) -> None:
    """Build every part, and let one example through: what does not fit says so before anything is written."""
    settings: Settings = plan["train"].build()
    if settings.evaluate_every and len(splits.test) < 2:
        raise RecipeError(
            f"train.evaluate_every={settings.evaluate_every}: a standard error needs two test examples, "
            "there is 1; raise data.test, or set train.evaluate_every=0"
        )
    model = plan.denoiser(splits.shape, splits.levels, splits.classes).eval()
    plan["sampler"].build().check(model)
    batches = Batches(splits.train, space.encode, 1, plan["seed"], settings.flips)
    with torch.no_grad():
        plan.objective(model.kernel)(model, batches(0), keyed(plan["seed"], "check"))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def absolute(node: dict[str, Any]) -> dict[str, Any]:
    """The recipe with data.path made absolute, so that the run can be continued from anywhere."""
    data = node.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        return node | {"data": data | {"path": str(Path(data["path"]).expanduser().absolute())}}
    return node
