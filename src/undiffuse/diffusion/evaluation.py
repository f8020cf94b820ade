"""The bound of a run on a data set, in every unit that fits the data, as table, JSON, CSV and figure."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from undiffuse.bounds import Report
from undiffuse.conditions import Classes
from undiffuse.diffusion.diffusion import Diffusion
from undiffuse.estimate import Estimate
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

OVERLAP = "overlapping patches: errors as of independent examples, so too small"
NAMED = {  # models in closed form, in words
    "uniform": "equal chances",
    "independent": "independent positions",
    "normal": "one normal density",
    "mixture": "a mixture of normal densities",
    "columns": "independent columns",
    "copula": "a normal copula of the numbers",
}
FEW, DRAWS = 30, 10  # examples, and draws of every step, below which an error may be too small


@dataclass(frozen=True)
class Row:
    """One line of the result."""

    name: str
    mean: float
    se: float
    unit: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A report on x_0, and what it means in the data's own units."""

    report: Report
    shape: tuple[int, ...]
    levels: int | None
    symbols: bool  # whether the kernel is one for symbols
    shift: float  # bits/dim that a density in raw units has less than one in x_0
    step: int
    overlapping: bool  # whether examples share pixels
    tells: float = math.inf  # bits of an example that what it is given can tell at most

    @property
    def has_k(self) -> bool:
        """Whether the 2015 bound K says something: not of levels as numbers, nor of a chain of masks."""
        return (self.levels is None or self.symbols) and math.isfinite(self.report.k.mean)

    @property
    def bits(self) -> Estimate:
        """The bound in raw units, bits per dimension."""
        return self.report.total - self.shift

    @property
    def decode(self) -> Estimate:
        """What x_0 costs once the first latent is known, in raw units: of a density, it may be negative."""
        return self.report.decode - self.shift

    def rows(self) -> Iterator[Row]:
        """The bound, its parts, what the 2015 paper makes of it, and per example or pixel, in raw units."""
        report, kind = self.report, "probability" if self.levels else "density"
        named = {f"-log2 {kind}, at most": self.bits, "  prior": report.prior, "  steps": report.steps}
        named |= {"  decode" if self.levels else "  decode, a density": self.decode}
        named |= {"rate (prior + steps)": report.rate}
        if self.levels:  # a density is no distortion: no number of bits ends it
            named |= {"distortion (decode)": self.decode}
        for name, each in named.items():
            yield Row(name, each.mean, each.se, "bits/dim")
        if report.untold is not None and report.worth is not None:
            yield Row("if nothing is told", report.untold.mean - self.shift, report.untold.se, "bits/dim")
            yield Row("worth of the condition", report.worth.mean, report.worth.se, "bits/dim")
            each, count = report.worth, dims(self.shape)
            yield Row("worth of the condition", each.mean * count, each.se * count, "bits/example")
        (count, unit), named = self.group, {}
        if self.has_k:
            named = {"gain over the prior": report.gain, "K, with a fixed last step": report.k + self.shift}
            named |= {"K - L_null": report.k_gain, "K by eq. 14": report.k_entropies + self.shift}
        if count > 1:
            named |= {"the bound": self.bits}
        for name, each in named.items():
            yield Row(name, each.mean * count, each.se * count, f"bits/{unit}")

    @property
    def beside(self) -> dict[str, tuple[Estimate, Estimate]]:
        """What models in closed form make of the same examples, in raw units, and the bound less that."""
        return {name: (bits - self.shift, more) for name, (bits, more) in self.report.beside.items()}

    @property
    def simplest(self) -> tuple[str, Estimate, Estimate] | None:
        """The best of them: its name, its bits, and the bound less these."""
        if not self.beside:
            return None
        name = min(self.beside, key=lambda name: self.beside[name][0].mean)
        return name, *self.beside[name]

    def __str__(self) -> str:
        """One line: the bound, the best model in closed form, and K - L_null where there is one."""
        line, (count, unit) = f"bound {self.bits} bits/dim", self.group
        if self.simplest is not None:
            name, bits, _ = self.simplest
            line += f" ({name} {bits.mean:.4f})"
        if self.has_k:
            line += f", K - L_null {self.report.k_gain * count} bits/{unit}"
        return line

    @property
    def warnings(self) -> list[str]:
        """What the numbers and their errors need and the data do not have."""
        found = scarce(self.report) + worse(self) + overstated(self)
        return found + (unmet(self.report.excess) if self.has_k else [])

    @property
    def group(self) -> tuple[int, str]:
        """Values that are counted together: the channels of a pixel, or a whole vector."""
        if len(self.shape) == 3:
            return self.shape[0], "pixel"
        return dims(self.shape), "example"

    def stretches(self, count: int) -> Iterator[tuple[float, float, float]]:
        """(t from, t to, bits/dim) of about `count` stretches of the chain, from noise to data."""
        grid, steps = self.report.grid, self.report.per_step
        for low, high in windows(len(steps), count):
            yield float(grid[high]), float(grid[low]), float(steps[low:high].sum())

    def summary(self) -> dict[str, Any]:
        """Everything but the steps, for JSON."""
        return {
            "examples": self.report.examples,
            "training_steps": self.step,
            "chain_steps": len(self.report.grid),
            "terms": self.report.terms,
            "rounds": self.report.rounds,
            "noise": self.report.noise,
            "overlapping": self.overlapping,
            "first_time": float(self.report.grid[0]),
            "rows": [asdict(row) for row in self.rows()],
            "beside": {name: [asdict(each) for each in pair] for name, pair in self.beside.items()},
        }


