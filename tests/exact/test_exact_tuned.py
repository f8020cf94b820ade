"""Grids that are sought for a solver: where they begin and end, and that other rows are nearer on them."""

import pytest
import torch
from torch import Tensor

from oracles import GaussianDenoiser, Nothing, f64, mixture, normals
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0
from undiffuse.random import keyed
from undiffuse.samplers import DEIS, DPMSolverPP, Exponential, Tuner, UniPC
from undiffuse.samplers.tuned import BENDS, FINE, pattern_search, warped
from undiffuse.schedules import ConstantFraction, Cosine, Linear, LogLinear, grids

EVEN = [0.0] * BENDS


MEANS = torch.randn(8, 2, dtype=torch.float64, generator=keyed("eight"))


def tuner(kernel: Gaussian, chain: Tensor, rows: int = 32, seed: int = 0) -> Tuner:
    return Tuner(mixture(kernel, MEANS, 0.3), normals(rows, 2, seed=seed), chain)


def test_the_density_of_places_is_what_the_bends_say():
    torch.testing.assert_close(warped(-4.0, 5.0, EVEN, 10), torch.linspace(-4, 5, 10).double())
    bends = [0.7, -1.1, 0.4]
    places = warped(-2.0, 4.0, bends, 4001)
    assert places[0] == -2 and places[-1] == 4
    u = (places[1:] + places[:-1]) / 2 / 3 - 1 / 3
    product = places.diff() * sum(b * u ** (k + 1) for k, b in enumerate(bends)).exp()
    torch.testing.assert_close(product, product.mean().expand_as(product), rtol=2e-3, atol=0)


def test_the_search_finds_the_least_of_a_bowl():
    centre = (1.7, -2.4, 0.3)

    def bowl(at):
        return sum((a - c) ** 2 for a, c in zip(at, centre, strict=True)) + 3

    at, least = pattern_search(bowl, 3, 1000)
    assert max(abs(a - c) for a, c in zip(at, centre, strict=True)) < 0.06 and least < 3.01
    assert pattern_search(bowl, 3, 1) == ([0.0] * 3, bowl([0.0] * 3))


CHAINS = [(Gaussian(LogLinear(10, -8)), grids.uniform(1000)), (Gaussian(Cosine(None)), grids.uniform(200))]


@pytest.mark.parametrize(("kernel", "chain"), CHAINS, ids=["log-linear", "cosine"])
@pytest.mark.parametrize("solver", [DEIS(3), UniPC(2)])
def test_other_rows_come_nearer_too(kernel, chain, solver):
    chosen, other = tuner(kernel, chain), tuner(kernel, chain, seed=9)
    grid, told = chosen.tuned(solver, 11)
    assert len(grid) == 11 and grid[-1] == 1 and grid[0] == chain[0]
    assert told == chosen.distance(solver, grid)
    even = other.distance(solver, other.grid(EVEN, 11))
    assert other.distance(solver, grid) < 0.75 * even
    assert torch.equal(chosen.tuned(solver, 11)[0], grid)


def test_the_fine_walk_is_where_the_flow_leads():
    """As far as the first latent tells."""
    kernel = Gaussian(LogLinear(10, -8))
    model = Denoiser(GaussianDenoiser(kernel, f64(0.4), f64(0.3)), kernel, X0())
    x_1 = normals(9, 1)
    found = Tuner(model, x_1, grids.uniform(1000)).x_0
    keep = kernel.schedule.keep(f64(1.0))
    exact = 0.4 + (x_1 - keep.sqrt() * 0.4) * (0.3 / (keep * 0.3 + 1 - keep)).sqrt()
    torch.testing.assert_close(found, exact, rtol=0, atol=2e-4)


def test_of_a_table_the_times_are_its_own():
    chain = grids.uniform(50)
    chosen = tuner(Gaussian(Linear(steps=50)), chain, rows=8)
    for steps in (5, 20):
        grid, _ = chosen.tuned(DPMSolverPP(2), steps)
        assert set(grid.tolist()) <= set(chain.tolist()) and len(grid) <= steps
    assert len(chosen.grid(EVEN, FINE)) <= 50


def test_refusals():
    chosen = tuner(*CHAINS[0], rows=2)
    with pytest.raises(ValueError, match="Exponential adds noise: no path of it can be judged"):
        chosen.tuned(Exponential(2, tau=1), 5)
    with pytest.raises(ValueError, match="steps=1: a grid of less than two times"):
        chosen.tuned(UniPC(2), 1)
    bits = Denoiser(Nothing(), Binomial(ConstantFraction()))
    with pytest.raises(ValueError, match="UniPC needs a Gaussian kernel"):
        Tuner(bits, normals(2, 3), grids.uniform(9))
