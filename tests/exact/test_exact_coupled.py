"""Products on correlated symbols against enumeration: weighed paths, exact twists, particles."""

import functools
import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from enumeration import (
    BITS,
    SYMBOL_FACTORS,
    SYMBOLS,
    TRIPLES,
    N,
    built,
    cube,
    dirichlet,
    enumerated,
    table,
    weighed,
)
from undiffuse.distributions import Bernoulli
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.posteriors import (
    Annealed,
    Classifier,
    Constant,
    Factor,
    Known,
    Linearised,
    LogDensity,
    Odds,
    Product,
    Tilted,
)
from undiffuse.product import Look
from undiffuse.random import Generator, keyed, uniform
from undiffuse.samplers import evidence
from undiffuse.schedules import grids
from undiffuse.tensors import total


def coupled(x: Tensor) -> Tensor:
    """A log r that couples neighbours."""
    return 1.5 * (x[:, 1:] * x[:, :-1]).sum(1) - 0.8 * x[:, 0]


def places(x: Tensor, values: int = 2) -> Tensor:
    """Which states of a cube these are."""
    return x.long() @ values ** torch.arange(x.shape[1] - 1, -1, -1)


def variation(x: Tensor, states: Tensor, exact: Tensor) -> float:
    """Total variation of draws and a law over the states of a cube."""
    place = places(x, int(states.max()) + 1)
    assert torch.equal(states[place], x)
    return float((torch.bincount(place, minlength=len(states)) / len(x) - exact).abs().sum() / 2)


def noise(exact: Tensor, draws: int) -> float:
    """The total variation that this many exact draws have by themselves, on average over many such."""
    each = [torch.multinomial(exact, draws, True, generator=keyed("exact", i)) for i in range(20)]
    counts = torch.stack([torch.bincount(drawn, minlength=len(exact)) for drawn in each])
    return float((counts / draws - exact).abs().sum(1).mean() / 2)


def classes(x: Tensor) -> Tensor:
    """Logits of three classes, by how many bits are one and how many neighbours are alike."""
    ones, alike = x.mean(1), (x[:, 1:] * x[:, :-1] + (1 - x[:, 1:]) * (1 - x[:, :-1])).mean(1)
    return torch.stack([2 * ones, 2 * alike, 0 * ones], 1)


def ruled(n: int) -> dict[str, tuple[type[Product], Factor]]:
    """Every factor of bits, and the rules for them."""
    odds, at = Odds(torch.linspace(-1, 1, n)), torch.arange(n)
    few, most = Known((at % 2).double(), at % 3 == 0), Known((at % 2).double(), at % 4 < 3)
    return {
        "odds": (Tilted, odds),
        "odds, constant": (Constant, odds),
        "odds, annealed": (Annealed, odds),
        "linearised": (Tilted, Linearised(odds)),
        "known": (Tilted, few),
        "most known": (Tilted, most),
        "log density": (Tilted, LogDensity(coupled)),
        "classifier": (Tilted, Classifier(classes, 1, 2.0)),
        "odds and known": (Tilted, odds * few),
        "all": (Tilted, odds * few * LogDensity(coupled) * Classifier(classes, 0)),
    }


GRID = grids.uniform(4)
RULED = ruled(N)


@functools.cache
def correlated(n: int) -> tuple[Denoiser, Tensor, Tensor]:
    """A model of n bits that depend on each other, their states, and the law of its chain by enumeration."""
    states = cube(n)
    model = built(BITS["half"], states, dirichlet(2**n))
    return model, states, enumerated(model, states, states, GRID)


def pairs(look: Look, states: Tensor) -> tuple[Look, Tensor]:
    """A look at every state beside every state."""
    at = torch.arange(len(look.base.mean)).repeat_interleave(len(states))
    return Look(look.base.rows(at), look.step.rows(at), look.log_r), states.repeat(len(look.base.mean), 1)


@pytest.mark.parametrize("name", RULED)
def test_weighed_paths_of_correlated_bits_add_up_to_the_posterior(name: str):
    """Ten bits: all paths by the product's steps, weighed and summed, are p r / Z and Z: no sampling."""
    (rule, factor), (model, states, law) = RULED[name], correlated(N)
    exact, log_z = weighed(factor, states, law)
    product = rule(model, factor)
    prior, base = (table(m.prior(states[:1]), states)[0] for m in (product, model))
    mass = prior * (base / prior)
    for t, s in itertools.pairwise(GRID.flip(0)):
        look = product.look(states, t, s)
        step, base = table(look.step, states), table(look.base, states)
        assert bool((step[base > 0] > 0).all())  # a path that the model has can be walked
        mass = mass @ (step * (base / step))
    found = torch.zeros(len(states), dtype=torch.float64)
    fits = (factor.fill(states) == states).all(1)  # the last step leads nowhere else
    for part, weight in zip(states.split(64), mass.split(64), strict=True):
        look, x_0 = pairs(product.look(part, GRID[0], None), states[fits])
        gained = total(look.step.log_prob(x_0)) + product.log_weight(look, x_0)
        found[fits] += weight @ gained.exp().view(len(part), -1)
    assert float(found.sum().log()) == pytest.approx(log_z, abs=1e-10)
    torch.testing.assert_close(found / found.sum(), exact, rtol=0, atol=1e-10)


