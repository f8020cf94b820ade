"""The bound by weighted trajectories, against enumeration and chains whose every weight is the answer."""

import pytest
import torch

from enumeration import BITS, SYMBOLS, built, cube, dirichlet, enumerated
from oracles import GaussianReverse, f64, normals
from undiffuse.bounds import log_weight, nelbo, weighted
from undiffuse.kernels import Gaussian
from undiffuse.random import keyed
from undiffuse.schedules import LogLinear, grids

KERNEL = Gaussian(LogLinear(6, -8))


def test_of_an_exact_reverse_process_every_weight_is_the_density():
    mean, var = f64(0.4, -1.0), f64(0.5, 2.0)
    model, x_0 = GaussianReverse(KERNEL, mean, var), normals(30, 2)
    alpha, sigma = KERNEL.alpha_sigma(f64(1.0))
    model.prior = lambda like: torch.distributions.Normal(alpha * mean, (alpha**2 * var + sigma**2).sqrt())
    expected = torch.distributions.Normal(mean, var.sqrt()).log_prob(x_0).sum(1)
    for steps in (1, 2, 9):
        found = log_weight(model, x_0, grid=grids.uniform(steps), generator=keyed(steps))
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel", [*BITS.values(), *SYMBOLS.values()])
def test_weights_are_unbiased(kernel):
    """Their mean is the chain's own probability, which is enumerated; the bound is the mean of their logs."""
    bits = kernel in BITS.values()
    states = cube(3, 2 if bits else 3)
    model, grid = built(kernel, states, dirichlet(len(states))), grids.uniform(3)
    masks = kernel is SYMBOLS["absorbing"]
    exact = enumerated(model, cube(3, 4) if masks else states, states, grid)
    x_0 = states[[1, 5]].repeat_interleave(20_000, 0)
    w = log_weight(model, x_0, grid=grid, generator=keyed("weights")).view(2, -1)
    se = w.exp().std(1) / w.shape[1] ** 0.5
    assert ((w.exp().mean(1) - exact[[1, 5]]).abs() < 4 * se).all()
    bound = nelbo(model, x_0, grid=grid, generator=keyed("bound")).total.view(2, -1)
    se = ((w.var(1) + bound.var(1)) / w.shape[1]).sqrt()
    assert ((w.mean(1) + bound.mean(1)).abs() < 4 * se).all()


def test_more_trajectories_are_nearer():
    states = cube(3, 2)
    model, grid = built(BITS["half"], states, dirichlet(8)), grids.uniform(3)
    exact = enumerated(model, states, states, grid)
    rows = states[[5]].expand(3000, 3)
    found = [weighted(model, rows, grid=grid, trajectories=k).mean(0) for k in (1, 3, 20)]
    gaps = [float(mean + exact[5].log()) for mean, _, _ in found]
    assert gaps[0] > 1.3 * gaps[1] > 2 * gaps[2] > 0
    means = torch.stack([each[1] for each in found])
    assert (means - means.mean()).abs().max() < 0.05  # K = 1, whatever K is
    assert found[0][2] == 1 and 1 < found[1][2] < 3 and 5 < found[2][2] < 20


def test_a_row_does_not_depend_on_the_others():
    model, x_0 = GaussianReverse(KERNEL, f64(0.0, 1.0), f64(0.3, 0.3)), normals(7, 2)
    how = {"grid": grids.uniform(4), "trajectories": 2, "seed": 3}
    every = weighted(model, x_0, **how)
    torch.testing.assert_close(weighted(model, x_0, block=2, **how), every, rtol=0, atol=0)
    torch.testing.assert_close(weighted(model, x_0[:3], block=3, **how), every[:3], rtol=0, atol=0)


def test_none_is_refused():
    with pytest.raises(ValueError, match="trajectories=0: at least one"):
        weighted(
            GaussianReverse(KERNEL, f64(0.0), f64(1.0)), normals(2, 1), grid=grids.uniform(2), trajectories=0
        )
