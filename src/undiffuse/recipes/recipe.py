"""A recipe: everything a run is made of, checked, and the parts it builds."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.data import Source, Splits
from undiffuse.kernels import Kernel
from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.parameterizations import Decoder, Parameterization, Variance
from undiffuse.recipes.parts import Part, RecipeError, parse
from undiffuse.recipes.reading import DEFAULTS
from undiffuse.samplers import Sampler
from undiffuse.schedules.grids import Grid
from undiffuse.training import Settings


@dataclass(frozen=True)
class Recipe:
    """The parts of a run; `about` says what it is for, `seed` keys everything random in training.

    `grid` is the chain that the bound is trained and evaluated on; `sampler` walks it back.
    Without a `decoder` the data decide: discretised for levels, a density for continuous values.
    `evaluate_terms` steps of the chain are evaluated for each test example by default (null: all).
    """

    data: Source
    network: nn.Module
    kernel: Kernel
    grid: Grid
    parameterization: Parameterization
    variance: Variance
    objective: Objective
    sampler: Sampler
    train: Settings
    decoder: Decoder | None = None
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
        wanted = "normal" if levels is None else "discretized"
        part: Part = self["decoder"] or parse(Decoder, wanted, "decoder")
        if part.kind != wanted:
            kind = "continuous values" if levels is None else "levels"
            raise RecipeError(f"decoder.kind={part.kind}: the data are {kind}, use {wanted}")
        context = {} if levels is None else {"levels": levels}
        decoder: Decoder = part.build(**context)
        return decoder


def load_data(plan: Plan) -> Splits:
    """Load the recipe's data."""
    source: Source = plan["data"].build()
    return source.load()
