"""Laws of factors, and what they refuse."""

import math

import pytest
import torch
from examples import FACTORS, each

from oracles import f64
from undiffuse.distributions import Bernoulli, Normal
from undiffuse.kernels import Binomial, Categorical, Gaussian, Kernel, Mixed
from undiffuse.posteriors import Factor, Known, Noisy
from undiffuse.random import keyed
from undiffuse.schedules import Linear

KERNELS_3 = [Gaussian(Linear()), Binomial(Linear()), Categorical(Linear(), 3), Mixed(Linear(), [0, 3, 2])]


def _takes(factor: Factor, kernel: Kernel) -> bool:
    try:
        factor.check(kernel)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("factor", **each(FACTORS))
def test_factors_leave_shape_and_type(factor: Factor):
    kernel = next((k for k in KERNELS_3 if _takes(factor, k)), None)
    assert kernel is not None
    p = kernel.prior(torch.zeros(7, 3))
    for _ in range(2):
        p = factor.times(p)
    x = p.sample(keyed(0))
    assert p.shape == x.shape == (7, 3) and x.dtype == torch.float32
    assert factor.log(x).shape == factor.normaliser(p).shape == (7,)


def test_refusals():
    value, mask = torch.zeros(3), torch.ones(3).bool()
    for other in (torch.ones(3), torch.ones(2).bool(), torch.ones(1, 3).bool()):
        with pytest.raises(ValueError, match=r"mask is .*give torch.bool of value's shape \(3,\)"):
            Known(value, other)
    for std in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"std={std}.*positive"):
            Noisy(value, std)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="value: 1 of 3 numbers"):
            Noisy(f64(0.0, bad, 0.0), 1.0)
        with pytest.raises(ValueError, match="value where mask is True: 1 of 2 numbers"):
            Known(f64(0.0, bad, 0.0), torch.tensor([True, True, False]))
    with pytest.raises(ValueError, match=r"normal noise on a Bernoulli.*use Known"):
        Noisy(value, 1.0).times(Bernoulli.of_logits(torch.zeros(2, 3)))
    for shape in ((5, 3), (2,), (1, 2, 3)):
        factor = Known(torch.zeros(shape), torch.zeros(shape).bool())
        with pytest.raises(ValueError, match=r"value has shape .* seen of the states \(4, 3\)"):
            factor.times(Normal(torch.zeros(4, 3), f64(1.0)))
    assert Known(value, mask).times(Normal(torch.zeros(4, 3), f64(1.0))).mean.abs().max() == 0
