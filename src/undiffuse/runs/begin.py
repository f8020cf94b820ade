"""How a run begins, and how it goes on: its folder, its one writer, its recipe and its data."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from undiffuse.bases import Base
from undiffuse.data import Space, Splits
from undiffuse.diffusion.bases import FILE, fit_bases, save_bases
from undiffuse.enclosure import enclose, names
from undiffuse.files import read_bytes, sweep, write_json, write_text
from undiffuse.jsonfile import check
from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.random import keyed
from undiffuse.recipes.parts import RecipeError
from undiffuse.recipes.reading import LARGEST, override, read
from undiffuse.recipes.recipe import Recipe, kinds_of, load_data, source_of
from undiffuse.runs.datafiles import LIST, files_of, save_files
from undiffuse.runs.facts import facts_of
from undiffuse.tensorfile import TENSORS
from undiffuse.trackers import TRACKERS
from undiffuse.training import Batches, Lock, Settings, State, check_shard, placed, restore, watch
from undiffuse.training.checkpoint import Checkpoint
from undiffuse.version import __version__

NOTHING = object()
GIVEN = ("data.npy", "data.npz")  # data that had no file of their own
HALF = re.compile(r"\.(recipe\.yaml|data\.json|run\.json)\.[0-9a-f-]+\.tmp")  # half written by a start
LIKE = {  # what a state.json must hold
    "times": {},
    "pending": [0.0],
    "losses": [0.0],
    "scaling": {"scale": 1.0, "clean": 1, "overflows": 1},
    **dict.fromkeys(("skips", "rewinds", "detour"), 1),
    "watch": (watch.LIKE, None),
}
OWED = {  # and may hold, of a step that is still to be measured
    "step": 1,
    **dict.fromkeys(("loss", "grad_norm", "loss_scale"), (0.0, None)),
    "lr": 0.0,
    "seconds": 0.0,
    "taken": True,
    "overflows": 1,
}
FREE = (  # keys that do not change what is learned, up to rounding: a run may go on with others
    *("about", "data.path", "data.memory", "data.workers", "data.skip_bad", "sampler", "evaluate_terms"),
    *("train.steps", "train.accumulate", "train.halve_on_oom", "train.keep", "train.checkpoint_every"),
    *("train.log_every", "train.sample_every", "train.sample_steps", "train.figures_every"),
    *("train.evaluate_every", "train.evaluate_examples", "train.evaluate_terms", "train.non_finite"),
    *("train.skip_limit", "train.spike", "train.on_spike", "train.rewind_limit", "train.tracker"),
    "train.shard",
    "train.patience",
)


def begun(folder: Path) -> bool:
    """Whether there is a run; run.json is the last of what a new one writes."""
    enclose(folder)
    return "run.json" in names(folder)


def tidy(folder: Path) -> None:
    """Remove what killed processes left half written beside the checkpoints: logs, figures, evaluations."""
    sweep(folder)
    for part in ("samples", "figures"):
        sweep(folder / part, below=1)


def begin(folder: Path, plan: Recipe, processes: int = 1, network: nn.Module | None = None) -> Lock:
    """Look at the data, build every part, then write recipe.yaml, data.json and run.json.

    Returns the run's lock. Raises what does not fit before anything is written, FileExistsError for a folder
    in use, BusyError.
    """
    _check_unused(folder, plan)
    splits, files = load_data(plan), files_of(source_of(plan))
    space = plan.space(splits)  # first: what the data are decides what else fits
    symbols = plan["kernel"].build().symbols is not None
    bases = fit_bases(plan.base_kind(splits.shape), splits, space, symbols, plan["seed"])
    _check(plan, splits, space, processes, bases.model, network)
    tracker = plan["train"].build().tracker
    if tracker is not None:
        TRACKERS[tracker].ready(folder)
    facts = facts_of(splits, space, files)
    lock = Lock(folder)
    if not begun(folder):  # another process may have been here since
        write_recipe(folder, plan)
        save_files(folder, files)
        write_json(folder / "run.json", facts | {"bases": save_bases(folder, bases)})
    return lock


def check_recipe(folder: Path, plan: Recipe) -> None:
    """Raise FileExistsError naming the keys in which the recipe differs from that of the run in the
    folder.
    """
    other = differences(Recipe(read(str(folder / "recipe.yaml"))).describe(), plan.describe())
    if other:
        raise FileExistsError(
            f"{folder}: a run of another recipe ({', '.join(other)}); choose another folder, or "
            f"continue that "
            f"run: undiffuse train --resume {folder}"
        )


def with_changes(folder: Path, changes: Sequence[str]) -> Recipe:
    """The recipe of a run, with other values of keys that are free to change.

    Raises RecipeError for a key that is not, or a value that cannot be.
    """
    now = Recipe(read(str(folder / "recipe.yaml")))
    if not changes:
        return now
    before = now.describe()
    after = Recipe(absolute(override(before, list(changes))))
    bound = [each for each in differences(before, after.describe()) if _binding(each)]
    if bound:
        raise RecipeError(
            f"{', '.join(bound)}: a run that has begun keeps this; start a new one, or change what is free: "
            "train.steps, data.path, how often it reports and the like"
        )
    return after


def write_recipe(folder: Path, plan: Recipe) -> None:
    """recipe.yaml, every default written out."""
    write_text(folder / "recipe.yaml", _text(plan))


def check_origin(folder: Path, plan: Recipe, saved: Checkpoint) -> None:
    """Raise ValueError if recipe.yaml asks for another model or training than the checkpoint's."""
    if saved.origin.get("recipe") == recipe_hash(plan):
        return
    other = [each for each in differences(saved.state["recipe"], plan.describe()) if _binding(each)]
    raise ValueError(
        f"{folder / 'recipe.yaml'}: changed since step {saved.step:,} ({', '.join(other)}); undo that, "
        f"or start "
        "a new run"
    )


