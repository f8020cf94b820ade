"""Every factor by every rule on every kernel, to the ends of time and across the size where C is a matrix.

Each combination is finite, right and the same row by row, or refused in words when it is made.
"""

import math
import re

import pytest
import torch
from torch import Tensor

from independent import MADE, VAR, Each, built, factors, means, worth
from oracles import f64, normals
from undiffuse import posteriors
from undiffuse.kernels import Absorbing, Gaussian, Universal
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import X0, Forward
from undiffuse.posteriors import (
    Annealed,
    Classifier,
    Constant,
    Factor,
    Flat,
    Guided,
    Known,
    Linear,
    Linearised,
    LogDensity,
    Matched,
    Noisy,
    Odds,
    Product,
    SymbolOdds,
)
from undiffuse.posteriors.belief import DENSE
from undiffuse.posteriors.operators import Matrix
from undiffuse.random import keyed
from undiffuse.samplers import DDIM, Ancestral, Particles, Sampler, last, reverse, start
from undiffuse.schedules import Betas, ConstantFraction, Cosine, Schedule
from undiffuse.schedules import Linear as LinearSchedule

RULES = posteriors.RULES | {"flat": lambda model, factor: Matched(model, factor, Flat())}
SCHEDULES: dict[str, Schedule] = {  # the last three keep nothing to the end
    "linear": LinearSchedule(),
    "cosine": Cosine(None),
    "constant fraction": ConstantFraction(),
    "table": Betas([0.3, 0.4, 1.0]),
}
GRID = f64(0.05, 0.3, 0.6, 1.0)
NUMBERS = ("numbers", "levels")


def refusal(kind: str, factor: Factor, rule: str) -> str | None:
    """What must be said of a combination that is none, when it is made."""
    try:
        factor.check(MADE[kind](ConstantFraction()))
    except ValueError as error:
        return re.escape(str(error))
    if rule == "tilted" and kind in NUMBERS:
        return "for numbers use Matched"
    if rule in ("matched", "flat") and kind not in NUMBERS:
        return "for Gaussian kernels; use Tilted"
    if rule == "replaced" and not isinstance(factor, Known):
        return "what replaces elements of x_s is Known"
    if rule in ("constant", "annealed") and kind == "masked" and not factor.masks:
        return "says nothing of the masks that x_t has on an absorbing kernel: use Tilted"
    return None


def possible(kind: str, n: int, model: ReverseProcess) -> list[tuple[str, str, Product]]:
    """Names of factor and rule, and the product; what is refused is refused as it must be."""
    found = []
    for name, factor in factors(n).items():
        for rule, made in RULES.items():
            wrong = refusal(kind, factor, rule)
            if wrong is None:
                found.append((name, rule, made(model, factor)))
                continue
            with pytest.raises(ValueError, match=wrong):
                made(model, factor)
    return found


def walked(model: ReverseProcess, n: int, rows: int, sampler: Sampler, grid: Tensor = GRID):
    """x_0 and the sampler's last state."""
    x_1 = start(model, torch.zeros(rows, n).double(), keyed("start"))
    return last(reverse(model, x_1, sampler=sampler, grid=grid, generator=keyed("walk")))


def lost(product: Product, schedule: str) -> bool:
    """Whether nothing is kept at the end, so that the rule predicts no x_0 there."""
    pulled = not isinstance(product.factor, Known)
    return schedule != "linear" and type(product) is Constant and pulled


def test_every_factor_and_rule_is_tried():
    assert set(posteriors.FACTORS) <= set(factors(3)) and set(posteriors.RULES) <= set(RULES)


@pytest.mark.parametrize("n", [3, DENSE + 1])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", MADE)
def test_every_product_walks_and_predicts_or_is_refused(kind: str, schedule: str, n: int):
    if kind == "masked" and schedule == "linear":
        with pytest.raises(ValueError, match="must end with every symbol masked"):
            built(kind, SCHEDULES[schedule], n, GRID)
        return
    model = built(kind, SCHEDULES[schedule], n, GRID, exact=False)
    for name, rule, product in possible(kind, n, model):
        for sampler in (Ancestral(), *[DDIM()] * (kind in NUMBERS)):
            if isinstance(sampler, DDIM) and lost(product, schedule):
                with pytest.raises(ValueError, match="Constant predicts no x_0 .* sample by ancestral steps"):
                    walked(product, n, 2, sampler)
                continue
            x, _ = walked(product, n, 2, sampler)
            assert x.shape == (2, n) and bool(x.isfinite().all()), (name, rule)
            assert torch.equal(product.factor.fill(x), x), (name, rule)
        x_t = model.prior(x).sample(keyed("x"))
        for t in f64(0.4, 1.0):
            if t < 1 or not lost(product, schedule) or kind not in NUMBERS:
                assert bool(product.predict(x_t, t).isfinite().all()), (name, rule)


@pytest.mark.parametrize("n", [3, DENSE + 1])
@pytest.mark.parametrize("schedule", ["linear", "constant fraction"])
@pytest.mark.parametrize("kind", MADE)
def test_every_weighed_product_has_the_right_evidence(kind: str, schedule: str, n: int):
    """Of the data's own law, from 12 groups of 96 particles; or paths have no weights, in words."""
    if kind == "masked" and schedule == "linear":
        return
    model, sampler = built(kind, SCHEDULES[schedule], n, GRID), Particles(96)
    for name, rule, product in possible(kind, n, model):
        if rule == "replaced" or (rule in ("constant", "annealed") and product.factor.pinned is not None):
            with pytest.raises(ValueError, match="paths have no weight: use Matched, or Tilted"):
                sampler.check(product)
            continue
        _, cloud = walked(product, n, 12 * 96, sampler)
        z = cloud.log_z.exp()
        found, se = float(z.mean().log()), float(z.std() / z.mean()) / 12**0.5
        exact, its = worth(kind, product.factor, n)
        assert abs(found - exact) < 4 * math.hypot(se, its) + 2e-3 and se < 0.25, (
            name,
            rule,
            found,
            se,
            exact,
            its,
        )
