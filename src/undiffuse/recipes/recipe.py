"""A recipe: everything a run is made of, checked, and the parts it builds."""

import inspect
import logging
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from undiffuse.ambient import single
from undiffuse.bases import Base, ColumnsBase, NumberBase
from undiffuse.conditions import Conditions
from undiffuse.data import (
    CellSpace,
    ConditionSource,
    Source,
    Space,
    Splits,
    UniformNoise,
    check_width,
    conditioned,
    dequantized,
    set_aside,
    space_of,
)
from undiffuse.kernels import Kernel, Mixed, Universal
from undiffuse.mixed import MixedDenoiser
from undiffuse.model import Denoiser, takes_condition
from undiffuse.objectives import Objective
from undiffuse.parameterizations import (
    Decoder,
    Parameterization,
    Posterior,
    ResidualVariance,
    Variance,
    beginning_at,
)
from undiffuse.recipes.parts import Part, RecipeError, parse
from undiffuse.recipes.reading import DEFAULTS, words_of
from undiffuse.recipes.size import check_size
from undiffuse.samplers import Sampler
from undiffuse.schedules.grids import Grid
from undiffuse.training import Settings

LOG = logging.getLogger(__name__)

LONGEST = 2**20  # latent times of a chain
TRAINS_WIDTHS = ("variational", "hybrid")  # objectives that a learned variance is for


@dataclass(frozen=True)
class Schema:
    """The parts of a run; `about` says what it is for, `seed` keys everything random in training.

    `grid` is the chain that the bound is trained and evaluated on; `sampler` walks it back.
    `base` is the density in closed form that the model begins at: by default (auto) the frequencies of
    symbols, and for vectors, or an MLP, a normal density or a mixture of them; none for pictures, and
    wherever a `parameterization`, a `variance` or a `decoder` is named that knows of none.
    Without a `parameterization` the network predicts what the base leaves open; without a base v, or the
    logits of symbols. Without a `variance` a step is as wide as the base says, or the bridge. Without a
    `decoder` the data decide: discretised for levels, a density for continuous values, probabilities for
    symbols.
    `data` is null in runs that were imported without any. `condition` is what every example is given, for
    networks that take it: one, such as labels, or several by name. `dequantize` adds uniform
    noise as wide as a level to the data, which makes them continuous.
    `evaluate_terms` steps of the chain are evaluated for each test example by default (null: all).
    """

    data: Source | None
    network: nn.Module
    kernel: Kernel
    grid: Grid
    objective: Objective
    sampler: Sampler
    train: Settings
    base: Literal["auto", "none", "frequencies", "gaussian"] = "auto"
    parameterization: Parameterization | None = None
    variance: Variance | None = None
    decoder: Decoder | None = None
    condition: dict[str, ConditionSource] | None = None
    dequantize: bool = False
    about: str = ""
    evaluate_terms: int | None = None
    seed: int = 0


