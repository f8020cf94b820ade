"""A recipe: everything a run is made of, in one YAML file of at most 64 kB."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from undiffuse.data import Source, Splits
from undiffuse.kernels import Kernel
from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.parameterizations import Decoder, Parameterization, Variance
from undiffuse.recipes.parts import Part, RecipeError, nearest, parse
from undiffuse.samplers import Sampler
from undiffuse.schedules.grids import Grid
from undiffuse.training import Settings

LARGEST = 64 * 1024


@dataclass(frozen=True)
class Recipe:
    """The parts of a run; `about` says what it is for, `seed` keys everything random in training.

    `grid` is the chain that the bound is trained and evaluated on; `sampler` walks it back.
    `evaluate_terms` steps of it are evaluated for each test example by default (null: all).
    """

    data: Source
    network: nn.Module
    kernel: Kernel
    grid: Grid
    parameterization: Parameterization
    variance: Variance
    decoder: Decoder
    objective: Objective
    sampler: Sampler
    train: Settings
    about: str = ""
    evaluate_terms: int | None = None
    seed: int = 0


DEFAULTS: dict[str, Any] = {
    "kernel": {"kind": "gaussian", "schedule": {"kind": "cosine"}},
    "grid": {"kind": "uniform"},
    "parameterization": {"kind": "v"},
    "variance": {"kind": "posterior"},
    "objective": {"kind": "simple"},
    "sampler": {"kind": "ancestral"},
    "train": {},
}


class Plan:
    """A checked recipe, not yet built: `plan["train"]` is the part under that key."""

    def __init__(self, node: dict[str, Any]) -> None:
        node = DEFAULTS | node
        if "decoder" not in node:  # which one depends on the data: decided when they are known
            self.given_decoder = False
            node = node | {"decoder": {"kind": "normal"}}
        else:
            self.given_decoder = True
        self._part: Part = parse(Recipe, node, "")
        terms = self["evaluate_terms"]
        if terms is not None and terms < 1:
            raise RecipeError(f"evaluate_terms={terms}: at least one step of the chain, or null for all")

    def __getitem__(self, key: str) -> Any:
        return self._part.arguments[key]

    def describe(self) -> dict[str, Any]:
        """The full recipe, every default written out."""
        full = {"about": "", "data": {}} | self._part.describe()
        if not self.given_decoder:
            del full["decoder"]
        return full

    def denoiser(self, shape: tuple[int, ...], levels: int | None) -> Denoiser:
        """The model for data of this shape and number of levels (None: continuous)."""
        kernel = self["kernel"].build()
        parameterization, variance = self["parameterization"].build(), self["variance"].build()
        outputs = 2 if variance.learned else 1
        with torch.random.fork_rng([]):  # the first weights come from the global generator: put it back
            network = self["network"].build(shape=shape, outputs=outputs)
        return Denoiser(network, kernel, parameterization, variance, self._decoder(levels))

    def grid(self, model: Denoiser) -> Tensor:
        """The latent times."""
        grid: Tensor = self["grid"].build(schedule=model.kernel.schedule)
        return grid

    def objective(self, model: Denoiser) -> Objective:
        """What training lowers."""
        objective: Objective = self["objective"].build(grid=self.grid(model))
        return objective

    def _decoder(self, levels: int | None) -> Decoder:
        part: Part = self["decoder"]
        if not self.given_decoder and levels is not None:
            part = parse(Decoder, {"kind": "discretized"}, "decoder")
        discrete = part.kind == "discretized"
        if discrete != (levels is not None):
            kind = "levels" if levels is not None else "continuous values"
            wanted = "discretized" if levels is not None else "normal"
            raise RecipeError(f"decoder.kind={part.kind}: the data are {kind}, use {wanted}")
        decoder: Decoder = part.build(**({"levels": levels} if discrete else {}))
        return decoder


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files("undiffuse.recipes").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def read(name: str) -> dict[str, Any]:
    """The recipe of this shipped name, or in this YAML file."""
    path = Path(name)
    if name in shipped():
        return _read_text(resources.files("undiffuse.recipes").joinpath(f"{name}.yaml").read_bytes(), name)
    if path.suffix in (".yaml", ".yml"):
        if path.stat().st_size > LARGEST:
            raise RecipeError(f"{path}: recipes are at most 64 kB")
        return _read_text(path.read_bytes(), name)
    raise RecipeError(f"{name}: {nearest(name, shipped())}; or give a .yaml file")


def override(node: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of the recipe with `dotted.key=value` assignments; a new `kind` drops the old one's keys."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise RecipeError(f"{assignment!r}: overrides look like train.steps=500")
        node = _assign(node, path.split("."), _read_value(text, assignment), path)
    return node


def load_data(plan: Plan) -> Splits:
    """Load the recipe's data."""
    source: Source = plan["data"].build()
    return source.load()


def _assign(node: dict[str, Any], keys: list[str], value: Any, path: str) -> dict[str, Any]:
    head, *rest = keys
    if not rest:
        renamed = head == "kind" and node.get("kind", value) != value
        return {"kind": value} if renamed else node | {head: value}
    inner = node.get(head, DEFAULTS.get(head, {}))
    inner = {"kind": inner} if isinstance(inner, str) else inner or {}
    if not isinstance(inner, dict):
        raise RecipeError(f"{path}: {head} is a plain value, it has no keys")
    return node | {head: _assign(inner, rest, value, path)}


class _Loader(yaml.SafeLoader):
    """Plain data only: no tags, no anchors or aliases, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise yaml.YAMLError("anchors, aliases and tags are not used in recipes")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} stands twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # YAML 1.1 takes 1e-3 and 1e4 for text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _read_text(text: bytes, name: str) -> dict[str, Any]:
    try:
        node = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{name}: not a recipe: {' '.join(str(error).split())}") from error
    if not isinstance(node, dict):
        raise RecipeError(f"{name}: a recipe is keys and values, such as `data: digits`")
    return node


def _read_value(text: str, assignment: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{assignment!r}: the value is not readable as YAML") from error
