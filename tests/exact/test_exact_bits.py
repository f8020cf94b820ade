"""Binomial chains against enumeration over all states (O8 of the notes): transitions, steps, bounds."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oracles import f64
from undiffuse import terms
from undiffuse.bounds import nelbo
from undiffuse.kernels import Binomial
from undiffuse.model import Denoiser
from undiffuse.parameterizations import FixedDecoder
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, grids

BITS = 3
STATES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=BITS)), dtype=torch.float64)  # (8, 3)
DATA = torch.from_numpy(np.random.default_rng(1).dirichlet([0.4] * 2**BITS))
ENTROPY = float(-(DATA * DATA.log()).sum())


class Perfect(nn.Module):
    """Logits of E[x_0 | x_t], by Bayes over all states; the chain's marginals are written out here."""

    def __init__(self, p0: float, data: Tensor = DATA) -> None:
        super().__init__()
        self.p0, self.data = p0, data

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        keep = (1 - t.double()).view(-1, 1, 1)
        ones = keep * STATES + (1 - keep) * self.p0  # (B, states, bits)
        seen = torch.where(x_t[:, None] > 0.5, ones, 1 - ones).prod(2) * self.data
        return (seen @ STATES / seen.sum(1, keepdim=True)).logit()


def matrix(steps: int, i: int, p0: float) -> np.ndarray:
    """q(x_t = row | x_s = column) of step i = 1 .. T over all states, with beta = 1/(T - i + 1)."""
    beta = 1 / (steps - i + 1)
    one = np.array([[1 - beta * p0, (1 - beta) * 0 + beta * (1 - p0)], [beta * p0, 1 - beta + beta * p0]])
    out = one
    for _ in range(BITS - 1):
        out = np.kron(out, one)
    return out


def marginals(steps: int, p0: float) -> list[np.ndarray]:
    """q(x_t) for t = 0 .. T."""
    laws = [DATA.numpy()]
    for i in range(1, steps + 1):
        laws.append(matrix(steps, i, p0) @ laws[-1])
    return laws


def model(p0: float, decoder=None) -> Denoiser:
    return Denoiser(Perfect(p0), Binomial(ConstantFraction(), p0), decoder=decoder)


def bound(steps: int, p0: float, decoder=None) -> tuple[float, float]:
    """The bound and its sum over steps, by enumeration of x_0 and x_t through the library's distributions."""
    p, grid, total = model(p0, decoder), grids.uniform(steps), 0.0
    x_0, x_t = (x.flatten(0, 1) for x in (STATES[:, None].expand(-1, 8, -1), STATES[None].expand(8, -1, -1)))
    weight = DATA.repeat_interleave(8)
    for s, t in itertools.pairwise(grid):
        joint = weight * p.kernel.marginal(x_0, t).log_prob(x_t).sum(1).exp()
        total += float((joint * p.kernel.bridge(x_0, x_t, s, t).kl(p.step(x_t, t, s)).sum(1)).sum())
    joint = weight * p.kernel.marginal(x_0, grid[0]).log_prob(x_t).sum(1).exp()
    decode = -float((joint * p.decode(x_t, grid[0]).log_prob(x_0).sum(1)).sum())
    return total + decode + float((DATA * terms.prior(p, STATES)).sum()), total