class Recipe:
    """A checked recipe, not yet built: `plan["train"]` is the part under that key."""

    def __init__(self, node: dict[str, Any]) -> None:
        self._part: Part = parse(Schema, DEFAULTS | node, "")
        terms = self["evaluate_terms"]
        if terms is not None and terms < 1:
            raise RecipeError(f"evaluate_terms={terms}: at least one step of the chain, or null for all")

    def __getitem__(self, key: str) -> Any:
        return self._part.arguments[key]

    def describe(self) -> dict[str, Any]:
        """The full recipe, every default written out."""
        return {"about": "", "data": {}} | self._part.describe()

    @single()
    def denoiser(
        self,
        shape: tuple[int, ...],
        levels: int | None,
        conditions: Conditions | None = None,
        base: Base | None = None,
        examples: int = 1000,
        own: nn.Module | None = None,
    ) -> Denoiser:
        """The model for data of this shape and number of levels (None: continuous), given these conditions.

        `base` is that which `base_kind` asks for, if any, fitted to the data. Of how many `examples` there
        are to learn from networks take their size, unless it is named. A recipe of a network of the user's
        `own` is given the module itself.
        """
        kernel: Kernel = self["kernel"].build()
        kernel.check(shape)
        if base is None and self.base_kind(shape) != "none":
            raise ValueError("base: this recipe's model begins at one, fitted to the data, and none is given")
        if isinstance(kernel, Mixed):
            return self._mixed(kernel, base, examples, own)
        parameterization, variance, decoder = self._around(kernel, levels, base)
        context: dict[str, Any] = {
            "shape": kernel.feature_shape(shape),
            "outputs": 2 if variance.learned else 1,
            "steps": len(self.grid(kernel)),
            "examples": examples,
        }
        if (self["network"].kind == "own") != (own is not None) and own is not None:
            raise ValueError(f"network: this recipe's is {self['network'].kind}, which it makes itself")
        if own is not None:
            if conditions and not takes_condition(own):
                raise RecipeError("condition: your network takes none; give it a third argument")
            return Denoiser(own, kernel, parameterization, variance, decoder, conditions)
        network = self._network(**context, **self._given(conditions))
        return Denoiser(network, kernel, parameterization, variance, decoder)

    def _network(self, **context: Any) -> nn.Module:
        check_size(self["network"], **context)
        with torch.random.fork_rng([]):  # the first weights come from the global generator: put it back
            network: nn.Module = self["network"].build(**context)
        return network

    def _mixed(self, kernel: Mixed, base: Base | None, examples: int, own: nn.Module | None) -> MixedDenoiser:
        """The model of a table."""
        if own is not None or self["condition"]:
            raise RecipeError(
                "kernel.kind=mixed: its network is one of the recipe's, and any column can be given"
            )
        assert isinstance(base, ColumnsBase)
        shape = kernel.feature_shape((len(kernel.columns),))
        known = {"steps": len(self.grid(kernel)), "examples": examples, "columns": list(kernel.columns)}
        network = self._network(shape=shape, outputs=2, **known)
        return MixedDenoiser(network, kernel, base)

    def base_kind(self, shape: tuple[int, ...]) -> str:
        """What base the model of data of this shape begins at: none, frequencies, gaussian, columns, or auto.

        The last is a normal density, or a mixture where that is better. Raises RecipeError for one that does
        not fit the kernel.
        """
        said: str = self["base"]
        kernel: Kernel = self["kernel"].build()
        if isinstance(kernel, Mixed):
            if said != "auto" or not self._knows_bases():
                raise RecipeError(
                    "kernel.kind=mixed begins at a base of its own: leave base, parameterization, "
                    "variance and decoder out"
                )
            return "columns"
        fitting = "gaussian" if kernel.symbols is None else "frequencies"
        if said == "auto":
            if not self._knows_bases() or isinstance(kernel, Universal):
                return "none"
            if kernel.symbols is not None:
                return fitting
            return "auto" if len(shape) == 1 or self["network"].kind == "mlp" else "none"
        if said not in ("none", fitting):
            raise RecipeError(f"base={said}: this kernel goes with {fitting}, auto or none")
        return said

    def _knows_bases(self) -> bool:
        """Whether nothing is named that knows of no base."""
        parameterization: Part | None = self["parameterization"]
        named = [self[key] for key in ("parameterization", "variance", "decoder")]
        if parameterization is not None and str(parameterization.kind).startswith("residual"):
            return True
        return all(part is None for part in named)

    def _around(
        self, kernel: Kernel, levels: int | None, base: Base | None
    ) -> tuple[Parameterization | None, Variance, Decoder]:
        """What stands around the network."""
        steps, said = len(self.grid(kernel)), self["parameterization"]
        wide: Part | None = self["variance"]
        context = {"steps": steps} | ({} if base is None else {"base": base})
        for part in (said, wide):
            if base is None and part is not None and str(part.kind).startswith("residual"):
                raise RecipeError(
                    f"{part.path}={part.kind}: needs a base, this recipe has none; set base=auto"
                )
        if said is not None:
            parameterization = said.build(**context)
        else:
            parameterization = None if base is None else beginning_at(base)
        if wide is not None:
            variance: Variance = wide.build(**context)
        elif isinstance(base, NumberBase):
            variance = ResidualVariance(base, learned=self["objective"].kind in TRAINS_WIDTHS)
        else:
            variance = Posterior()
        return (
            parameterization,
            variance,
            self._decoder(kernel, levels, isinstance(variance, ResidualVariance)),
        )

    def _given(self, conditions: Conditions | None) -> dict[str, Conditions]:
        """What the network is told of conditions."""
        if not conditions:
            return {}
        if "conditions" not in inspect.signature(self["network"].make).parameters:
            kind = self["network"].kind
            raise RecipeError(f"condition: network.kind={kind} takes none; use unet or mlp")
        return {"conditions": conditions}

    @property
    def noise(self) -> UniformNoise | None:
        """The noise that its raw data carry, if they do."""
        if self["dequantize"]:
            return UniformNoise(torch.ones((), dtype=torch.float64), of_levels=True)
        spacing = None if self["data"] is None else self["data"].arguments.get("spacing")
        return None if spacing is None else UniformNoise(check_width(spacing))

    def space(self, splits: Splits) -> Space:
        """How the kernel sees the data."""
        kernel: Kernel = self["kernel"].build()
        if not isinstance(kernel, Mixed):
            if splits.cells:
                raise RecipeError("kernel: rows of several kinds of columns need kernel.kind=mixed")
            return space_of(splits, kernel.symbols)
        counts = [column.symbols for column in splits.cells]
        if counts != list(kernel.columns):
            raise RecipeError(
                f"kernel.columns={list(kernel.columns)}: the data's columns have {counts} symbols"
            )
        return CellSpace.fit(splits.train, splits.cells)

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

    def _decoder(self, kernel: Kernel, levels: int | None, based: bool) -> Decoder:
        fitting = _decoders(kernel, levels)
        part: Part = self["decoder"] or parse(Decoder, fitting[-1 if based else 0], "decoder")
        if part.kind not in fitting:
            kind = "symbols" if kernel.symbols else "continuous values" if levels is None else "levels"
            raise RecipeError(f"decoder.kind={part.kind}: the data are {kind}, use {' or '.join(fitting)}")
        context = {} if levels is None else {"levels": levels}
        decoder: Decoder = part.build(**context)
        return decoder


