"""How a run in training begins, or goes on: what `TrainingRun` needs, found or made.

`Experiment.create` checks a recipe, looks at the data and writes recipe.yaml and run.json; `Experiment.open`
continues from the newest whole checkpoint. Both are the run's one writer, until they are forgotten.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from undiffuse.data import Fingerprint, Splits
from undiffuse.devices import moved
from undiffuse.diffusion.bases import read_bases
from undiffuse.jsonfile import intact
from undiffuse.processes import ALONE, Processes
from undiffuse.random import digest
from undiffuse.recipes.recipe import Recipe
from undiffuse.runs.begin import (
    absolute,
    begin,
    begun,
    changes_since,
    check_origin,
    check_recipe,
    other_version,
    put_back,
    recipe_hash,
    tidy,
    with_changes,
    write_recipe,
)
from undiffuse.runs.datafiles import accept, load_same
from undiffuse.runs.facts import conditions_in, content, read_facts
from undiffuse.runs.loading import run_of
from undiffuse.runs.log import record
from undiffuse.runs.rounding import same_precision, same_rounding
from undiffuse.runs.training_run import TrainingRun
from undiffuse.training import Lock, Settings, State, checkpoint, fingerprint, recover_together, shard
from undiffuse.version import __version__


class Experiment(TrainingRun):
    """A run in training, begun or gone on with."""

    @classmethod
    def create(
        cls,
        folder: str | Path,
        node: dict[str, Any],
        device: torch.device | str = "cpu",
        *,
        processes: Processes = ALONE,
        **how: Any,
    ) -> "Experiment":
        """Check a recipe and begin a run in a new or empty folder; or go on with one of the same recipe.

        Raises RecipeError for the recipe, FileExistsError for a folder in use or a run of another recipe, and
        what `open` raises.
        """
        folder, plan, locks = Path(folder), Recipe(absolute(node)), []

        def start() -> None:
            locks.append(
                Lock(folder) if begun(folder) else begin(folder, plan, processes.size, how.get("network"))
            )
            check_recipe(folder, plan)

        processes.lead(start)
        return cls.open(folder, device, *locks, processes=processes, **how)

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
        network: nn.Module | None = None,
        changes: Sequence[str] = (),
        processes: Processes = ALONE,
    ) -> "Experiment":
        """A run that was begun, from its newest whole checkpoint on, with as many threads as then.

        A recipe of the user's own `network` is given that. `changes`, such as "train.steps=3000", are written
        into its recipe, if they are free. `until`: checkpoints after that step are left alone. Of several
        `processes` the first has the lock, chooses the checkpoint and writes; all call this.

        Raises BusyError if another process trains it, ValueError for other data (unless `other_data`), for
        another recipe than the checkpoint's, if no checkpoint is whole, and with `exact` if this machine
        rounds otherwise. What it puts up with is written to events.jsonl, and is in `warnings`; keys of the
        recipe that have changed, and may, are written there alone.
        """
        folder = Path(folder)
        facts = read_facts(folder)
        root, locks = folder / "checkpoints", [lock] if lock is not None else []

        def start() -> None:
            locks.extend([] if locks else [Lock(folder)])
            tidy(folder)

        try:
            processes.lead(start)
            plan = with_changes(folder, changes)
            split = plan["train"].build().shard and processes.size > 1
            saved, warnings = recover_together(processes, root, "cpu" if split else device, until)
            splits, files, changed = load_same(folder, plan, facts, other_data)
            facts |= content(splits, files) if changed else {}
            warnings += splits.advice if saved is None else ()
            warnings += [f"the data have changed since the run began: {changed}"] if changed else []
            warnings += other_version(saved, facts)
            keys: list[str] = []
            if saved is not None:
                with intact(checkpoint.path_of(root, saved.step)):
                    check_origin(folder, plan, saved)
                    keys, bent = changes_since(saved, plan)
                    warnings += bent + same_rounding(saved, device, exact, processes.size)
            experiment = cls._built(folder, plan, facts, splits, device, saved, processes, exact, network)
        except BaseException:
            for held in locks:
                held.release()  # or it would last as long as the error's traceback
            raise
        experiment.lock = locks[0] if locks else None
        experiment.warnings = warnings + experiment.warnings
        if changes:
            processes.lead(lambda: write_recipe(folder, plan))
        processes.lead(lambda: experiment._note(keys, facts, files if changed else None))
        return experiment

    def _note(self, keys: list[str], facts: dict[str, Any], files: Fingerprint | None) -> None:
        """Write down what was put up with, keys of the recipe and data that have changed."""
        if keys:
            record(self.run.folder, self.state.step, "recipe", changed=keys)
        for warning in self.warnings:
            record(self.run.folder, self.state.step, "warning", text=warning)
        if files is not None:
            accept(self.run.folder, facts, files)

    @classmethod
    def _built(
        cls,
        folder: Path,
        plan: Recipe,
        facts: dict[str, Any],
        splits: Splits,
        device: torch.device | str,
        saved: checkpoint.Checkpoint | None,
        processes: Processes,
        exact: bool,
        network: nn.Module | None,
    ) -> "Experiment":
        """Everything in place to train."""
        settings: Settings = plan["train"].build()
        settings.check_processes(processes.size)
        with torch.random.fork_rng([]):
            torch.manual_seed(digest(plan["seed"], "weights") % 2**63)
            bases = read_bases(folder, facts)
            model = plan.denoiser(
                splits.shape,
                splits.levels,
                conditions_in(facts),
                bases.model,
                facts["examples"]["train"],
                network,
            )
        if settings.shard and processes.size > 1:
            shard(model, plan.objective(model.kernel), torch.device(device), settings.optimizer)
        moved(model, torch.device(device))
        if settings.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        name, network = settings.precision, model.network
        precision, warnings = same_precision(name, network, device, saved, processes, exact)
        state = State(model, settings, precision)
        if settings.compile:
            model.network.compile()
        run = run_of(folder, plan, model, facts, saved.step if saved else 0, bases)
        made = cls(run.replace(processes=processes), splits, state)
        made.warnings = warnings
        made.origin = {
            "recipe": recipe_hash(plan),
            "data": facts.get("sha256", ""),
            "numerics": fingerprint(device, processes.size),
            "version": __version__,
        }
        if saved is not None:
            with intact(checkpoint.path_of(folder / "checkpoints", saved.step) / "state.json"):
                put_back(state, saved, made.objective)
            made.pending, made.owed = saved.state["pending"], saved.state.get("owed")
        return made