def first_checkpoint(plan: Recipe, model: Denoiser) -> Checkpoint:
    """That of step 0, with the model's weights, as a run has it that begins with weights from elsewhere."""
    settings: Settings = plan["train"].build()
    weights = {name: p.detach().cpu() for name, p in model.named_parameters()}
    state = {"settings": asdict(settings), "recipe": plan.describe(), "times": {}, "pending": []}
    state |= State(deepcopy(model).requires_grad_(True), settings).notes()
    return Checkpoint(0, weights, weights, {}, state, {"recipe": recipe_hash(plan)})


def check_empty(out: Path) -> None:
    """Raise FileExistsError unless there is nothing, or an empty folder."""
    if out.exists() and (not out.is_dir() or names(out)):
        raise FileExistsError(f"{out}: not an empty folder; choose another")


def changes_since(saved: Checkpoint, plan: Recipe) -> tuple[list[str], list[str]]:
    """The free keys that were changed since the checkpoint, and a warning if they bend the learning rate."""
    then, now = saved.state["recipe"], plan.describe()
    found, steps = differences(then, now), (now["train"]["steps"], then["train"]["steps"])
    if now["train"]["decay"] == "constant" or steps[0] == steps[1]:
        return found, []
    text = (
        f"train.steps={steps[0]}, was {steps[1]}: from step {saved.step:,} on the learning rate falls on "
        "another curve, so that this is neither run from its start"
    )
    return found, [text]


def other_version(saved: Checkpoint | None, facts: dict[str, Any]) -> list[str]:
    """A warning if another version of the package wrote the checkpoint, or began a run that has none yet."""
    began = facts.get("version")
    then = began if saved is None else saved.origin.get("version", began)
    if then in (None, __version__):
        return []
    return [f"undiffuse {__version__} goes on with what {then} wrote: it may compute otherwise"]


def recipe_hash(plan: Recipe) -> str:
    """SHA-256 of every key that is not free to change."""
    keys = {key: value for key, value in _leaves(plan.describe(), "") if _binding(key)}
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """`key=now, was then` for every key in which recipe b differs from a."""
    then, now = dict(_leaves(a, "")), dict(_leaves(b, ""))
    return [
        f"{key}={_said(now.get(key, NOTHING))}, was {_said(then.get(key, NOTHING))}"
        for key in [*then, *(key for key in now if key not in then)]
        if then.get(key, NOTHING) != now.get(key, NOTHING)
    ]


