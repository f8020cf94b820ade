"""What samplers of symbols lose at few network calls: total variation from the data's law, by enumeration.

    python benchmarks/symbol_laws.py

Every prediction is exact (Bayes over all states of data whose symbols depend on each other), so that what is
lost is the sampler's alone. Beside what the library has stand two methods of the literature with two calls a
step, whose second stage has rates of both predictions: the trapezoidal rule (Ren et al. 2025, their theta =
1/2) from the state half way, 2 mu(y) - mu(x) where that is positive, and the midpoint rule mu(y) from x_t.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from undiffuse.distributions import Bernoulli, Distribution
from undiffuse.kernels import Absorbing, Binomial, Categorical
from undiffuse.model import Denoiser
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction

CALLS = (2, 4, 6, 8, 16, 32)
CHAINS = {
    "masks": (Absorbing(ConstantFraction(), 2), 4),
    "symbols": (Categorical(ConstantFraction(), 3), 3),
    "bits": (Binomial(ConstantFraction(), 0.5), 4),
}


class Bayes(nn.Module):
    """The logits of p(x_0,i | x_t) over states (N, n) of probabilities `law`."""

    def __init__(self, kernel, states: Tensor, law: Tensor) -> None:
        super().__init__()
        self.chain, self.states, self.law = kernel, states, law

    def forward(self, features: Tensor, t: Tensor) -> Tensor:
        """Of one time for all rows."""
        bits = isinstance(self.chain, Binomial)
        x = features if bits else features.unflatten(1, (-1, self.states.shape[1])).argmax(1).double()
        seen = self.chain.marginal(self.states, t[0]).log_prob(x[:, None]).sum(2)
        shares = (seen + self.law.log()).softmax(1)
        if bits:
            return (shares @ self.states).log() - (shares @ (1 - self.states)).log()
        ones = nn.functional.one_hot(self.states.long(), self.chain.channels).double()
        return torch.einsum("bs,snk->bkn", shares, ones).clamp(min=1e-300).log().flatten(1)


def cube(n: int, values: int) -> Tensor:
    """All states of n symbols."""
    return torch.tensor(list(itertools.product(range(values), repeat=n)), dtype=torch.float64)


def table(p: Distribution, states: Tensor) -> Tensor:
    """Probabilities (rows, N) of all states."""
    each = torch.stack([p.zero, p.one], 2) if isinstance(p, Bernoulli) else p.log_probs.exp()
    found = torch.ones(len(each), 1, dtype=torch.float64)
    for probs in each[..., : int(states.max()) + 1].unbind(1):
        found = (found[:, :, None] * probs[:, None]).flatten(1)
    return found


class Enumerated:
    """A chain whose every state is known."""

    def __init__(self, kernel, n: int) -> None:
        self.kernel, masks = kernel, isinstance(kernel, Absorbing)
        self.data = cube(n, kernel.symbols)
        self.every = cube(n, kernel.symbols + 1) if masks else self.data
        self.law = torch.empty(len(self.data)).double().exponential_(generator=keyed("law")).pow(2.5)
        self.law = self.law / self.law.sum()
        self.model = Denoiser(Bayes(kernel, self.data, self.law), kernel)

    def ancestral(self, t: Tensor, s: Tensor, law: Tensor) -> Tensor:
        """One call."""
        return law @ table(self.model.step(self.every, t, s), self.every)

    def two_stages(self, t: Tensor, s: Tensor, law: Tensor, midpoint: bool) -> Tensor:
        """Two calls."""
        r, count = (s + t) / 2, len(self.every)
        at_t, at_r = (self.model.predict(self.every, when) for when in (t, r))
        half = table(self.kernel.bridge(at_t, self.every, r, t), self.every)
        before, after = at_t.repeat_interleave(count, 0), at_r.repeat(count, *[1] * (at_r.ndim - 1))
        x, y = self.every.repeat_interleave(count, 0), self.every.repeat(count, 1)
        soft = (2 * after - before).clamp(0, 1)
        soft = soft / soft.sum(-1, keepdim=True) if soft.ndim == 3 else soft
        last = self.kernel.bridge(after, x, s, t) if midpoint else self.kernel.bridge(soft, y, s, r)
        return torch.einsum("x,xy,xyz->z", law, half, table(last, self.every).view(count, count, count))

    def away(self, calls: int, step: Callable[[Tensor, Tensor, Tensor], Tensor], each: int) -> float:
        """Total variation of a walk of so many calls, `each` a step; the last is the decoder."""
        steps = calls // each
        grid = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]
        law = table(self.model.prior(self.every[:1]), self.every)[0]
        for t, s in itertools.pairwise(grid):
            law = step(t, s, law)
        found = law @ table(self.model.decode(self.every, grid[-1]), self.data)
        return float((found - self.law).abs().sum() / 2)

    def counted(self, t: Tensor, s: Tensor, law: Tensor) -> Tensor:
        """`samplers.Counted`, every choice of symbols in turn."""
        n, mask = self.every.shape[1], self.kernel.symbols
        p = self.model.predict(self.every, t)
        left, made = round(n * (1 - float(self.kernel.schedule.keep(s)))), torch.zeros_like(law)
        base = mask + 1
        for row in law.nonzero()[:, 0].tolist():
            masked = [i for i in range(n) if self.every[row, i] == mask]
            subsets = list(itertools.combinations(masked, max(0, len(masked) - left)))
            for subset in subsets:
                for values in itertools.product(range(mask), repeat=len(subset)):
                    state, share = self.every[row].clone(), law[row] / len(subsets)
                    for i, value in zip(subset, values, strict=True):
                        state[i], share = value, share * p[row, i, value]
                    made[int(sum(int(v) * base ** (n - 1 - i) for i, v in enumerate(state)))] += share
        return made


def main() -> None:
    """Print a table for each chain."""
    for name, (kernel, n) in CHAINS.items():
        chain = Enumerated(kernel, n)
        print(f"\n{n} {name}: total variation from the data's law")
        print(f"{'calls':<14}" + "".join(f"{calls:>10}" for calls in CALLS))
        ways = {"ancestral": (chain.ancestral, 1)}
        ways |= {"counted": (chain.counted, 1)} if isinstance(kernel, Absorbing) else {}
        ways["trapezoidal"] = (lambda t, s, law, c=chain: c.two_stages(t, s, law, False), 2)
        ways["midpoint"] = (lambda t, s, law, c=chain: c.two_stages(t, s, law, True), 2)
        for way, (step, each) in ways.items():
            print(f"{way:<14}" + "".join(f"{chain.away(calls, step, each):>10.1e}" for calls in CALLS))


if __name__ == "__main__":
    main()
