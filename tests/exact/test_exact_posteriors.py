"""Matched on normal data is the posterior of the model, with any number of steps: O9 (c) of the notes.

A chain from N(0, 1) by exact steps has a normal law of x_0 of its own; its posterior is the right answer.
"""

import pytest
import torch
from torch import Tensor

from oracles import CorrelatedReverse, GaussianReverse, conditioned, f64, law_of, moments, normals
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors import Factor, Flat, Known, Linear, LogDensity, Matched, Noisy, Tweedie
from undiffuse.posteriors.operators import Matrix
from undiffuse.random import keyed
from undiffuse.samplers import DDIM, reverse, sample
from undiffuse.schedules import Linear as LinearSchedule
from undiffuse.schedules import grids

MEAN, COV = f64(0.3, -0.2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double()
Y, SUM, ONLY, UNIT = f64(1.0, 0.2), f64([[1.0, 2.0]]), f64([[0.0, 1.0]]), torch.eye(2).double()
SECOND, PULL = torch.tensor([False, True]), f64(0.4, -0.7)
CHAIN = Gaussian(LinearSchedule(1e-3, 0.3, steps=20))  # keeps 0.03: x_1 still says something of x_0
MODELS = {
    "correlated": CorrelatedReverse(CHAIN, MEAN, COV),
    "diagonal": GaussianReverse(CHAIN, MEAN, f64(0.4, 2.5)),
}
EXACT = Known(f64(torch.nan, 1.0), SECOND)  # what is unknown may be anything
OBSERVED = {  # a factor, and the same as (a, y, noise); a pull exp(g x) moves the mean by C g
    "noisy": (Noisy(Y, 0.7), (UNIT, Y, 0.49 * UNIT), 0 * PULL),
    "wider": (Noisy(Y, f64(0.7, 2.0)), (UNIT, Y, torch.diag(f64(0.49, 4.0))), 0 * PULL),
    "known": (EXACT, (ONLY, f64([1.0]), 0 * f64([[1.0]])), 0 * PULL),
    "linear": (Linear(Matrix(SUM), f64([1.0]), 0.5), (SUM, f64([1.0]), f64([[0.25]])), 0 * PULL),
    "user's": (Linear(lambda x: x @ SUM.mT, f64([1.0]), 0.5), (SUM, f64([1.0]), f64([[0.25]])), 0 * PULL),
    "noisy, known": (
        Noisy(Y, 0.7) * EXACT,
        (torch.cat([UNIT, ONLY]), f64(1.0, 0.2, 1.0), torch.diag(f64(0.49, 0.49, 0.0))),
        0 * PULL,
    ),
    "noisy, linear": (
        Noisy(Y, 0.7) * Linear(Matrix(SUM), f64([1.0]), 0.5),
        (torch.cat([UNIT, SUM]), f64(1.0, 0.2, 1.0), torch.diag(f64(0.49, 0.49, 0.25))),
        0 * PULL,
    ),
    "pulled, noisy": (LogDensity(lambda x: x @ PULL) * Noisy(Y, 0.7), (UNIT, Y, 0.49 * UNIT), PULL),
}
MODEL, EVERY = (
    pytest.mark.parametrize("model", MODELS.values(), ids=MODELS),
    pytest.mark.parametrize("name", OBSERVED),
)


def right(name: str, mean: Tensor, cov: Tensor) -> tuple[Factor, Tensor, Tensor, Tensor]:
    """The factor, and N(mean, cov) times it: mean, covariance, log evidence but for that of a pull."""
    factor, (a, y, noise), pull = OBSERVED[name]
    mean, cov, log_z = conditioned(mean, cov, a, y, noise)
    return factor, mean + cov @ pull, cov, log_z


def same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], atol: float = 1e-6) -> None:
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=atol)


@MODEL
@EVERY
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_chain_leads_to_the_posterior(model: ReverseProcess, name: str, steps: int):
    grid = grids.uniform(steps)
    factor, *exact, _ = right(name, *law_of(model, 2, grid))
    same(law_of(model * factor, 2, grid), tuple(exact))


@pytest.mark.slow
def test_two_hundred_steps_lead_there_too():
    kernel = Gaussian(LinearSchedule(steps=None))  # keeps 4e-5
    model, grid = CorrelatedReverse(kernel, MEAN, COV), grids.uniform(200)
    law = law_of(model, 2, grid)
    for name in ("noisy", "known"):
        factor, *exact, _ = right(name, *law)
        same(law_of(model * factor, 2, grid), tuple(exact))
        same(tuple(exact), right(name, MEAN, COV)[1:3], 1e-4)  # the data's own, but for what keeps


@MODEL
@EVERY
def test_prediction_and_evidence_at_every_time(model: ReverseProcess, name: str):
    """E[x_0 | x_t, r], and E[r | x_t] up to a constant."""
    x_t, ratios = normals(5, 2), []
    for t in f64(0.05, 0.35, 0.8, 1.0):
        mean, cov = moments(model.decode(x_t, t))
        product = model * OBSERVED[name][0]
        exact = [right(name, row, cov) for row in mean]
        torch.testing.assert_close(
            product.predict(x_t, t), torch.stack([e[1] for e in exact]), rtol=0, atol=1e-9
        )
        log_r = product.look(x_t, t, t / 2).log_r()
        ratios.append(log_r - torch.stack([e[3] for e in exact]))
    if not OBSERVED[name][2].any():
        torch.testing.assert_close(torch.cat(ratios), ratios[0][:1].expand(20), rtol=0, atol=1e-6)


