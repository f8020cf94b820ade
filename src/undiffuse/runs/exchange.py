"""Runs to and from the folders of diffusers: what is exact goes over, the rest is refused by name.

An export is the network with its averaged weights, and the chain. What it leaves behind is our last step:
they end with the mean, we draw from the decoder. An import is a run at step 0, without data unless they are
named; its raw data are pictures of 256 levels in [-1, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from undiffuse import interop
from undiffuse.data import Fingerprint, Levels, Space, Splits
from undiffuse.files import folder as new_folder
from undiffuse.files import write_json, write_text
from undiffuse.interop import chain, chain_config, layers, unet_arguments, unet_config
from undiffuse.model import Denoiser
from undiffuse.networks import UNet
from undiffuse.recipes.parts import RecipeError
from undiffuse.recipes.reading import LARGEST, override
from undiffuse.recipes.recipe import Recipe, load_data, source_of
from undiffuse.runs.begin import absolute, check_empty, first_checkpoint
from undiffuse.runs.datafiles import files_of, save_files
from undiffuse.runs.facts import facts_of
from undiffuse.runs.run import Run
from undiffuse.training import checkpoint

FORMATS = ("diffusers",)
LEVELS = 256  # of pictures, where no data say otherwise
OWN = ("data", "train", "sampler", "decoder", "objective", "about", "seed", "evaluate_terms")


@dataclass(frozen=True)
class Imported:
    """What an import made: the new run's folder, the network's parameters, and what is to be said of it."""

    folder: Path
    parameters: int
    notes: tuple[str, ...]


def export_run(run: Run, path: str | Path) -> Path:
    """Write the run as a folder that `diffusers.DDPMPipeline.from_pretrained` loads.

    Raises ValueError naming the part that has no counterpart, FileExistsError for a folder in use.
    """
    if not isinstance(run.space, Levels):
        raise ValueError("the data are no levels: diffusers has no counterpart; its pictures are in [-1, 1]")
    net, path = run.denoiser.network, Path(path)
    scheduler = chain_config.config_of(run.denoiser, run.grid)
    unet = unet_config.config_of(net, run.shape, len(run.grid))
    assert isinstance(net, UNet)
    weights = layers.to_theirs(net, net.state_dict())
    first = "time_embedding.linear_1.weight"
    weights[first] = layers.counted(net, weights[first])
    interop.folder.write(path, unet, scheduler, weights)
    return path


def import_run(source: str | Path, out: str | Path, changes: list[str]) -> Imported:
    """Make a run of a diffusers folder; `changes` are overrides such as data.kind=images.

    Raises ValueError naming the key or the file that cannot be read, FileExistsError for an `out` in use.
    """
    source, out = Path(source), Path(out)
    check_empty(out)
    pipeline = interop.folder.read(source)
    found = chain.chain_of(pipeline.scheduler)
    network, shape, outputs = unet_arguments.arguments_of(interop.Config("unet", pipeline.unet), found.steps)
    if outputs != found.outputs:
        raise ValueError(
            f"unet: out_channels={outputs * shape[0]}: the scheduler's variance_type asks for "
            f"{found.outputs * shape[0]}"
        )
    about = f"imported from diffusers: {source.absolute().name}"
    plan = _plan({"about": about, "data": None, "network": network, **found.node}, changes)
    splits, space = _data(plan, shape)
    model = _model(plan, shape, splits.levels or LEVELS, pipeline.weights)
    files = {} if plan["data"] is None else files_of(source_of(plan))
    facts = facts_of(splits, space, files)
    if plan["data"] is None:
        facts["examples"] = {"train": 0, "test": 0}
    _write(out, plan, facts, files, model)
    return Imported(out, sum(p.numel() for p in model.parameters()), found.notes)


def _plan(node: dict[str, Any], changes: list[str]) -> Recipe:
    """The checked recipe; what the folder says cannot be changed."""
    for change in changes:
        head = change.partition("=")[0].partition(".")[0]
        if head not in OWN:
            raise RecipeError(f"{change}: an import takes only {', '.join(OWN)}; the folder says the rest")
    return Recipe(absolute(override(node, changes)))


def _data(plan: Recipe, shape: tuple[int, int, int]) -> tuple[Splits, Space]:
    """The data, which must be pictures such as the network's; black ones if there are none."""
    if plan["data"] is None:
        black = torch.zeros((1, *shape), dtype=torch.uint8)
        splits = Splits(black, black, LEVELS)
    else:
        splits = load_data(plan)
    if splits.shape != shape or splits.levels is None:
        kind = "continuous values" if splits.levels is None else f"{splits.levels} levels"
        raise ValueError(f"data: {splits.shape}, {kind}: the network is for levels of shape {shape}")
    return splits, plan.space(splits)


def _model(plan: Recipe, shape: tuple[int, int, int], levels: int, weights: Path) -> Denoiser:
    """The model with the file's weights; nothing of their size is made before the file is known to fit."""
    outputs = 2 if plan["variance"].build().learned else 1
    with torch.device("meta"):
        net = plan["network"].build(shape=shape, outputs=outputs)
    unet_config.check_groups(net, plan["network"].arguments["groups"])
    tensors = interop.folder.load(weights, layers.to_theirs(net, net.state_dict()))
    model = plan.denoiser(shape, levels)
    model.network.load_state_dict(layers.to_ours(net, tensors))
    return model


def _write(out: Path, plan: Recipe, facts: Mapping[str, Any], files: Fingerprint, model: Denoiser) -> None:
    """The run's folder with a checkpoint of step 0, complete or not at all."""
    recipe = yaml.safe_dump(plan.describe(), sort_keys=False)
    if len(recipe.encode()) > LARGEST:
        raise ValueError(f"trained_betas: a recipe of {len(recipe):,} bytes; they are at most {LARGEST:,}")
    start, settings = first_checkpoint(plan, model), plan["train"].build()
    with new_folder(out) as temporary:
        write_text(temporary / "recipe.yaml", recipe)
        write_json(temporary / "run.json", facts)
        save_files(temporary, files)
        checkpoint.save(temporary / "checkpoints", start, settings.keep)
