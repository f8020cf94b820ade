"""Models of symbols whose every probability is enumerated: pi, then one matrix of probabilities a step."""

import itertools

import torch
from torch import Tensor, nn

from oracles import f64
from undiffuse.distributions import Bernoulli, Distribution
from undiffuse.kernels import Absorbing, Binomial, Categorical
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.posteriors import (
    Factor,
    Known,
    Linearised,
    LogDensity,
    Odds,
    SymbolOdds,
)
from undiffuse.schedules import ConstantFraction


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


def weighed(factor: Factor, states: Tensor, law: Tensor) -> tuple[Tensor, float]:
    """p r / Z over the states, and log Z."""
    log = law.log() + factor.log(states)
    if factor.pinned is not None:
        fits = (factor.fill(states) == states).all(1)
        log = log.masked_fill(~fits, -torch.inf)
    return log.softmax(0), float(log.logsumexp(0))