def test_known_elements_may_differ_from_row_to_row():
    """Observations (B, *shape) are those of the rows, one by one."""
    model, x_t, (t, s) = MODELS["correlated"], normals(4, 2), f64(0.6, 0.4)
    value, mask = (
        normals(4, 2, seed=1),
        torch.tensor([[True, False], [False, True], [False, False], [True, True]]),
    )
    every = [
        Known(value, mask),
        Noisy(value, 0.3),
        Noisy(value, value.abs()),
        Linear(Matrix(SUM), value[:, :1], 0.4),
    ]
    every += [Known(value, mask) * Noisy(2 * value, 0.3)]
    rows = [
        lambda i: Known(value[i], mask[i]),
        lambda i: Noisy(value[i], 0.3),
        lambda i: Noisy(value[i], value[i].abs()),
        lambda i: Linear(Matrix(SUM), value[i, :1], 0.4),
        lambda i: Known(value[i], mask[i]) * Noisy(2 * value[i], 0.3),
    ]
    for factor, row in zip(every, rows, strict=True):
        whole = model * factor
        for i in range(4):
            alone, x = model * row(i), x_t[i : i + 1]
            for ours, one in (
                (whole.step(x_t, t, s), alone.step(x, t, s)),
                (whole.decode(x_t, t), alone.decode(x, t)),
                (whole.prior(x_t), alone.prior(x)),
            ):
                same((ours.mean[i], _cov(ours, i)), (one.mean[0], _cov(one, 0)), 1e-10)


def _cov(p, i: int) -> Tensor:
    return moments(p.rows(torch.tensor([i])))[1]


WIDE = 40  # values: more than belief.DENSE
DECAY = 0.8 ** (torch.arange(WIDE)[:, None] - torch.arange(WIDE)).abs().double()
MANY = CorrelatedReverse(CHAIN, 0.1 * torch.arange(WIDE).double(), DECAY)
HALF = torch.arange(WIDE) < 15
PARTS = torch.block_diag(*[torch.ones(1, 4).double()] * 10)
LONG = {
    "noisy": (
        Noisy(torch.ones(WIDE).double(), 0.5),
        (torch.eye(WIDE).double(), torch.ones(WIDE).double(), 0.25),
    ),
    "known": (
        Known(torch.ones(WIDE).double(), HALF),
        (torch.eye(WIDE).double()[HALF], torch.ones(15).double(), 0.0),
    ),
    "linear": (Linear(Matrix(PARTS), torch.ones(10).double(), 0.5), (PARTS, torch.ones(10).double(), 0.25)),
}
FROM = normals(WIDE, seed=4)
LONG |= {
    f"{name}, pulled": (factor * LogDensity(lambda x: x @ FROM), said)
    for name, (factor, said) in LONG.items()
}


@pytest.mark.parametrize("name", LONG)
def test_examples_of_many_values_have_the_right_mean(name: str):
    """Conjugate gradients, to their end: E[x_0 | x_t, r] and the step's mean, by the bridge to it."""
    factor, (a, y, var) = LONG[name]
    product, x_t, (t, s) = Matched(MANY, factor, Tweedie(60)), normals(3, WIDE), f64(0.5, 0.35)
    mean, cov = moments(MANY.decode(x_t, t))
    exact = []
    for row in mean:
        found, left, _ = conditioned(row, cov, a, y, var * torch.eye(len(a)).double())
        exact.append(found + left @ FROM if "pulled" in name else found)
    expected = torch.stack(exact)
    torch.testing.assert_close(product.predict(x_t, t), expected, rtol=0, atol=1e-5)
    bridge = CHAIN.bridge(expected, x_t, s, t)
    torch.testing.assert_close(product.step(x_t, t, s).mean, bridge.mean, rtol=0, atol=1e-5)
    product = Matched(MANY, factor, Tweedie(1))
    assert not torch.allclose(product.predict(x_t, t), expected, atol=1e-2)


@pytest.mark.parametrize("var", [1.0, 0.3])
@pytest.mark.parametrize("shape", [(2,), (WIDE,)])
def test_flat_is_right_for_white_data(var: float, shape: tuple[int]):
    data = torch.full(shape, var, dtype=torch.float64)
    model, x_t = GaussianReverse(CHAIN, 0 * data + 0.2, data), normals(3, *shape)
    for factor in (
        Noisy(0 * data + 1, 0.5),
        Noisy(0 * data + 1, 0.5) * Known(0 * data, data.cumsum(0) < 1.5 * var),
    ):
        flat, full = Matched(model, factor, Flat(var)), Matched(model, factor, Tweedie(60))
        for t, s in ((f64(1.0), f64(0.6)), (f64(0.4), f64(0.35))):
            torch.testing.assert_close(flat.predict(x_t, t), full.predict(x_t, t), rtol=0, atol=1e-9)
            torch.testing.assert_close(
                flat.step(x_t, t, s).mean, full.step(x_t, t, s).mean, rtol=0, atol=1e-9
            )


