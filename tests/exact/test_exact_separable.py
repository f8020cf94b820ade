"""Tables times what else is known of their columns: closed forms, enumeration, and weights that repair."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mixed_oracle import COVARIANCES, KERNEL, LAW, MEANS, STATES, Exact, seen
from oracles import f64, normals
from undiffuse import samplers
from undiffuse.distributions import Categorical, Columns, Normal, Part
from undiffuse.kernels import Gaussian
from undiffuse.posteriors import Known, Separable, Tilted
from undiffuse.random import keyed
from undiffuse.schedules import LogLinear, grids

ODDS = f64(0.0, 1.2)  # of the bit
MIDDLE, WIDTH = 0.4, 0.5  # what is seen of the last number


def observed(z: Tensor) -> Tensor:
    return -0.5 * ((z - MIDDLE) / WIDTH).square()


def weighted(x: Tensor) -> Tensor:
    return ODDS[x.long()]


def exact() -> tuple[np.ndarray, float]:
    """p(b, k | r), and log Z, for both factors."""
    var = COVARIANCES[:, 1, 1] + WIDTH**2
    seen = WIDTH / np.sqrt(var) * np.exp(-0.5 * (MIDDLE - MEANS[:, 1]) ** 2 / var)
    joint = LAW * seen * np.exp([float(ODDS[b]) for b, _ in STATES])
    return joint / joint.sum(), math.log(joint.sum())


def columns(loc: Tensor, var: Tensor, logits: Tensor) -> Columns:
    law = Categorical(logits, torch.arange(3).double())
    parts = [Part(torch.tensor([0, 3]), Normal(loc, var)), Part(torch.tensor([1, 2]), law)]
    return Columns(parts, torch.zeros(len(loc), 4, dtype=torch.bool))


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_a_law_of_columns_times_factors_is_bayes(power):
    """A normal factor is conjugate, odds add up, and columns without a factor stay."""
    loc, var = normals(50, 2), 0.05 + normals(50, 2, seed=1).square()
    logits = normals(50, 2, 3, seed=2)
    logits[:, 0, 2] = -100.0  # the bit has no third
    law = columns(loc, var, logits)
    r = Separable({3: observed, 1: weighted, 2: lambda x: 0.7 * x})
    found = r.times(columns(loc, var, logits), f64(power))
    left = 1 / (1 / var[:, 1] + power / WIDTH**2)
    middle = left * (loc[:, 1] / var[:, 1] + power * MIDDLE / WIDTH**2)
    torch.testing.assert_close(found.parts[0].law.loc, torch.stack([loc[:, 0], middle], 1), atol=1e-8, rtol=0)
    torch.testing.assert_close(found.parts[0].law.var, torch.stack([var[:, 0], left], 1), atol=1e-8, rtol=0)
    more = torch.stack([torch.stack([*ODDS, f64(0.0)]), 0.7 * torch.arange(3).double()])
    expected = (logits + power * more).log_softmax(-1)[:, 1]
    torch.testing.assert_close(found.parts[1].law.log_probs[:, 1], expected, atol=1e-12, rtol=0)
    if power == 1:
        wider = var[:, 1] + WIDTH**2
        log_z = -0.5 * (MIDDLE - loc[:, 1]).square() / wider - 0.5 * (wider / WIDTH**2).log()
        log_z = log_z + ((logits.log_softmax(-1)) + more).logsumexp(-1).sum(1)
        torch.testing.assert_close(r.normaliser(law), log_z, atol=1e-8, rtol=0)


def test_the_first_look_at_a_symbol_is_enumeration():
    """r_t(x_t) = E[r(x_0) | x_t], exactly for a factor of one column."""
    x = torch.stack(
        [normals(20), torch.arange(20).double() % 2, torch.arange(20).double() % 3, normals(20)], 1
    )
    t = f64(0.45)
    log, _, _ = seen(0.45, x[:, [0, 3]].numpy(), *(x[:, i].long().numpy() for i in (1, 2)))
    shares = np.exp(log) / np.exp(log).sum(1, keepdims=True)
    expected = np.log(shares @ np.exp([float(ODDS[b]) for b, _ in STATES]))
    product = Exact() * Separable({1: weighted})
    assert isinstance(product, Tilted)
    np.testing.assert_allclose(product.look(x, t, t / 2).log_r(), expected, atol=1e-9)


@pytest.mark.parametrize("steps", [2, 12])
def test_particles_lead_to_the_posterior_and_its_evidence(steps):
    """However few the steps: the chain's own evidence tends to the data's with them."""
    product = Exact() * Separable({1: weighted, 3: observed})
    found = samplers.evidence(
        product, (4,), generator=keyed("rows"), particles=500, groups=10, grid=grids.uniform(steps)
    )
    law, log_z = exact()
    slack = 0.15 if steps == 2 else 0.02
    assert abs(found.log_evidence - log_z) < 4 * found.se + slack
    place = (3 * found.x_0[:, 1] + found.x_0[:, 2]).long()
    shares = torch.bincount(place, minlength=6) / len(place)
    assert (shares.double() - torch.from_numpy(law)).abs().max() < 0.03 + slack


def test_known_numbers_tell_of_symbols():
    """p(b, k | x) by Bayes, from the model times what is known, as from no condition at all."""
    value, mask = torch.zeros(1, 4), torch.tensor([[True, False, False, True]])
    value[0, 0], value[0, 3] = 0.3, 0.6
    product = Exact() * Known(value.double(), mask)
    found = samplers.evidence(
        product, (4,), generator=keyed("known"), particles=500, groups=10, grid=grids.uniform(20)
    )
    away = value[0, [0, 3]].numpy() - MEANS
    bent = np.einsum("ci,cij,cj->c", away, np.linalg.inv(COVARIANCES), away)
    joint = LAW * np.exp(-0.5 * bent) / np.sqrt(np.linalg.det(2 * np.pi * COVARIANCES))
    place = (3 * found.x_0[:, 1] + found.x_0[:, 2]).long()
    shares = torch.bincount(place, minlength=6) / len(place)
    assert (shares.double() - torch.from_numpy(joint / joint.sum())).abs().max() < 0.05
    assert abs(found.log_evidence - math.log(joint.sum())) < 4 * found.se + 0.05
    torch.testing.assert_close(found.x_0[:, [0, 3]], value[:, [0, 3]].double().expand(len(place), 2))


def test_a_step_is_the_mean_of_the_steps_of_x_0():
    """Of a soft x_0: of draws of it, each with its own bridge, by their moments and frequencies."""
    s, t, n = f64(0.2), f64(0.5), 200_000
    loc, var, logits = f64(0.4, -1.0).view(1, 2), f64(0.3, 0.1).view(1, 2), normals(1, 2, 3)
    logits[0, 0, 2] = -math.inf
    x_t = f64(0.1, 1.0, 2.0, -0.5).view(1, 4)
    found = KERNEL.bridge(columns(loc, var, logits), x_t, s, t)
    drawn = columns(*(each.expand(n, *each.shape[1:]) for each in (loc, var, logits))).sample(keyed("x_0"))
    each = KERNEL.bridge(drawn, x_t.expand(n, 4), s, t)
    means = each.parts[0].law.loc
    torch.testing.assert_close(found.parts[0].law.loc[0], means.mean(0), atol=5e-3, rtol=0)
    spread = each.parts[0].law.var + means.var(0)
    torch.testing.assert_close(found.parts[0].law.var[0], spread.expand(2), atol=5e-3, rtol=0)
    probs = each.parts[1].law.logits.softmax(-1).mean(0)
    torch.testing.assert_close(found.parts[1].law.logits.softmax(-1)[0], probs, atol=5e-3, rtol=0)


def test_other_data_are_refused():
    with pytest.raises(ValueError, match="one column at least"):
        Separable({})
    with pytest.raises(ValueError, match="no column 7 among 4"):
        Exact() * Separable({7: observed})
    with pytest.raises(ValueError, match="a table's columns"):
        Separable({0: observed}).check(Gaussian(LogLinear(5, -6)))
