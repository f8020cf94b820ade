"""Entropies of reverse steps between their bounds: closed forms for Gaussian data, bits by enumeration."""

import math

import pytest
import torch
from test_exact_bits import DATA, STATES, Perfect, marginals, matrix

from oracles import GaussianReverse, f64, normals
from undiffuse.bounds import step_entropies
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, Free
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, Linear, grids

BITS = 1 / (3 * math.log(2))


@pytest.mark.parametrize("var", [(1.0, 1.0, 1.0), (0.1, 0.5, 2.4), (1e-8, 1e-8, 3.0)])
def test_gaussian_steps_lie_between_beta_tilde_and_beta(var):
    """Bounds are those of the two variances; the exact step is 1/2 log det(2 pi e V_t) for trace(C) = n."""
    kernel, grid = Gaussian(Linear(1e-3, 0.3, steps=20)), grids.uniform(20)
    data = f64(*var).sqrt() * normals(64, 3)
    found = step_entropies(GaussianReverse(kernel, f64(0.0, 0.0, 0.0), f64(*var)), data, grid=grid)
    c = kernel.coefficients(grid[:-1], grid[1:])
    keep = kernel.schedule.keep(grid)[:, None]
    s = keep * f64(*var) + 1 - keep
    exact = 0.5 * (2 * math.pi * math.e * c.beta[:, None] * s[:-1] / s[1:]).log().sum(1)
    for row, nats in zip(
        found.means,
        (1.5 * (2 * math.pi * math.e * c.var).log(), 1.5 * (2 * math.pi * math.e * c.beta).log(), exact),
        strict=True,
    ):
        torch.testing.assert_close(row, nats * BITS, rtol=1e-9, atol=1e-9)
    assert (found.means[0] <= found.means[2] + 1e-12).all() and (
        found.means[2] <= found.means[1] + 1e-12
    ).all()
    assert found.errors.abs().max() < 1e-7


def test_data_that_break_the_condition_are_told():
    """Variance 4: the entropy of x_t falls, the upper bound fails, and the excess says so."""
    kernel, grid = Gaussian(Linear(1e-3, 0.3, steps=20)), grids.uniform(20)
    four = 4 * torch.ones(3).double()
    found = step_entropies(GaussianReverse(kernel, 0 * four, four), 2 * normals(4000, 3), grid=grid)
    assert (found.means[2] > found.means[1]).all()
    assert abs(found.excess.mean - 1.5 / math.log(2)) < 4 * found.excess.se
    one = step_entropies(GaussianReverse(kernel, 0 * four, four / 4), normals(4000, 3), grid=grid)
    assert abs(one.excess.mean) < 4 * one.excess.se


@pytest.mark.parametrize("p0", [0.5, 0.2])
def test_steps_of_bits_by_enumeration(p0):
    steps, laws, n = 5, marginals(5, p0), 20_000
    rows = torch.multinomial(DATA, n, True, generator=keyed("entropy rows"))
    kernel = Binomial(ConstantFraction(), p0)
    found = step_entropies(Denoiser(Perfect(p0), kernel), STATES[rows], grid=grids.uniform(steps))
    for i in range(2, steps + 1):
        hop = torch.from_numpy(matrix(steps, i, p0))  # [x_t, x_s]
        law, after = torch.from_numpy(laws[i - 1]), torch.from_numpy(laws[i])
        upper = float((law * torch.special.entr(hop).sum(0)).sum())
        given = [
            float((DATA * kernel.marginal(STATES, f64(j / steps)).entropy().sum(1)).sum()) for j in (i - 1, i)
        ]
        joint = hop * law
        exact = float(torch.special.entr(joint).sum() - torch.special.entr(after).sum())
        expected = (upper + given[0] - given[1], upper)
        for row in (0, 1):
            error = 4 * float(found.errors[row, i - 2]) + 1e-9
            assert abs(float(found.means[row, i - 2]) - expected[row] * BITS) < error
        assert expected[0] <= exact + 1e-12
        if p0 == 0.5:
            assert exact <= upper + 1e-12
        factorised = float(found.means[2, i - 2]) / BITS
        assert factorised >= exact - 4 * float(found.errors[2, i - 2]) / BITS


@pytest.mark.parametrize("p0", [0.5, 0.2])
def test_the_sandwich_of_bits_to_ten_digits(p0):
    """The kernel's entropies, weighted exactly, are the enumerated ones; the exact step lies between."""
    kernel, steps, laws = Binomial(ConstantFraction(), p0), 6, marginals(6, p0)
    for i in range(2, steps + 1):
        s, t = f64((i - 1) / steps), f64(i / steps)
        hop, law, after = (torch.from_numpy(x) for x in (matrix(steps, i, p0), laws[i - 1], laws[i]))
        upper = float(law @ kernel.transition(STATES, s, t).entropy().sum(1))
        assert upper == pytest.approx(float(law @ torch.special.entr(hop).sum(0)), abs=1e-10)
        given = [float(DATA @ kernel.marginal(STATES, u).entropy().sum(1)) for u in (s, t)]
        chain = torch.eye(8, dtype=torch.float64)
        for j in range(1, i + 1):
            chain = torch.from_numpy(matrix(steps, j, p0)) @ chain
            if j >= i - 1:
                enumerated = float(DATA @ torch.special.entr(chain).sum(0))
                assert given[j - i + 1] == pytest.approx(enumerated, abs=1e-10)
        joint = hop * law
        exact = float(torch.special.entr(joint).sum() - torch.special.entr(after).sum())
        assert upper + given[0] - given[1] <= exact + 1e-12
        assert p0 != 0.5 or exact <= upper + 1e-12


def test_entropies_of_examples_do_not_depend_on_their_company():
    class Wide(torch.nn.Module):
        def forward(self, x_t, t):
            return torch.cat([x_t, x_t], 1)

    model = Denoiser(Wide(), Gaussian(Linear(1e-3, 0.3, steps=20)), X0(), Free())
    data, grid = normals(20, 3), grids.uniform(4)
    found = [step_entropies(model, data, grid=grid, block=block) for block in (8, 20)]
    torch.testing.assert_close(found[0].means, found[1].means)
    torch.testing.assert_close(found[0].errors, found[1].errors)
    torch.testing.assert_close(found[0].excess.mean, found[1].excess.mean)
    assert found[0].errors[2].min() > 0.01
    for bad, steps in ((data[:1], 4), (data, 1)):
        with pytest.raises(ValueError, match="at least two"):
            step_entropies(model, bad, grid=grids.uniform(steps))
