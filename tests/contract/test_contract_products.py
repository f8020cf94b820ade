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
from undiffuse.diffusion import Way
from undiffuse.distributions import Bernoulli, Normal
from undiffuse.kernels import Gaussian, Universal
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import X0, Forward
from undiffuse.posteriors import (
    Annealed,
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
NUMBERS, SYMBOLS = ("numbers", "levels"), ("bits", "symbols", "masked")


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


EVERYWHERE = [("linear", 3), ("constant fraction", DENSE), ("cosine", 3), ("table", DENSE + 1)]
CASES = [("numbers", *case) for case in EVERYWHERE] + [
    ("levels", "cosine", 3),  # symbols have no matrices: whatever their number, each on its own
    ("bits", "cosine", 3),
    ("symbols", "table", 4),
    ("masked", "cosine", 3),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "schedule", "n"), CASES, ids=["-".join(map(str, case)) for case in CASES])
def test_every_product_walks_and_predicts_or_is_refused(kind: str, schedule: str, n: int):
    model = built(kind, SCHEDULES[schedule], n, GRID, exact=False)
    for name, rule, product in possible(kind, n, model):
        for sampler in (Ancestral(), *[DDIM()] * (kind in NUMBERS)):
            if isinstance(sampler, DDIM) and lost(product, schedule):
                with pytest.raises(
                    ValueError, match=r"Constant predicts no x_0 .* sample by ancestral steps"
                ):
                    walked(product, n, 2, sampler)
                continue
            x, _ = walked(product, n, 2, sampler)
            assert x.shape == (2, n) and bool(x.isfinite().all()), (name, rule)
            assert torch.equal(product.factor.fill(x), x), (name, rule)
        x_t = model.prior(x).sample(keyed("x"))
        for t in f64(0.4, 1.0):
            if t < 1 or not lost(product, schedule) or kind not in NUMBERS:
                assert bool(product.predict(x_t, t).isfinite().all()), (name, rule)


@pytest.mark.parametrize(
    ("kind", "n"), [("numbers", 3), ("numbers", DENSE + 1), ("levels", DENSE + 1)] + [(k, 3) for k in SYMBOLS]
)
def test_every_weighed_product_has_the_right_evidence(kind: str, n: int):
    """Of the data's own law, from 12 groups of 32 particles; or paths have no weights, in words."""
    model, sampler = built(kind, ConstantFraction(), n, GRID), Particles(32)
    for name, rule, product in possible(kind, n, model):
        if rule == "replaced" or (rule in ("constant", "annealed") and product.factor.pinned is not None):
            with pytest.raises(ValueError, match="paths have no weight: use Matched, or Tilted"):
                sampler.check(product)
            continue
        _, cloud = walked(product, n, 12 * 32, sampler)
        found, se = shared(cloud.log_z)
        exact, its = worth(kind, product.factor, n)
        assert se < 0.3 and abs(found - exact) < 4 * math.hypot(se, its) + 2e-3, (
            name,
            rule,
            found,
            se,
            exact,
        )


def shared(log_z: Tensor) -> tuple[float, float]:
    """The log of the mean of independent estimates, and its standard error."""
    found = float(log_z.logsumexp(0)) - math.log(len(log_z))
    return found, float((log_z - found).exp().std()) / len(log_z) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in MADE if kind != "levels"])
def test_rows_at_times_of_their_own_are_rows_alone(kind: str):
    """Times (B,) are those of the rows: r_t and its power, too."""
    model = built(kind, ConstantFraction(), 4, GRID, exact=False)
    x_t, t, s = (
        model.prior(torch.zeros(3, 4).double()).sample(keyed("x")),
        f64(0.6, 0.3, 0.6),
        f64(0.3, 0.05, 0.3),
    )
    for name, rule, product in possible(kind, 4, model):
        whole = seen(product, x_t, t, s)
        alone = [seen(product, x_t[i : i + 1], t[i], s[i]) for i in range(3)]
        for ours, parts in zip(whole, zip(*alone, strict=True), strict=True):
            torch.testing.assert_close(ours, torch.cat(parts), rtol=0, atol=1e-9, msg=f"{name}, {rule}")


def seen(product: Product, x_t: Tensor, t: Tensor, s: Tensor) -> list[Tensor]:
    """All that a product says at x_t."""
    said = [product.predict(x_t, t), product.step(x_t, t, s).mean, product.decode(x_t, t).mean]
    return said if type(product).__name__ == "Replaced" else [*said, product.look(x_t, t, s).log_r()]