@pytest.mark.parametrize("p0", [0.5, 0.2])
@pytest.mark.parametrize("steps", [2, 5])
def test_the_chain_is_the_enumerated_one(steps, p0):
    kernel, laws = Binomial(ConstantFraction(), p0), marginals(steps, p0)
    for i, law in enumerate(laws[1:], 1):
        t = f64(i / steps)
        ours = (DATA[:, None] * _law(kernel.marginal(STATES, t))).sum(0)
        np.testing.assert_allclose(ours, law, rtol=1e-12)
        hop = _law(kernel.transition(STATES, f64((i - 1) / steps), t)).T
        np.testing.assert_allclose(hop, matrix(steps, i, p0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("p0", [0.5, 0.2])
def test_steps_are_the_exact_marginals_of_each_bit(p0):
    """With the perfect prediction a step is q(x_s, one bit | x_t) itself."""
    steps, p, laws = 5, model(p0), marginals(5, p0)
    for i in range(2, steps + 1):
        exact = laws[i - 1][None] * matrix(steps, i, p0) / laws[i][:, None]  # q(x_s | x_t), rows x_t
        found = p.step(STATES, f64(i / steps), f64((i - 1) / steps)).mean
        np.testing.assert_allclose(found, exact @ STATES.numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    "steps, k, log_likelihood",
    [(5, -1.722973, -1.546497), (30, -1.332078, -1.239166), (300, -1.225029, -1.212268)],
)
def test_bound_and_likelihood_of_three_bits(steps, k, log_likelihood):
    """The notes' numbers: K <= L <= -H, with the factorised steps and the fixed last one."""
    p0, p = 0.5, model(0.5, FixedDecoder())
    found, _ = bound(steps, p0, FixedDecoder())
    assert -found == pytest.approx(k, abs=2e-6)
    law = _law(p.kernel.prior(STATES[:1]))[0]  # p(x_T), then matrix products down to p(x_0)
    for i in range(steps, 1, -1):
        law = law @ _law(p.step(STATES, f64(i / steps), f64((i - 1) / steps)))
    law = law @ _law(p.decode(STATES, f64(1 / steps)))
    exact = float((DATA * law.log()).sum())
    assert exact == pytest.approx(log_likelihood, abs=2e-6)
    assert -found <= exact <= -ENTROPY + 1e-12


def test_independent_bits_lose_nothing_but_the_last_step():
    """Factorised steps are exact for independent bits; with the exact decoder the bound is the entropy."""
    rates = f64(0.1, 0.5, 0.8)
    data = torch.where(STATES > 0.5, rates, 1 - rates).prod(1)
    kernel = Binomial(ConstantFraction(), 0.3)
    x = STATES.repeat_interleave(8, 0)
    p = Denoiser(Perfect(0.3, data), kernel)
    total = 0.0
    for s, t in itertools.pairwise(grids.uniform(7)):
        x_t = STATES.repeat(8, 1)
        joint = data.repeat_interleave(8) * kernel.marginal(x, t).log_prob(x_t).sum(1).exp()
        total += float((joint * kernel.bridge(x, x_t, s, t).kl(p.step(x_t, t, s)).sum(1)).sum())
    t, x_t = f64(1 / 7), STATES.repeat(8, 1)
    joint = data.repeat_interleave(8) * kernel.marginal(x, t).log_prob(x_t).sum(1).exp()
    total -= float((joint * p.decode(x_t, t).log_prob(x).sum(1)).sum())
    assert total == pytest.approx(float(-(data * data.log()).sum()), abs=1e-10)


@pytest.mark.parametrize("decoder", [None, FixedDecoder()])
def test_the_bound_is_the_enumerated_one_on_average(decoder):
    exact, n = bound(5, 0.2, decoder)[0], 40_000
    rows = torch.multinomial(DATA, n, True, generator=keyed("rows"))
    totals = nelbo(model(0.2, decoder), STATES[rows], grid=grids.uniform(5), generator=keyed("noise")).total
    assert abs(totals.mean() - exact) < 4 * totals.std() / math.sqrt(n)


def _law(p) -> Tensor:
    """Probabilities of all states: (rows, 8)."""
    one, zero = p.one[:, None], p.zero[:, None]
    return torch.where(STATES > 0.5, one, zero).prod(2)


@pytest.mark.parametrize("p0", [0.5, 0.2])
@pytest.mark.parametrize("steps", [2, 5, 30])
def test_k_by_its_terms_is_k_by_its_definition(steps, p0):
    """Eq. 12 over pairs of neighbouring states, in numpy alone, against the library's KL terms: to 1e-10."""
    laws, ones, k = marginals(steps, p0), STATES.numpy(), 0.0
    rates = np.where(ones > 0.5, p0, 1 - p0).prod(1)
    k += laws[-1] @ np.log(rates)
    for i in range(1, steps + 1):
        forward = matrix(steps, i, p0)  # [x_t, x_s]
        pair = forward * laws[i - 1]
        share = pair @ ones / laws[i][:, None]  # E[x_s | x_t], bit by bit
        factorised = np.where(ones[None] > 0.5, share[:, None], 1 - share[:, None]).prod(2)
        back = forward.T if i == 1 else factorised  # T_pi(x_0 | x_1), rows x_1
        k += (pair * (np.log(back) - np.log(forward))).sum()
    assert -bound(steps, p0, FixedDecoder())[0] == pytest.approx(k, abs=1e-10)