def put_back(state: State, saved: Checkpoint, objective: Objective) -> None:
    """The training state of a checkpoint, and what the objective has learned.

    Raises ValueError for one of another model.
    """
    try:
        check(saved.state, LIKE)
        if saved.state.get("owed") is not None:
            check(saved.state["owed"], OWED)
    except ValueError as error:
        raise ValueError(f"state.json of step {saved.step:,}: damaged, {error}") from error
    shapes = {name: p.shape for name, p in state.model.named_parameters()}
    for group in (saved.weights, saved.average, saved.best or saved.average):
        other = shapes.items() ^ {name: w.shape for name, w in group.items()}.items()
        if other:
            raise ValueError(f"the checkpoint is of another model: {min(other)[0]} differs")
    with torch.no_grad():
        for name, parameter in state.model.named_parameters():
            parameter.copy_(placed(saved.weights[name], parameter))
            state.ema.average[name].copy_(placed(saved.average[name], parameter))
    restore(state.optimizer, state.model, saved.optimizer)
    kept = {name: placed(w, saved.weights[name]) for name, w in saved.best.items()}
    state.put_back(saved.step, saved.state, kept)
    if saved.state["times"]:
        objective.times.restore(saved.state["times"])


def absolute(node: dict[str, Any]) -> dict[str, Any]:
    """The recipe with the paths of data and conditions absolute, so that the run goes on from anywhere."""
    found = {key: _placed(each) if key == "data" else each for key, each in node.items()}
    given = node.get("condition")
    if isinstance(given, dict):
        named = _placed(given) if "kind" in given else {name: _placed(each) for name, each in given.items()}
        found["condition"] = named
    return found


def _placed(node: Any) -> Any:
    if isinstance(node, dict) and isinstance(node.get("path"), str):
        return node | {"path": str(Path(node["path"]).expanduser().absolute())}
    return node


def _text(plan: Recipe) -> str:
    return yaml.safe_dump(plan.describe(), sort_keys=False)


def _check_unused(folder: Path, plan: Recipe) -> None:
    """Raise FileExistsError unless the folder is empty, or holds what an interrupted start of this left."""
    used = FileExistsError(f"{folder}: not an empty folder; choose another, or resume it")
    if folder.exists() and not folder.is_dir():
        raise used
    for name in names(folder):
        if not _own(folder / name, plan):
            if begun(folder):  # by another process, a moment ago: the lock will tell
                return
            raise used


def _own(file: Path, plan: Recipe) -> bool:
    """Whether an interrupted start of this left the file."""
    if file.name in GIVEN:  # by who begins it
        return True
    if file.name in (LIST, FILE):  # written after the recipe
        file = file.with_name("recipe.yaml")
    if file.name == "recipe.yaml":
        return _read(file) == _text(plan).encode()
    if file.name == ".lock":
        return re.match(rb'{"pid": |$', _read(file) or b"") is not None
    return HALF.fullmatch(file.name) is not None and file.is_file()


def _read(file: Path) -> bytes | None:
    """The file's bytes, if there is one."""
    try:
        return read_bytes(file, LARGEST)
    except FileNotFoundError:
        return None


def _check(
    plan: Recipe,
    splits: Splits,
    space: Space,
    processes: int,
    base: Base | None,
    network: nn.Module | None,
) -> None:
    """Build every part, and let one example through: what does not fit says so before anything is written."""
    settings: Settings = plan["train"].build()
    settings.check_processes(processes)
    if settings.evaluate_every and len(splits.test) < 2:
        raise RecipeError(
            f"train.evaluate_every={settings.evaluate_every}: a standard error needs two test examples, "
            "there is 1; raise data.test, or set train.evaluate_every=0"
        )
    model = plan.denoiser(
        splits.shape, splits.levels, kinds_of(splits), base, len(splits.train), network
    ).eval()
    if 3 * len(list(model.parameters())) > TENSORS:
        raise RecipeError(f"network: more than {TENSORS // 3:,} tensors of weights, no checkpoint holds them")
    plan["sampler"].build().check(model)
    Batches(splits.train, space.encode, 1, plan["seed"], settings.flips)  # refuses flips of what is no image
    objective = plan.objective(model.kernel)
    if settings.shard and processes > 1:
        check_shard(model, objective, settings.optimizer)
    raw, given = splits.examples("train", slice(1))  # read here: no worker is started for it
    with torch.no_grad():
        objective(model.told(given), space.encode(raw), keyed(plan["seed"], "check"))


def _binding(key: str) -> bool:
    """Whether a key, or a difference in it, is one that a run may not go on with."""
    name = key.partition("=")[0]
    if name.startswith("condition.") and name.endswith(".path"):
        return False
    return not any(name == free or name.startswith(f"{free}.") for free in FREE)


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(dotted key, plain value) of a described recipe."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _said(value: Any) -> str:
    return "absent" if value is NOTHING else str(value)[:60]