@pytest.mark.parametrize("rule", [Constant, Annealed])
def test_predictions_of_numbers_have_the_score_of_r(rule: type[Constant]):
    """q(x_t) = N(m, v) times N(y; x_t, w^2)^c: (m - x) / v + c (y - x) / w^2; and what is known stays."""
    kernel, some = Gaussian(ConstantFraction()), torch.tensor([True, False, False])
    model, y, x_t = Denoiser(Each(kernel, 3), kernel, X0()), f64(1.0, 2.0, -1.0), normals(5, 3)
    for t in f64(0.2, 0.7):
        alpha, sigma = kernel.alpha_sigma(t)
        power = 1.0 if rule is Constant else 1 - t
        score = (alpha * means(3) - x_t) / (alpha**2 * VAR + sigma**2) + power * (y - x_t) / 0.8**2
        exact = (x_t + sigma**2 * score) / alpha
        found = rule(model, Noisy(y, 0.8)).predict(x_t, t)
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)
        found = rule(model, Noisy(y, 0.8) * Known(y, some)).predict(x_t, t)
        torch.testing.assert_close(found, torch.where(some, y, exact), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [3, DENSE + 1])
def test_a_power_of_a_measurement_is_one_with_wider_noise(n: int):
    p, a = Normal(normals(4, n), f64(0.7)), normals(2, n, seed=1)
    one, wide = (Linear(Matrix(a), f64(1.0, -0.5), std) for std in (0.6, 0.6 / 0.3**0.5))
    for power in (f64(0.3), f64(0.3).expand(4)):
        ours, other = one.times(p, power), wide.times(p)
        torch.testing.assert_close(ours.mean, other.mean, rtol=0, atol=1e-9)
        torch.testing.assert_close(ours.entropy(), other.entropy(), rtol=0, atol=1e-9)
    assert one.times(p, f64(0.0)) is p


def test_what_goes_together_nowhere_is_refused_when_it_is_made():
    universal = Universal(ConstantFraction())
    uniform = Denoiser(Each(universal, 3), universal, X0(), Forward())
    for made in (*RULES.values(), lambda model, _: Guided(model, model, 2.0)):
        with pytest.raises(ValueError, match="universal can be neither multiplied nor mixed"):
            made(uniform, Known(torch.zeros(3), torch.ones(3).bool()))
    with pytest.raises(ValueError, match=r"^steps of kernel=universal .*schedule\)\)$"):  # no method goes
        Way("flat").product(uniform, Known(torch.zeros(3), torch.ones(3).bool()))
    table = SymbolOdds(torch.zeros(3, 3))
    for of in (table, table * LogDensity(lambda x: x.sum(1))):
        with pytest.raises(ValueError, match="is a table without a slope: multiply by it as it is"):
            Linearised(of)
    flat = LogDensity(lambda x: torch.zeros(len(x)))
    with pytest.raises(ValueError, match=r"LogDensity: log r\(x\) has no gradient in x"):
        flat.slope(torch.zeros(2, 3))
    one, other = (Known(torch.full((3,), value), torch.tensor([True, False, True])) for value in (0.0, 1.0))
    with pytest.raises(ValueError, match="2 elements are known as two different values"):
        one * Noisy(torch.zeros(3), 1.0) * other
    assert (one * one).pinned.tolist() == [True, False, True]


def test_what_odds_are_worth_is_their_mean():
    """log E[r] of two bits, by all four of their states."""
    p, odds = Bernoulli.of_logits(f64([[0.3, -1.0]])), Odds(f64(0.7, -2.0))
    states = f64([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    each = p.log_prob(states).sum(1) + odds.log(states)
    torch.testing.assert_close(odds.normaliser(p), each.logsumexp(0, keepdim=True))


def test_masks_have_no_odds():
    """States of an absorbing chain: 0 to 2 are symbols, 3 is the mask."""
    odds = SymbolOdds(f64([[0.5, -2.0, 0.1], [1.0, 0.0, 3.0]]))
    x = f64([[0.0, 3.0], [3.0, 2.0], [3.0, 3.0], [1.0, 1.0]])
    torch.testing.assert_close(odds.log(x), f64(0.5, 3.0, 0.0, -2.0))
