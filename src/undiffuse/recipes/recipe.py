"""A recipe: everything a run is made of, checked, and the parts it builds."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.ambient import single
from undiffuse.data import Source, Space, Splits, dequantized, space_of
from undiffuse.kernels import Kernel
from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.parameterizations import Decoder, Parameterization, Variance
from undiffuse.recipes.parts import Part, RecipeError, parse
from undiffuse.recipes.reading import DEFAULTS
from undiffuse.recipes.size import check_size
from undiffuse.samplers import Sampler
from undiffuse.schedules.grids import Grid
from undiffuse.training import Settings

LONGEST = 2**20  # latent times of a chain


@dataclass(frozen=True)
class Recipe:
    """The parts of a run; `about` says what it is for, `seed` keys everything random in training.

    `grid` is the chain that the bound is trained and evaluated on; `sampler` walks it back.
    Without a `parameterization` the network predicts v, or the logits of symbols. Without a `decoder` the
    data decide: discretised for levels, a density for continuous values, probabilities for symbols.
    `data` is null in runs that were imported without any. `conditional` trains the network on the data's
    labels, for networks that know classes. `dequantize` adds uniform noise as wide as a level to the
    data, which makes them continuous.
    `evaluate_terms` steps of the chain are evaluated for each test example by default (null: all).
    """

    data: Source | None
    network: nn.Module
    kernel: Kernel
    grid: Grid
    variance: Variance
    objective: Objective
    sampler: Sampler
    train: Settings
    parameterization: Parameterization | None = None
    decoder: Decoder | None = None
    conditional: bool = False
    dequantize: bool = False
    about: str = ""
    evaluate_terms: int | None = None
    seed: int = 0


class Plan:
    """A checked recipe, not yet built: `plan["train"]` is the part under that key."""

    def __init__(self, node: dict[str, Any]) -> None:
        self._part: Part = parse(Recipe, DEFAULTS | node, "")
        terms = self["evaluate_terms"]
        if terms is not None and terms < 1:
            raise RecipeError(f"evaluate_terms={terms}: at least one step of the chain, or null for all")

    def __getitem__(self, key: str) -> Any:
        return self._part.arguments[key]

    def describe(self) -> dict[str, Any]:
        """The full recipe, every default written out."""
        return {"about": "", "data": {}} | self._part.describe()

    @single()
    def denoiser(self, shape: tuple[int, ...], levels: int | None, classes: int = 0) -> Denoiser:
        """The model for data of this shape and number of levels (None: continuous) and of classes."""
        kernel: Kernel = self["kernel"].build()
        kernel.check(shape)
        variance: Variance = self["variance"].build()
        context = {
            "shape": (kernel.channels * shape[0], *shape[1:]),
            "outputs": 2 if variance.learned else 1,
            "steps": len(self.grid(kernel)),
        }
        check_size(self["network"], **context | self._classes(classes))
        with torch.random.fork_rng([]):  # the first weights come from the global generator: put it back
            network = self["network"].build(**context | self._classes(classes))
        said: Part | None = self["parameterization"]
        parameterization = said.build(steps=context["steps"]) if said else None
        return Denoiser(network, kernel, parameterization, variance, self._decoder(kernel, levels))

    def _classes(self, classes: int) -> dict[str, int]:
        """What the network is told of labels."""
        if not self["conditional"]:
            return {}
        if classes < 1:
            raise RecipeError("conditional=true: the data have no labels; use another data.kind")
        if "classes" not in inspect.signature(self["network"].make).parameters:
            kind = self["network"].kind
            raise RecipeError(f"conditional=true: network.kind={kind} takes no labels; use unet")
        return {"classes": classes}

    def space(self, splits: Splits) -> Space:
        """How the kernel sees the data."""
        kernel: Kernel = self["kernel"].build()
        return space_of(splits, kernel.symbols)

    def objective(self, kernel: Kernel) -> Objective:
        """What training lowers."""
        objective: Objective = self["objective"].build(grid=self.grid(kernel))
        return objective

    def grid(self, kernel: Kernel) -> Tensor:
        """The latent times."""
        steps = self["grid"].arguments.get("steps")
        if steps is not None and steps > LONGEST:
            raise RecipeError(f"grid.steps={steps}: at most {LONGEST:,} latent times")
        grid: Tensor = self["grid"].build(schedule=kernel.schedule)
        if len(grid) < 2:
            raise RecipeError("grid: one latent time is no chain; use at least two, such as grid.steps=100")
        return grid

    def _decoder(self, kernel: Kernel, levels: int | None) -> Decoder:
        fitting = _decoders(kernel, levels)
        part: Part = self["decoder"] or parse(Decoder, fitting[0], "decoder")
        if part.kind not in fitting:
            kind = "symbols" if kernel.symbols else "continuous values" if levels is None else "levels"
            raise RecipeError(f"decoder.kind={part.kind}: the data are {kind}, use {' or '.join(fitting)}")
        context = {} if levels is None else {"levels": levels}
        decoder: Decoder = part.build(**context)
        return decoder


def _decoders(kernel: Kernel, levels: int | None) -> tuple[str, ...]:
    """The decoders of such data, the usual one first."""
    if kernel.symbols is not None:
        return ("symbols", "fixed")
    return ("normal", "fixed", "learned") if levels is None else ("discretized",)


def source_of(plan: Plan) -> Source:
    """The recipe's data set, not yet loaded. Raises RecipeError if it has none (`data: null`)."""
    if plan["data"] is None:
        raise RecipeError(
            "data: this run has none; name them where it is imported: data.kind=images data.path=PATH"
        )
    source: Source = plan["data"].build()
    return source


def load_data(plan: Plan) -> Splits:
    """Load the recipe's data."""
    splits = source_of(plan).load()
    return dequantized(splits) if plan["dequantize"] else splits
