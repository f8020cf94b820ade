"""Exact counts against enumeration: of D symbols, D steps draw from the data's own law."""

import pytest
import torch

from enumeration import built, cube, dirichlet, table
from oracles import f64
from undiffuse.kernels import Absorbing, Categorical
from undiffuse.posteriors import Known, SymbolOdds
from undiffuse.random import keyed
from undiffuse.samplers import Ancestral, Counted, reverse, start
from undiffuse.schedules import ConstantFraction, Cosine, grids

N, K, MANY = 4, 2, 40_000
STATES, LAW = cube(N, K), dirichlet(K**N, seed=2)
MODEL = built(Absorbing(ConstantFraction(), K), STATES, LAW)


def law_of(model, sampler, steps: int) -> torch.Tensor:
    """Shares of all states among many samples."""
    generator = keyed("counted", steps)
    x_1 = start(model, torch.zeros(MANY, N, dtype=torch.float64), generator)
    *_, (_, x) = reverse(model, x_1, sampler=sampler, grid=grids.uniform(steps), generator=generator)
    places = (x * f64(*(K**i for i in reversed(range(N))))).sum(1).long()
    return torch.bincount(places, minlength=K**N) / MANY


def differs(found: torch.Tensor, law: torch.Tensor) -> float:
    """Pearson's chi^2 over its mean, the number of states less one."""
    return float((MANY * (found - law).square() / law).sum() / (len(law) - 1))


def test_as_many_steps_as_symbols_are_exact():
    assert differs(law_of(MODEL, Counted(), N), LAW) < 2
    assert differs(law_of(MODEL, Ancestral(), N), LAW) > 20  # which no number of steps of this order is
    assert differs(law_of(MODEL, Counted(), 7), LAW) < 2


def test_fewer_are_nearer_than_ancestral_ones():
    for steps in (2, 3):
        counted, ancestral = (
            (law_of(MODEL, each, steps) - LAW).abs().sum() for each in (Counted(), Ancestral())
        )
        assert counted < 0.85 * ancestral


def test_a_product_is_counted_too():
    """Times odds that are exact for independent symbols, of a law that is so."""
    odds = torch.tensor([[0.5, -2.0], [1.0, 0.0], [0.0, 1.5], [0.0, 0.3]]).double()
    rates = torch.tensor([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]).double()
    law = torch.stack([rates[i][STATES[:, i].long()] for i in range(N)]).prod(0)
    product = built(Absorbing(ConstantFraction(), K), STATES, law) * SymbolOdds(odds)
    weighed = law * torch.stack([odds[i][STATES[:, i].long()] for i in range(N)]).sum(0).exp()
    assert differs(law_of(product, Counted(), N), weighed / weighed.sum()) < 2
    held = MODEL * Known(f64(1.0, 0.0, 0.0, 0.0), torch.tensor([True, False, False, False]))
    assert law_of(held, Counted(), N)[: K ** (N - 1)].sum() == 0


@pytest.mark.parametrize("schedule", [ConstantFraction(), Cosine(None)])
@pytest.mark.parametrize("steps", [2, 5, 9])
def test_the_number_of_masks_is_that_of_the_time(schedule, steps):
    model = built(Absorbing(schedule, K), STATES, LAW)
    x_1 = torch.full((50, N), float(K)).double()
    for t, x in reverse(model, x_1, sampler=Counted(), grid=grids.uniform(steps), generator=keyed(steps)):
        left = 0 if t == 0 else round(N * (1 - float(schedule.keep(f64(t)))))
        assert ((x == K).sum(1) == left).all()


def test_it_begins_wherever_a_walk_is():
    """Of symbols that were seen none is changed, and none is masked again."""
    x_t = f64(1.0, 2.0, 0.0, 2.0).expand(30, N).clone()
    x_s, _ = Counted().step(MODEL, x_t, f64(0.9), f64(0.8), None, keyed(0))
    assert torch.equal(x_s, x_t)  # three masks are too many for it already
    x_s, _ = Counted().step(MODEL, x_t, f64(0.9), f64(0.25), None, keyed(0))
    assert ((x_s == K).sum(1) == 1).all() and torch.equal(x_s[:, [0, 2]], x_t[:, [0, 2]])


def test_other_kernels_are_refused():
    model = built(Categorical(ConstantFraction(), K), STATES, LAW)
    with pytest.raises(ValueError, match="Counted counts masks, of which a Categorical kernel has none"):
        Counted().check(model)
    assert table(MODEL.prior(STATES[:1]), cube(N, K + 1)).shape == (1, 3**N)
