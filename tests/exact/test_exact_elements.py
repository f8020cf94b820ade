"""The bound laid out over elements: its sum, elements of their own, and those that hang together."""

import math

import pytest
import torch
from test_exact_tables import COUNTS, MODEL, NUMBERS, RAW, encoded
from torch import Tensor

from oracles import Nothing, f64, mixture, normals
from undiffuse.axes import Axes
from undiffuse.bases import Frequencies, GaussianBase
from undiffuse.bounds import blocks, elements
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.posteriors import Noisy
from undiffuse.schedules import ConstantFraction, LogLinear

GRID = torch.arange(1, 21, dtype=torch.float64) / 20
KERNEL = Gaussian(LogLinear(8, -12))
TURN = f64(1, 1, 1, -1).view(2, 2) / math.sqrt(2)
TURNED = Denoiser.on(GaussianBase(f64(0.5, -1), f64(1.96, 0.04), Axes.whole(TURN)), Nothing(2), KERNEL)
APART = Denoiser.on(GaussianBase(f64(0.5, -1), f64(4, 0.01), Axes()), Nothing(2), KERNEL)
BITS = Denoiser.on(Frequencies(f64(0.9, 0.1, 0.5, 0.5).view(2, 2)), Nothing(), Binomial(ConstantFraction()))
PLAIN = mixture(KERNEL, normals(2, 3), 0.5)
SEEN = PLAIN * Noisy(normals(3), 0.5)
HOLES = encoded(RAW)[:40].where(torch.rand(40, len(COUNTS)) < 0.8, math.nan)
PAIRS = [
    (PLAIN, normals(40, 3)),
    (TURNED, normals(40, 2)),
    (BITS, (normals(40, 2) > 0).double()),
    (SEEN, normals(40, 3)),
    (MODEL, HOLES),
]


@pytest.mark.parametrize("terms", [None, 4])
@pytest.mark.parametrize(("model", "x_0"), PAIRS, ids=["network", "turned", "bits", "product", "table"])
def test_they_add_up_to_the_bound(model: ReverseProcess, x_0: Tensor, terms: int | None):
    found = elements(model, x_0, grid=GRID, seed=3, terms=terms)
    whole = torch.cat([part.total for _, part in blocks(model, x_0, grid=GRID, seed=3, terms=terms)])
    assert found.shape == x_0.shape and found.dtype == torch.float64
    assert found.sum(1).allclose(whole, rtol=1e-6, atol=1e-5)


def mean_of(model: ReverseProcess, x: Tensor, grid: Tensor = GRID) -> tuple[Tensor, Tensor]:
    """The mean over many draws of one example, and its standard error."""
    found = elements(model, x.repeat(4000, 1), grid=grid)
    return found.mean(0), found.std(0) / len(found) ** 0.5


def test_elements_on_their_own_cost_what_each_is():
    x = f64(2.5, -1.05)
    mean, error = mean_of(APART, x)
    exact = -torch.distributions.Normal(f64(0.5, -1), f64(2, 0.1)).log_prob(x)
    assert ((mean - exact).abs() < 5 * error + 1e-6).all()
    mean, error = mean_of(BITS, f64(1, 1))
    assert ((mean - f64(0.1, 0.5).log().neg()).abs() < 5 * error + 1e-6).all()


def test_those_that_hang_together_are_given_the_ones_before():
    """One step from pure noise: all that is paid for is x_1, and then x_2 given x_1."""
    x = f64(0.5 + 0.9, -1 - 0.9)  # each is usual, but not beside the other
    mean, error = mean_of(TURNED, x, torch.ones(1, dtype=torch.float64))
    first = torch.distributions.Normal(0.5, 1.0).log_prob(x[0])
    second = torch.distributions.Normal(-1 + 0.96 * 0.9, (1 - 0.96**2) ** 0.5).log_prob(x[1])
    assert ((mean + torch.stack([first, second])).abs() < 5 * error + 1e-3).all()
    assert mean[1] > mean[0] + 4


def test_cells_that_are_left_out_cost_nothing():
    found = elements(MODEL, HOLES, grid=GRID)
    assert (found[HOLES.isnan()] == 0).all() and (found[~HOLES.isnan()] != 0).all()
    assert found[:, NUMBERS].abs().sum() > 0
