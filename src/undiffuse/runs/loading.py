"""A run from its folder: recipe.yaml, run.json and the newest checkpoint's averaged weights."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.data import space_from
from undiffuse.devices import moved
from undiffuse.diffusion.bases import Bases, read_bases
from undiffuse.model import Denoiser
from undiffuse.recipes.reading import override, read
from undiffuse.recipes.recipe import Recipe
from undiffuse.runs.facts import conditions_in, read_facts
from undiffuse.runs.run import Run
from undiffuse.runs.walking import read_walks
from undiffuse.training import checkpoint

LOG = logging.getLogger(__name__)


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    *,
    saved: str | Path | None = None,
    network: nn.Module | None = None,
    data: str | Path | None = None,
) -> Run:
    """The run in this folder, ready to sample and evaluate.

    The weights are the newest checkpoint's, or those `saved` in the folder of another: the averaged ones, or
    where examples were watched while it trained the best ones seen, of step `kept`.

    A run of a `network` of the user's own is given that, of the same class and sizes. `data` says where its
    data are now, if they were moved.

    Raises FileNotFoundError if there is no run or no checkpoint yet, ValueError if a file is damaged.
    """
    folder = Path(folder)  # which `read_facts` encloses
    facts = read_facts(folder)
    changes = [] if data is None else [f"data.path={json.dumps(str(data), ensure_ascii=False)}"]
    plan = Recipe(override(read(str(folder / "recipe.yaml")), changes))
    shape, levels = tuple(facts["shape"]), facts["levels"]
    bases = read_bases(folder, facts)
    examples = facts["examples"]["train"]
    model = plan.denoiser(shape, levels, conditions_in(facts), bases.model, examples, network)
    if saved is None:
        newest, (weights, kept) = _newest(folder / "checkpoints")
    else:
        newest, (weights, kept) = Path(saved), checkpoint.load_best(Path(saved))
    try:
        model.load_state_dict(weights | _buffers(model), strict=True)
    except RuntimeError as error:
        raise ValueError(f"{newest}: not the weights of the model in {folder / 'recipe.yaml'}") from error
    moved(model, torch.device(device)).eval().requires_grad_(False)
    LOG.info("run: %s, the weights of step %d in %s", folder, kept, newest)
    step = int(newest.name.removeprefix("step-"))
    run = run_of(folder, plan, model, facts, step, bases).replace(kept=kept)
    return run.replace(walks=read_walks(run))


def _newest(root: Path) -> tuple[Path, tuple[dict[str, Tensor], int]]:
    """The newest checkpoint and its weights; the next one's, if a training removed it meanwhile."""
    newest = checkpoint.latest(root)
    while True:
        try:
            return newest, checkpoint.load_best(newest)
        except (ValueError, OSError):
            tried, newest = newest, checkpoint.latest(root)
            if newest == tried:
                raise


def run_of(
    folder: Path, plan: Recipe, model: Denoiser, facts: dict[str, Any], step: int, bases: Bases
) -> Run:
    """The run of this model, with what run.json says of its data."""
    shape, shades, space = tuple(facts["shape"]), tuple(facts["shades"]), space_from(facts["space"])
    return Run(folder, plan, model, space, shape, step=step, shades=shades, bases=bases)


def _buffers(model: Denoiser) -> dict[str, Tensor]:
    """Persistent buffers, which no training changes."""
    return {name: b for name, b in model.named_buffers() if name in model.state_dict()}