def _decoders(kernel: Kernel, levels: int | None) -> tuple[str, ...]:
    """The decoders of such data, the usual one first, and that of a base last."""
    if kernel.symbols is not None:
        return ("symbols", "fixed")
    return ("normal", "fixed", "learned") if levels is None else ("discretized",)


def source_of(plan: Recipe) -> Source:
    """The recipe's data set, not yet loaded. Raises RecipeError if it has none (`data: null`)."""
    if plan["data"] is None:
        raise RecipeError(
            "data: this run has none; name them where it is imported: data.kind=images data.path=PATH"
        )
    source: Source = plan["data"].build()
    return source


def sampler_of(text: str) -> Sampler:
    """The sampler of these words, such as "langevin snr=0.1". Raises RecipeError for what is none."""
    made: Sampler = parse(Sampler, words_of(text, "sampler"), "sampler").build()
    return made


def load_data(plan: Recipe) -> Splits:
    """Load the recipe's data, and set aside what is watched while training."""
    begin = time.perf_counter()
    source = source_of(plan)
    splits = source.load()
    LOG.info(
        "data: %s, %d training and %d test examples, in %.2f s",
        plan["data"].kind,
        len(splits.train),
        len(splits.test),
        time.perf_counter() - begin,
    )
    splits = _conditioned(plan, splits, source)
    splits = dequantized(splits) if plan["dequantize"] else splits
    share: float = plan["train"].build().watch
    return set_aside(splits, share) if share else splits


def _conditioned(plan: Recipe, splits: Splits, source: Source) -> Splits:
    """With what the examples are given. Raises RecipeError for what the data have not."""
    parts: dict[str, Part] = plan["condition"] or {}
    try:
        found = conditioned(splits, {name: each.build() for name, each in parts.items()}, source)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    made = [name for name, each in found.conditions.items() if each.function is not None]
    if plan["dequantize"] and made:
        raise RecipeError(f"condition.{made[0]}: is worked out from levels; leave dequantize out")
    return found


def kinds_of(splits: Splits) -> Conditions:
    """What the examples are given, without the values."""
    return {name: each.kind for name, each in splits.conditions.items()}
