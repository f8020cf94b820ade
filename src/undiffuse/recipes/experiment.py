"""A run while it trains: a folder, the loop, and what is written on the way.

`create` checks a recipe, looks at the data and writes recipe.yaml and run.json. `Experiment.open` builds
everything and continues from the newest checkpoint if there is one. `Experiment.train` yields an event a
step, and logs, samples, evaluates and saves as often as the recipe says.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from undiffuse import __version__, plots
from undiffuse.data import Splits
from undiffuse.files import write_json, write_text
from undiffuse.random import digest, keyed
from undiffuse.recipes.evaluation import Evaluation, evaluate
from undiffuse.recipes.figures import save_schedule
from undiffuse.recipes.log import Event, Log, read_metrics
from undiffuse.recipes.output import save_npy, save_picture
from undiffuse.recipes.parts import RecipeError
from undiffuse.recipes.progress import save_progress
from undiffuse.recipes.reading import read
from undiffuse.recipes.recipe import Plan, load_data
from undiffuse.recipes.run import FORMAT, Run, read_facts, run_of, shades
from undiffuse.training import (
    Batches,
    Progress,
    Settings,
    State,
    checkpoint,
    restore,
    state_of,
    train,
)

SHOWN = 64  # samples in a picture made while training


def create(folder: str | Path, node: dict[str, Any]) -> Path:
    """Start a run in a new or empty folder; returns it.

    Raises RecipeError for the recipe, FileExistsError for a folder in use, and what the data raise.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder; choose another, or resume it")
    plan = Plan(_absolute(node))
    splits = load_data(plan)
    space = plan.space(splits)  # first: what the data are decides what else fits
    _check(plan, splits)
    facts = {
        "format": FORMAT,
        "version": __version__,
        "shape": list(splits.shape),
        "levels": splits.levels,
        "examples": {"train": len(splits.train), "test": len(splits.test)},
        "space": space.state(),
        "shades": shades(splits),
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(plan.describe(), sort_keys=False)
    write_text(folder / "recipe.yaml", text)
    write_json(folder / "run.json", facts)
    return folder


class Experiment:
    """A run in training. `run` of it is what a loaded run would be, with the weights of the moment."""

    def __init__(self, run: Run, splits: Splits, state: State) -> None:
        self.run, self.splits, self.state = run, splits, state
        self.settings: Settings = state.settings

    @classmethod
    def open(cls, folder: str | Path, device: torch.device | str = "cpu") -> "Experiment":
        """Everything in place to train; from the newest checkpoint on if the folder has one."""
        folder = Path(folder)
        facts, plan = read_facts(folder), Plan(read(str(folder / "recipe.yaml")))
        splits = load_data(plan)
        _check_same(facts, splits, folder)
        settings: Settings = plan["train"].build()
        with torch.random.fork_rng([]):
            torch.manual_seed(digest(plan["seed"], "weights") % 2**63)
            model = plan.denoiser(splits.shape, splits.levels).to(device)
        if settings.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        state = State(model, settings)
        if checkpoint.steps(folder / "checkpoints"):
            _restore(state, checkpoint.load(checkpoint.latest(folder / "checkpoints"), device))
        if settings.compile:
            model.network.compile()
        run = run_of(folder, plan, model, facts, state.step)
        return cls(run, splits, state)

    def train(self) -> Iterator[Event]:
        """Train to the end, yielding after every step; a last checkpoint and figures at the end.

        Raises FloatingPointError if the loss is not finite; the newest checkpoint stays.
        """
        run, settings, seed = self.run, self.settings, self.run.recipe["seed"]
        batches = Batches(self.splits.train, run.space.encode, settings.batch, seed, settings.flips)
        log = Log(run.folder / "metrics.jsonl", self.state.step)
        for progress in train(self.state, batches, run.recipe.objective(run.model), seed):
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

    def _measured(self, progress: Progress) -> Event:
        """The test bound and the samples that are due after a step."""
        event, step, settings = Event(progress), progress.step, self.settings
        if _due(step, settings.evaluate_every):
            event = replace(event, test=self._evaluate())
        if _due(step, settings.sample_every):
            event = replace(event, files=(*event.files, self._sample(step)))
        return event

    def _evaluate(self) -> Evaluation:
        count = self.settings.evaluate_examples
        with self._averaged():
            return evaluate(self.run, self.splits.test[:count], terms=self.settings.evaluate_terms)

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
        now = checkpoint.Checkpoint(
            state.step, weights, state.ema.average, optimizer, {"settings": asdict(self.settings)}
        )
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


def _check(plan: Plan, splits: Splits) -> None:
    """Build every part, and let one example through: what does not fit says so before anything is written."""
    settings: Settings = plan["train"].build()
    if settings.evaluate_every and len(splits.test) < 2:
        raise RecipeError(
            f"train.evaluate_every={settings.evaluate_every}: a standard error needs two test examples, "
            "there is 1; raise data.test, or set train.evaluate_every=0"
        )
    model = plan.denoiser(splits.shape, splits.levels).eval()
    plan["sampler"].build().check(model)
    batches = Batches(splits.train, plan.space(splits).encode, 1, plan["seed"], settings.flips)
    with torch.no_grad():
        plan.objective(model)(model, batches(0), keyed(plan["seed"], "check"))


def _check_same(facts: dict[str, Any], splits: Splits, folder: Path) -> None:
    """Raise ValueError if the data are not those that run.json describes."""
    examples = {"train": len(splits.train), "test": len(splits.test)}
    then = (facts["examples"], tuple(facts["shape"]), facts["levels"])
    now = (examples, splits.shape, splits.levels)
    if then != now:
        words = "{0[train]:,} + {0[test]:,} examples of shape {1}, levels {2}"
        raise ValueError(
            f"{folder}: the data are no longer those the run began with: {words.format(*now)}, not "
            f"{words.format(*then)}"
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _absolute(node: dict[str, Any]) -> dict[str, Any]:
    """The recipe with data.path made absolute, so that the run can be continued from anywhere."""
    data = node.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        return node | {"data": data | {"path": str(Path(data["path"]).expanduser().absolute())}}
    return node