def evaluate(
    run: Diffusion,
    raw: Tensor,
    seed: int = 0,
    *,
    steps: int | None = None,
    terms: int | None = None,
    error: float | None = None,
    worth: bool = False,
    track: Track = SILENT,
    **resume: Any,
) -> Evaluation:
    """The bound of the run on raw examples (N, *shape); the rest as in `Diffusion.evaluate`."""
    how: dict[str, Any] = {"steps": steps, "terms": terms, "error": error, "worth": worth}
    report = run.evaluate(raw, seed, track=track, **how, **resume)
    symbols, known = run.model.kernel.symbols is not None, run.denoiser.conditions if worth else {}
    classes = [each.count for each in known.values() if isinstance(each, Classes)]
    tells = math.log2(math.prod(classes)) if known and len(classes) == len(known) else math.inf
    return Evaluation(report, run.shape, run.levels, symbols, run.shift, run.step, run.overlapping, tells)


def scarce(report: Report) -> list[str]:
    """Warnings if so little was computed that a few large terms may decide, and the error not know of them.

    Where an error was asked for, draws went where the bits are. With ten examples and one term each, two
    standard errors covered 47 to 69 % in place of 95 of exact chains of 100 to 1,000 steps, normal and of
    symbols; within the limits used here 91 to 96 %.
    """
    steps, found = len(report.grid) - 1, []
    if report.examples < FEW:
        found.append(
            f"{report.examples} examples: the error holds if the bits of examples are about normal; from "
            f"{FEW} examples on it matters less"
        )
    draws = report.examples * report.terms / max(steps, 1)
    if report.noise is None and report.terms < steps and (report.terms == 1 or draws < DRAWS):
        found.append(
            f"{report.terms:,} of {steps:,} steps for each of {report.examples:,} examples: a step was drawn "
            f"{draws:.2g} times in the mean, so that large terms may have been missed, and the error be too "
            "small; raise the number of examples or of terms (0: all)"
        )
    return found


def worse(result: Evaluation) -> list[str]:
    """A warning if a model in closed form is surely better, and what to try."""
    if result.simplest is None:
        return []
    name, bits, more = result.simplest
    if more.mean <= 2 * more.se:
        return []
    return [
        f"a model of {NAMED[name]} has {bits.mean:.4f} bits/dim, {more.mean:.4f} +- {more.se:.4f} fewer than "
        "this one: train longer (train.steps), or see where the bits go: undiffuse doctor RUN"
    ]


def overstated(result: Evaluation) -> list[str]:
    """A warning if a condition is worth more bits than it can tell: its entropy, at most."""
    worth = result.report.worth
    if worth is None:
        return []
    each = worth * dims(result.shape)
    if each.mean - 2 * each.se <= result.tells:
        return []
    return [
        f"a class tells at most {result.tells:.2f} bits, so {each.mean - result.tells:.2f} of its "
        f"{each.mean:.2f} bits/example are what the network has not learned of examples without one: train "
        "longer, with more of them (train.condition_dropout), or compare with a run without a condition"
    ]


def unmet(excess: Estimate) -> list[str]:
    """A warning if the data cost more or less under the prior than its entropy, by `excess` bits/dim."""
    if abs(excess.mean) < 4 * excess.se + 1e-3:
        return []
    return [
        f"the data cost {excess.mean:+.4f} +- {excess.se:.4f} bits/dim more under the chain's prior than the "
        "prior's entropy. K by eq. 14 and the upper bound on the entropy of a step need 0: numbers of unit "
        "mean square, bits with a mean of p0 (or p0 = 0.5)"
    ]


def windows(length: int, count: int) -> Iterator[tuple[int, int]]:
    """About `count` equal windows (low, high) of the places 0 .. length - 1, from the last to the first."""
    size = max(1, -(-length // count))
    for high in range(length, 0, -size):
        yield max(0, high - size), high