@dataclass(frozen=True, eq=False)
class Joint(Bernoulli):
    """A law over all states of a cube (rows, N): bits that depend on each other."""

    states: Tensor
    shares: Tensor

    @classmethod
    def of(cls, shares: Tensor, states: Tensor) -> "Joint":
        return cls(shares @ states, shares @ (1 - states), states, shares)

    def sample(self, generator: Generator) -> Tensor:
        u = uniform((len(self.shares), 1), generator)
        return self.states[
            torch.searchsorted(self.shares.cumsum(1), u).squeeze(1).clamp(max=len(self.states) - 1)
        ]

    def log_prob(self, x: Tensor) -> Tensor:
        return self.shares.log().gather(1, places(x)[:, None])

    def rows(self, index: Tensor) -> "Joint":
        return Joint.of(self.shares[index], self.states)


class Enumerated(Product):
    """r_t(x_t) = E[r(x_0) | x_t] by enumeration of the model's own chain, back from the data."""

    def __init__(self, model: ReverseProcess, factor: Factor, states: Tensor) -> None:
        super().__init__(model, factor)
        self.states = states
        r = factor.log(states).exp() * (factor.fill(states) == states).all(1)
        self.r, last = {0.0: r}, None
        for t in GRID:
            step = model.decode(states, t) if last is None else model.step(states, t, last)
            self.r[float(t)] = table(step, states) @ self.r[float(last or 0)]
            last = t

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        raise NotImplementedError

    def tilted(self, base: Bernoulli, s: float) -> Joint:
        shares = table(base, self.states) * self.r[s]
        return Joint.of(shares / shares.sum(1, keepdim=True), self.states)

    def prior(self, like: Tensor) -> Joint:
        return self.tilted(self.model.prior(like), 1.0)

    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        base = self.model.decode(x_t, t) if s is None else self.model.step(x_t, t, s)
        return Look(base, self.tilted(base, float(s or 0)), lambda: self.r[float(t)].log()[places(x_t)])

    def log_weight(self, look: Look, x_0: Tensor) -> Tensor:
        return total(look.base.log_prob(x_0)) - total(look.step.log_prob(x_0)) + self.factor.log(x_0)


@pytest.mark.parametrize("name", RULED)
def test_an_exact_twist_of_correlated_bits_is_exact(name: str):
    """Its chain is p r / Z to 1e-10, and its particles have no variance: log Z of any two is exact."""
    (_, factor), (model, states, law) = RULED[name], correlated(N)
    exact, log_z = weighed(factor, states, law)
    product = Enumerated(model, factor, states)
    chain = product.prior(states[:1]).shares[0]
    for t, s in itertools.pairwise(GRID.flip(0)):
        chain = chain @ product.look(states, t, s).step.shares
    chain = chain @ product.look(states, GRID[0], None).step.shares
    torch.testing.assert_close(chain, exact, rtol=0, atol=1e-10)
    found = evidence(product, (N,), generator=keyed(name), particles=2, groups=3, grid=GRID)
    torch.testing.assert_close(found.log_z, torch.full((3,), log_z, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "n"), [(name, 4) for name in RULED] + [("odds, annealed", N), ("most known", N), ("all", N)]
)
def test_particles_repair_correlated_bits(name: str, n: int):
    """4,096 particles in eight groups: the model's posterior by enumeration, and its evidence.

    Over the 1,024 states of ten bits, 4,096 exact draws have a total variation of 0.03 to 0.18 by themselves:
    it may exceed theirs by 0.03, and is at most 0.03 itself where they leave room for it. Particles of the
    2015 rules, whose weights are uneven, are as many draws as their effective size.
    """
    (rule, factor), (model, states, law) = ruled(n)[name], correlated(n)
    exact, log_z = weighed(factor, states, law)
    found = evidence(rule(model, factor), (n,), generator=keyed(name), particles=512, groups=8, grid=GRID)
    assert abs(found.log_evidence - log_z) < 3 * found.se + 1e-3
    assert found.se < 0.1 and found.x_0.shape == (4096, n)
    own = noise(exact, 4096 if rule is Tilted else int(4096 * found.size))
    off = variation(found.x_0.double(), states, exact)
    assert off <= (0.03 if own < 0.02 else own + 0.03), (own, off)
    alone = enumerated(rule(model, factor), states, states, GRID)
    assert float((alone - exact).abs().sum() / 2) > 0.04  # which the rule alone is not


@pytest.mark.parametrize("kernel", SYMBOLS.values(), ids=SYMBOLS)
@pytest.mark.parametrize("name", ["odds", "known", "both"])
def test_particles_repair_correlated_symbols(kernel, name: str):
    factor, grid = SYMBOL_FACTORS[name], grids.uniform(5)
    model, every = built(kernel, TRIPLES, dirichlet(27)), cube(3, kernel.channels)
    exact, log_z = weighed(factor, TRIPLES, enumerated(model, every, TRIPLES, grid))
    found = evidence(model * factor, (3,), generator=keyed(name), particles=512, groups=8, grid=grid)
    assert abs(found.log_evidence - log_z) < 3 * found.se + 1e-3
    assert variation(found.x_0.double(), TRIPLES, exact) <= 0.03
    assert math.isfinite(found.se) and 0 < found.size <= 1
