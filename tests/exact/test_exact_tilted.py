"""Products on symbols against enumeration over all states (as in O8 of the notes).

What a model says is enumerated through its own steps: pi, then one matrix of probabilities a step.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from oracles import f64
from undiffuse.distributions import Bernoulli, Distribution
from undiffuse.kernels import Absorbing, Binomial, Categorical
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.posteriors import Annealed, Constant, Factor, Known, LogDensity, Odds, SymbolOdds, Tilted
from undiffuse.random import keyed
from undiffuse.samplers import evidence
from undiffuse.schedules import ConstantFraction, grids


class Bayes(nn.Module):
    """Logits of p(x_0,i | x_t) of independent or enumerated data, by Bayes over all of its states (N, n)."""

    def __init__(self, states: Tensor, law: Tensor) -> None:
        super().__init__()
        self.states, self.law, self.chain = states, law, None

    def posterior(self, x_t: Tensor, t: Tensor) -> Tensor:
        """p(x_0 | x_t), (B, N)."""
        seen = self.chain.marginal(self.states, t[0]).log_prob(x_t[:, None]).sum(2)
        return (seen + self.law.log()).softmax(1)


class Bits(Bayes):
    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return (self.posterior(x_t, t) @ self.states).logit()


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
    """Probabilities (rows, N) of all states."""
    if isinstance(p, Bernoulli):
        return torch.where(states > 0.5, p.one[:, None], p.zero[:, None]).prod(2)
    probs = p.log_probs.exp()[:, None].expand(-1, len(states), -1, -1)
    return probs.gather(3, states.long().expand(len(probs), -1, -1).unsqueeze(3)).squeeze(3).prod(2)


def enumerated(model: ReverseProcess, every: Tensor, data: Tensor, grid: Tensor) -> Tensor:
    """p(x_0) of the chain, over the states that data have; latents may have more, where there is a mask."""
    law = table(model.prior(every[:1]), every)[0]
    for t, s in itertools.pairwise(grid.flip(0)):
        law = law @ table(model.step(every, t, s), every)
    return law @ table(model.decode(every, grid[0]), data)


def coupled(x: Tensor) -> Tensor:
    """A log r that couples neighbours."""
    return 1.5 * (x[:, 1:] * x[:, :-1]).sum(1) - 0.8 * x[:, 0]


N = 6
CUBE, MASK = cube(N), torch.arange(N) % 3 == 0
BIT_FACTORS = {
    "odds": Odds(torch.linspace(-2, 1, N)),
    "known": Known((torch.arange(N) % 2).double(), MASK),
    "both": Known((torch.arange(N) % 2).double(), MASK) * Odds(torch.linspace(-2, 1, N)),
    "linear": LogDensity(lambda x: x @ torch.linspace(-2, 1, N, dtype=torch.float64)),
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
    x_t = CUBE[::7]
    for t in grid:
        shares = model.network.posterior(x_t, t.expand(1))
        each = [weighed(factor, CUBE, share) for share in shares]
        expected = torch.stack([e[0] for e in each]) @ CUBE
        torch.testing.assert_close(product.predict(x_t, t), expected, rtol=0, atol=1e-10)
        if name != "linear":  # whose normaliser is log r at the mean
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


def variation(x: Tensor, states: Tensor, exact: Tensor) -> float:
    """Total variation of draws and a law."""
    hits = (x[:, None] == states).all(2).double()
    assert (hits.sum(1) == 1).all()
    return float((hits.mean(0) - exact).abs().sum() / 2)


RULED = {
    "odds": (Tilted, Odds(torch.linspace(-1, 1, 4))),
    "odds, constant": (Constant, Odds(torch.linspace(-1, 1, 4))),
    "odds, annealed": (Annealed, Odds(torch.linspace(-1, 1, 4))),
    "known": (Tilted, Known(f64(1.0, 0.0, 0.0, 1.0), torch.tensor([True, False, False, True]))),
    "coupled": (Tilted, LogDensity(coupled)),
    "both": (
        Tilted,
        Odds(torch.linspace(-1, 1, 4))
        * Known(torch.ones(4), torch.tensor([False, True, False, False]))
        * LogDensity(coupled),
    ),
}


@pytest.mark.parametrize("name", RULED)
def test_particles_repair_correlated_bits(name: str):
    """Four bits, 4,096 particles in eight groups: the enumerated posterior of the model, and its evidence."""
    (rule, factor), grid = RULED[name], grids.uniform(5)
    states = cube(4)
    model = built(BITS["half"], states, dirichlet(16))
    exact, log_z = weighed(factor, states, enumerated(model, states, states, grid))
    found = evidence(rule(model, factor), (4,), generator=keyed(name), particles=512, groups=8, grid=grid)
    assert abs(found.log_evidence - log_z) < 3 * found.se + 1e-3
    assert found.se < 0.1 and found.x_0.shape == (4096, 4)
    assert variation(found.x_0.double(), states, exact) <= (0.03 if rule is Tilted else 0.04)
    alone = enumerated(rule(model, factor), states, states, grid)
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
