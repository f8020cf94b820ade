"""Products on symbols against enumeration over all states (as in O8 of the notes).

What a model says is enumerated through its own steps: pi, then one matrix of probabilities a step.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from oracles import f64
from undiffuse.distributions import Bernoulli, Distribution
from undiffuse.kernels import Absorbing, Binomial, Categorical
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
    SymbolOdds,
    Tilted,
)
from undiffuse.product import Look
from undiffuse.random import Generator, keyed, uniform
from undiffuse.samplers import evidence
from undiffuse.schedules import ConstantFraction, grids
from undiffuse.tensors import total


class Bayes(nn.Module):
    """Logits of p(x_0,i | x_t) of independent or enumerated data, by Bayes over all of its states (N, n)."""

    def __init__(self, states: Tensor, law: Tensor) -> None:
        super().__init__()
        self.states, self.law, self.chain = states, law, None
        self.weight = nn.Parameter(torch.zeros(()).double(), requires_grad=False)  # walks are in its dtype

    def posterior(self, x_t: Tensor, t: Tensor) -> Tensor:
        """p(x_0 | x_t), (B, N)."""
        seen = self.chain.marginal(self.states, t[0]).log_prob(x_t[:, None]).sum(2)
        return (seen + self.law.log()).softmax(1)


class Bits(Bayes):
    def posterior(self, x_t: Tensor, t: Tensor) -> Tensor:
        """With log q(x_t | x_0) of all pairs as two products of matrices."""
        law = self.chain.marginal(self.states, t[0])
        x = x_t.double()
        seen = x @ law.one.log().mT + (1 - x) @ law.zero.log().mT
        return (seen + self.law.log()).softmax(1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        shares = self.posterior(x_t, t)
        return (shares @ self.states).log() - (shares @ (1 - self.states)).log()  # to all digits near 1, too


class Symbols(Bayes):
    """The same for symbols: (B, states n), as one-hot features are."""

    def forward(self, hot: Tensor, t: Tensor) -> Tensor:
        hot = hot.unflatten(1, (-1, self.states.shape[1]))
        shares = self.posterior(hot.argmax(1).double(), t)
        ones = torch.nn.functional.one_hot(self.states.long(), hot.shape[1]).double()  # (N, n, states)
        return torch.einsum("bs,snk->bkn", shares, ones).clamp(min=1e-300).log().flatten(1)


def cube(n: int, values: int = 2) -> Tensor:
    return f64(list(itertools.product(map(float, range(values)), repeat=n)))


def built(kernel, states: Tensor, law: Tensor) -> Denoiser:
    network = (Bits if isinstance(kernel, Binomial) else Symbols)(states, law)
    network.chain = kernel
    return Denoiser(network, kernel)


def independent(states: Tensor, rates: Tensor) -> Tensor:
    """The law of independent symbols whose values have the probabilities rates (n, K)."""
    return torch.stack([rates[i][states[:, i].long()] for i in range(states.shape[1])]).prod(0)


def dirichlet(size: int, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    weights = torch.empty(size).double().exponential_(generator=g).pow(2.5)
    return weights / weights.sum()


def table(p: Distribution, states: Tensor) -> Tensor:
    """Probabilities (rows, N) of all states, a `cube`: outer products, element by element."""
    if isinstance(p, Bernoulli):
        each = torch.stack([p.zero, p.one], 2)
    else:
        each = p.log_probs.exp()[..., : int(states.max()) + 1]
    found = torch.ones(len(each), 1, dtype=torch.float64)
    for probs in each.double().unbind(1):
        found = (found[:, :, None] * probs[:, None]).flatten(1)
    return found


def enumerated(model: ReverseProcess, every: Tensor, data: Tensor, grid: Tensor) -> Tensor:
    """p(x_0) of the chain, over the states that data have; latents may have more, where there is a mask."""
    law = table(model.prior(every[:1]), every)[0]
    for t, s in itertools.pairwise(grid.flip(0)):
        law = law @ table(model.step(every, t, s), every)
    return law @ table(model.decode(every, grid[0]), data)


def coupled(x: Tensor) -> Tensor:
    """A log r that couples neighbours."""
    return 1.5 * (x[:, 1:] * x[:, :-1]).sum(1) - 0.8 * x[:, 0]


N = 10
CUBE, MASK = cube(N), torch.arange(N) % 3 == 0
BIT_FACTORS = {
    "odds": Odds(torch.linspace(-2, 1, N)),
    "known": Known((torch.arange(N) % 2).double(), MASK),
    "both": Known((torch.arange(N) % 2).double(), MASK) * Odds(torch.linspace(-2, 1, N)),
    "linear": LogDensity(lambda x: x @ torch.linspace(-2, 1, N, dtype=torch.float64)),
    "linearised": Linearised(Odds(torch.linspace(-2, 1, N))),
    "all": Known(torch.ones(N), torch.ones(N).bool()),
    "none": Known(torch.ones(N), torch.zeros(N).bool()),
}
BITS = {"half": Binomial(ConstantFraction(), 0.5), "few": Binomial(ConstantFraction(), 0.2)}


def weighed(factor: Factor, states: Tensor, law: Tensor) -> tuple[Tensor, float]:
    """p r / Z over the states, and log Z."""
    log = law.log() + factor.log(states)
    if factor.pinned is not None:
        fits = (factor.fill(states) == states).all(1)
        log = log.masked_fill(~fits, -torch.inf)
    return log.softmax(0), float(log.logsumexp(0))


@pytest.mark.parametrize("kernel", BITS.values(), ids=BITS)
@pytest.mark.parametrize("name", BIT_FACTORS)
@pytest.mark.parametrize("steps", [1, 4])
def test_independent_bits_are_exact(kernel, name: str, steps: int):
    """For every number of steps; and E[r | x_t] and E[x_0 | x_t, r] are those of enumeration."""
    factor, grid = BIT_FACTORS[name], grids.uniform(steps)
    one = torch.linspace(0.1, 0.8, N).double()
    law = independent(CUBE, torch.stack([1 - one, one], 1))
    model = built(kernel, CUBE, law)
    product = model * factor
    assert isinstance(product, Tilted)
    exact, log_z = weighed(factor, CUBE, enumerated(model, CUBE, CUBE, grid))
    torch.testing.assert_close(exact, weighed(factor, CUBE, law)[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(enumerated(product, CUBE, CUBE, grid), exact, rtol=0, atol=1e-10)
    x_t = CUBE[::97]
    for t in grid:
        shares = model.network.posterior(x_t, t.expand(1))
        each = [weighed(factor, CUBE, share) for share in shares]
        expected = torch.stack([e[0] for e in each]) @ CUBE
        torch.testing.assert_close(product.predict(x_t, t), expected, rtol=0, atol=1e-10)
        if not name.startswith("linear"):  # whose normaliser is log r at the mean
            found = product.look(x_t, t, t / 2).log_r()
            torch.testing.assert_close(found, f64([e[1] for e in each]), rtol=0, atol=1e-10)
    assert log_z <= 1 or name not in ("known", "all")


SYMBOLS = {"uniform": Categorical(ConstantFraction(), 3), "absorbing": Absorbing(ConstantFraction(), 3)}
TRIPLES = cube(3, 3)
ODDS = torch.tensor([[0.5, -2.0, 0.0], [1.0, 1.0, -1.0], [0.0, 3.0, 0.2]]).double()
SYMBOL_FACTORS = {
    "odds": SymbolOdds(ODDS),
    "known": Known(f64(2.0, 0.0, 1.0), torch.tensor([True, False, True])),
    "both": SymbolOdds(ODDS) * Known(f64(2.0, 0.0, 1.0), torch.tensor([False, True, False])),
    "all": Known(f64(2.0, 0.0, 1.0), torch.ones(3).bool()),
    "none": Known(f64(2.0, 0.0, 1.0), torch.zeros(3).bool()),
}


@pytest.mark.parametrize("kernel", SYMBOLS.values(), ids=SYMBOLS)
@pytest.mark.parametrize("name", SYMBOL_FACTORS)
@pytest.mark.parametrize("steps", [1, 4])
def test_independent_symbols_are_exact(kernel, name: str, steps: int):
    factor, grid = SYMBOL_FACTORS[name], grids.uniform(steps)
    law = independent(TRIPLES, f64([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]))
    model, every = built(kernel, TRIPLES, law), cube(3, kernel.channels)
    exact, _ = weighed(factor, TRIPLES, law)
    torch.testing.assert_close(enumerated(model * factor, every, TRIPLES, grid), exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kernel", [BITS["few"], *SYMBOLS.values()], ids=["bits", *SYMBOLS])
@pytest.mark.parametrize("one", ["log r = 0", "none known"])
def test_a_factor_of_one_is_the_identity(kernel, one: str):
    states = cube(3, kernel.symbols)
    model = built(kernel, states, dirichlet(len(states)))
    nothing = Known(states[0], torch.zeros(3).bool())
    product = Tilted(model, nothing if one == "none known" else LogDensity(lambda x: 0 * x.sum(1)))
    x_t, t, s = states[::3], f64(0.7), f64(0.4)
    for found, base in (
        (product.step(x_t, t, s), model.step(x_t, t, s)),
        (product.decode(x_t, t), model.decode(x_t, t)),
        (product.prior(x_t), model.prior(x_t)),
    ):
        torch.testing.assert_close(table(found, states), table(base, states), rtol=0, atol=1e-12)
    torch.testing.assert_close(product.predict(x_t, t), model.predict(x_t, t), rtol=0, atol=1e-12)


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


@pytest.mark.parametrize("n", [4, N])
@pytest.mark.parametrize("name", RULED)
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