@MODEL
@pytest.mark.parametrize("name", ["noisy", "known", "linear", "noisy, known"])
def test_samples_are_draws_of_the_posterior(model: ReverseProcess, name: str):
    n, grid = 8_000, grids.uniform(5)
    factor, mean, cov, _ = right(name, *law_of(model, 2, grid))
    x = sample(model * factor, (n, 2), generator=keyed(name), grid=grid, block=n).double()
    var = cov.diagonal().clamp(min=0)
    assert ((x.mean(0) - mean).abs() <= 4 * (var / n).sqrt() + 1e-6).all()
    wide = var[:, None] * var + cov.square()  # of a product of two deviations
    assert ((torch.cov(x.T) - cov).abs() <= 4 * (wide / n).sqrt() + 1e-6).all()


@pytest.mark.parametrize("name", ["noisy", "linear"])
def test_ode_samplers_walk_to_the_posterior(name: str):
    """DDIM on the product ends where the probability flow of N(m', C') does; the error halves with the steps.

    x_t of the flow has the law N(alpha m', alpha^2 C' + sigma^2), along the fixed axes of C'.
    """
    kernel = Gaussian(LinearSchedule(steps=None))
    model, first = CorrelatedReverse(kernel, MEAN, COV), f64(1e-3)
    factor, mean, cov, _ = right(name, MEAN, COV)
    width, axes = torch.linalg.eigh(cov)
    keep = kernel.schedule.keep(f64(1.0)), kernel.schedule.keep(first)
    now, end = ((k * width + 1 - k).sqrt() for k in keep)
    x_1 = normals(3, 2)
    exact = keep[1].sqrt() * mean + (x_1 - keep[0].sqrt() * mean) @ axes * (end / now) @ axes.mT
    exact = _denoised(exact, keep[1], mean, cov)
    errors = []
    for steps in (40, 80, 160):
        grid = grids.logsnr(kernel.schedule, steps, float(first))
        *_, (_, x) = reverse(model * factor, x_1, sampler=DDIM(), grid=grid, generator=keyed(0))
        errors.append(float((x - exact).abs().max()))
    assert errors[-1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.25)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.15)


def _denoised(x: Tensor, keep: Tensor, mean: Tensor, cov: Tensor) -> Tensor:
    """E[x_0 | x_t] of N(mean, cov)."""
    seen = keep * cov + (1 - keep) * UNIT
    return mean + keep.sqrt() * (x - keep.sqrt() * mean) @ torch.linalg.inv(seen) @ cov


@MODEL
@pytest.mark.parametrize(
    "one", [LogDensity(lambda x: 0 * x.sum(1)), Known(0 * Y, SECOND & False)], ids=["1", "none"]
)
def test_a_factor_of_one_is_the_identity(model: ReverseProcess, one: Factor):
    x_t, (t, s) = normals(5, 2), f64(0.6, 0.4)
    product = model * one
    torch.testing.assert_close(product.predict(x_t, t), model.predict(x_t, t), rtol=0, atol=1e-12)
    for ours, base in (
        (product.step(x_t, t, s), model.step(x_t, t, s)),
        (product.decode(x_t, t), model.decode(x_t, t)),
        (product.prior(x_t), model.prior(x_t)),
    ):
        same(moments(ours), moments(base), 1e-12)


@MODEL
def test_all_known_is_the_value(model: ReverseProcess):
    product, grid = model * Known(Y, SECOND | True), grids.uniform(3)
    torch.testing.assert_close(product.predict(normals(5, 2), f64(0.6)), Y.expand(5, 2), rtol=0, atol=1e-9)
    assert (sample(product, (5, 2), generator=keyed(0), grid=grid) == Y).all()
    same(law_of(product, 2, grid), (Y, 0 * COV), 0)


def test_multiplied_twice_is_multiplied_by_both():
    """model * a * b is model * (a * b), by the rule of the first product, whatever is in brackets."""
    model, x_t, (t, s) = MODELS["correlated"], normals(5, 2), f64(0.6, 0.4)
    a, b, c = Noisy(Y, 0.7), Linear(Matrix(SUM), f64([1.0]), 0.5), Known(Y, SECOND)
    for ours, other in ((model * a * b * c, model * (a * (b * c))), (Matched(model, a, Flat()) * b, None)):
        assert isinstance(ours, Matched)
        if other is None:
            assert isinstance(ours.spread, Flat)
        else:
            same(moments(ours.step(x_t, t, s)), moments(other.step(x_t, t, s)), 1e-12)


def test_a_factor_asks_for_the_products_that_were_measured_best():
    noisy, part = Noisy(torch.zeros(WIDE), 0.5), Linear(lambda x: x[:, :3], torch.zeros(3), 0.5)
    for factor, products in ((noisy, 1), (part, 2), (noisy * part, 2), (noisy * noisy, 1)):
        assert (MANY * factor).spread.iterations == products
