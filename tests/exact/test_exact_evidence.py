"""The evidence is that of the chain that is sampled and scored, whatever its network, its width and its rule.

Truths are closed forms for normal data, quadrature of the chain itself in one dimension after another, and
plain averages over its draws. The networks are perfect ones put out of tune, and one that is trained here.
"""

import math
import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from oracles import GaussianDenoiser, conditioned, f64, law_of, moments, normals
from undiffuse.diffusion.posterior import Way, draw
from undiffuse.distributions import Correlated
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.networks import MLP
from undiffuse.parameterizations import X0, Eps
from undiffuse.posteriors import Flat, Known, Matched, Noisy, Product
from undiffuse.posteriors.moments import moments as both
from undiffuse.random import Streams, keyed
from undiffuse.samplers import Evidence, Particles, evidence, last, reverse, start, trajectory
from undiffuse.samplers.evidence import pooled
from undiffuse.schedules import Betas, Linear, LogLinear, grids

K, GROUPS = 64, 8


def weighed(
    product: Product, n: int, grid: Tensor, seed: object, groups: int = GROUPS, k: int = K
) -> Evidence:
    """As `evidence`, all groups in one batch."""
    streams = Streams(seed, rows=range(groups * k))
    x_1 = start(product, torch.zeros(groups * k, n, dtype=torch.float64), streams)
    x_0, cloud = last(reverse(product, x_1, sampler=Particles(k), grid=grid, generator=streams))
    return Evidence(*pooled(cloud.log_z), float(cloud.size.mean()) / k, cloud.log_z, x_0)


@pytest.mark.parametrize("n", [2, 32, 33])
@pytest.mark.parametrize("seen", ["noisy", "known"])
def test_it_is_that_of_the_chain_on_both_sides_of_32_numbers(n: int, seen: str):
    """N(0.5, 0.4), 10 steps as narrow as if x_0 were known: another law than the data's, and its evidence."""
    kernel, grid = Gaussian(Linear()), grids.uniform(10)
    mean, var, y = f64(0.5).expand(n), f64(0.4).expand(n), f64(1.0).expand(n)
    model = Denoiser(GaussianDenoiser(kernel, mean, var), kernel, X0())
    one = Denoiser(GaussianDenoiser(kernel, mean[:1], var[:1]), kernel, X0())
    factor, count, noise = (Noisy(y, 1.0), n, 1.0) if seen == "noisy" else (Known(y, y.cumsum(0) < 3), 2, 0.0)
    laws = law_of(one, 1, grid), (mean[:1], var[:1, None])
    every = [conditioned(*law, f64([[1.0]]), y[:1], f64([[noise]]))[2] for law in laws]
    exact, data = (count * float(log_z) for log_z in every)
    found = weighed(model * factor, n, grid, "iid", k=64 if n == 2 else 32)
    assert abs(found.log_evidence - exact) < 2.5 * found.se, (found, exact)
    assert found.se < 0.4 and (n == 33 or abs(exact - data) > 2 * found.se)


def test_groups_are_pooled_by_the_mean_of_the_evidence_itself():
    found, se = pooled(f64(1.0, 3.0).log())
    assert found == pytest.approx(math.log(2)) and se > 0.5


@pytest.mark.parametrize("rule", ["matched", "flat"])
def test_paths_are_weighed_by_the_models_own_steps(rule: str):
    model, x_t, (t, s) = mixture(None), normals(5, 2), f64(0.7, 0.6)
    product = Matched(model, Noisy(f64(1.0, 0.2), 0.7), Flat() if rule == "flat" else None)
    for found, own in (
        (product.look(x_t, t, s).base, model.step(x_t, t, s)),
        (product.look(x_t, t, None).base, model.decode(x_t, t)),
    ):
        torch.testing.assert_close(moments(found), moments(own), rtol=0, atol=0)


CENTRES, WIDTH = f64(-1.3, -0.2, 0.4, 1.5), 0.1
CHAIN, GRID = Gaussian(LogLinear(6.0, -6.0)), grids.uniform(30)


class Mixture(nn.Module):
    """E[x_0 | x_t] of independent numbers, each one of four normals: put out of tune by `off(x, t)`."""

    def __init__(self, off: tuple[str, float, float] | None) -> None:
        super().__init__()
        self.off = off

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = CHAIN.alpha_sigma(t[0].double())
        var = alpha**2 * WIDTH**2 + sigma**2
        share = (-(x[..., None] - alpha * CENTRES).square() / (2 * var)).softmax(-1)
        x_0 = (share @ CENTRES) * (sigma**2 / var) + x * (alpha * WIDTH**2 / var)
        if self.off is None:
            return x_0
        what, size, ripples = self.off
        wave = x if ripples == 0 else torch.sin(ripples * x + 20 * t[0])
        by = {"x_0": torch.ones(()), "eps": -sigma / alpha, "v": -sigma}[what]
        return x_0 + size * by * wave


def mixture(off: tuple[str, float, float] | None) -> Denoiser:
    return Denoiser(Mixture(off), CHAIN, X0())


def integrated(model: ReverseProcess, y: Tensor, std: float) -> Tensor:
    """log E[N(y; x_0, std^2)] of a chain in one dimension, by the trapezoid rule at every step."""
    x = torch.arange(-7, 7, 0.02, dtype=torch.float64)[:, None]
    p = model.decode(x, GRID[0])
    r = torch.exp(-(y - p.mean).square() / (2 * (p.var + std**2))) / (2 * math.pi * (p.var + std**2)).sqrt()
    for s, t in pairwise(GRID):
        p = model.step(x, t, s)
        bells = torch.exp(-(x.mT - p.mean).square() / (2 * p.var))
        r = bells @ r / bells.sum(1, keepdim=True)
    bells = torch.exp(-x.square() / 2)
    return ((bells * r).sum(0) / bells.sum()).log()


OFF = {
    "perfect": None,
    "x_0": ("x_0", 0.1, 1.0),
    "x_0, slope": ("x_0", 0.03, 0.0),
    "x_0, ripples": ("x_0", 0.03, 10.0),
    "eps": ("eps", 0.03, 1.0),
    "eps, slope": ("eps", 0.01, 0.0),
    "eps, ripples": ("eps", 0.02, 8.0),
    "v": ("v", 0.05, 1.0),
    "v, ripples": ("v", 0.05, 20.0),
}


@pytest.mark.parametrize("name", OFF)
def test_networks_out_of_tune(name: str):
    """Within the error of the quadrature, an error that is small, with most particles at work."""
    y = f64(0.7, -1.0)
    exact = float(integrated(mixture(OFF[name]), y, 0.3).sum())
    found = weighed(mixture(OFF[name]) * Noisy(y, 0.3), 2, GRID, name)
    assert abs(found.log_evidence - exact) < 2.5 * found.se, (found, exact)
    assert found.se < 0.08 and found.size > 0.3 and not found.unsure


def test_the_covariance_does_not_grow_with_what_the_network_is_off():
    """It is that of data, nearly, also where x_t has lost x_0."""
    x = normals(50, 2)
    for off in OFF.values():
        model = mixture(off)
        for t in f64(0.5, 0.8, 0.95, 1.0):
            values = torch.linalg.eigvalsh(both(model, CHAIN, x, t, model.predict(x, t))[1])
            assert float(values.min()) > 0.02 and float(values.max()) < 6, (off, t, values.aminmax())


class Turned(Mixture):
    """Out of tune in what it says of a number's neighbours: its slopes are no covariance."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = CHAIN.alpha_sigma(t[0].double())
        assert self.off is not None
        _, size, ripples = self.off
        return Mixture(None)(x, t) + size * sigma / alpha * torch.sin(ripples * x.roll(1, -1) + x.roll(3, -1))


@pytest.mark.parametrize(("size", "ripples"), [(0.1, 4.0), (0.2, 3.0)])
def test_no_path_goes_astray(size: float, ripples: float):
    """Of many numbers every second is known, of independent ones: the others stay where they are without."""
    model = Denoiser(Turned(("eps", size, ripples)), CHAIN, X0())
    known = Known(CENTRES.repeat(10), torch.arange(40) % 2 == 0)
    for _, x_t in trajectory(model * known, (256, 40), grid=GRID, generator=keyed(0)):
        assert float(x_t.abs().max()) < 6  # 4.6 of noise alone


def test_a_table_is_asked_at_its_own_times():
    """Networks may know no others."""
    kernel, asked = Gaussian(Betas([0.02 * i for i in range(1, 21)])), []

    class Own(GaussianDenoiser):
        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            asked.append(float(t[0]) * 20)
            return super().forward(x_t, t)

    model = Denoiser(Own(kernel, f64(0.1, 0.2), f64(0.4, 2.5)), kernel, X0())
    both(model, kernel, normals(3, 2), f64(1.0), normals(3, 2))
    assert 0 < asked[0] < 20 and asked[0] == pytest.approx(round(asked[0]), abs=1e-9)


@pytest.mark.parametrize("betas", [[0.5], [0.999], [1.0], [0.3, 1.0]])
def test_tables_without_a_clear_time_are_taken_for_white(betas: list[float]):
    kernel = Gaussian(Betas(betas))
    model = Denoiser(GaussianDenoiser(kernel, f64(0.1, 0.2), f64(0.4, 2.5)), kernel, X0())
    values = torch.linalg.eigvalsh(both(model, kernel, normals(3, 2), f64(1.0), normals(3, 2))[1])
    assert bool((values > 0.2).all()) and bool((values < 3).all()), values


@pytest.mark.slow
def test_a_trained_network():
    """Two numbers of the mixture above, learned in seconds: the evidence is that of what was learned."""
    torch.manual_seed(0)
    model, generator = (
        Denoiser(MLP(shape=(2,), hidden=64, layers=2), CHAIN, Eps()),
        torch.Generator().manual_seed(0),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        x_0 = CENTRES[torch.randint(4, (256, 2), generator=generator)].float()
        x_0 = x_0 + WIDTH * torch.randn(256, 2, generator=generator)
        t, eps = torch.rand(256, generator=generator), torch.randn(256, 2, generator=generator)
        alpha, sigma = (part.float()[:, None] for part in CHAIN.alpha_sigma(t.double()))
        loss = (model.network(alpha * x_0 + sigma * eps, t) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    y = f64(0.7, -1.0)
    with torch.no_grad():
        x = torch.randn(20_000, 2, generator=generator)
        for s, t in reversed(list(pairwise(GRID))):
            p = model.step(x, t, s)
            x = p.mean + p.var.sqrt() * torch.randn(20_000, 2, generator=generator)
        p = model.decode(x, GRID[0])
        r = torch.exp(-((y - p.mean).square() / (p.var + 0.09) / 2).sum(1)) / (2 * math.pi * (p.var + 0.09))
    exact, error = float(r.mean().log()), float(r.std() / r.mean()) / math.sqrt(len(r))
    found = evidence(model * Noisy(y.float(), 0.3), (2,), generator=keyed(0), grid=GRID)
    assert abs(found.log_evidence - exact) < 2.5 * math.hypot(found.se, error), (found, exact, error)
    assert found.se < 0.1 and found.size > 0.3 and not found.unsure


@pytest.mark.slow
@pytest.mark.parametrize("groups", [3, 8])
def test_two_errors_cover(groups: int):
    """Of many evidences by few groups 95 % are within two errors of the closed form."""
    kernel, times, n = Gaussian(Linear(1e-3, 0.3, steps=20)), grids.uniform(4), 200
    model = Denoiser(GaussianDenoiser(kernel, f64(0.3, -0.2), f64(0.4, 2.5)), kernel, X0())
    unit, y = torch.eye(2).double(), f64(1.0, 0.2)
    exact = float(conditioned(*law_of(model, 2, times), unit, y, unit)[2])
    product = Matched(model, Noisy(y, 1.0), Flat(0.3))
    every = weighed(product, 2, times, "cover", groups * n, 8).log_z.view(n, groups)
    found = [pooled(each) for each in every]
    share = sum(abs(log_z - exact) < 2 * se for log_z, se in found) / n
    assert 0.91 < share < 0.99
    assert sum(se for _, se in found) / n > 0.02  # it is no sure thing


def test_an_observation_of_correlated_steps_is_worth_its_marginal():
    """What is known is not the first of the elements: log p of it, and not given those before it."""
    root = torch.linalg.cholesky(f64([[1.0, 0.9], [0.9, 1.0]])).expand(3, -1, -1)
    p, value = Correlated(normals(3, 2), root), f64(0.0, 1.0)
    found = Known(value, torch.tensor([False, True])).normaliser(p)
    exact = torch.distributions.Normal(p.loc[:, 1], f64(1.0)).log_prob(value[1])
    torch.testing.assert_close(found - found[0], exact - exact[0], rtol=0, atol=1e-9)  # up to a constant


def test_few_particles_at_work_are_said():
    """By the same draws that print them: a rule that fits has no doubt, one that does not says why."""
    factor, said = Noisy(f64(0.7, -1.0), 0.05), {}
    for method in ("matched", "constant"):
        for groups in (None, 3):
            way = Way(method, particles=64, groups=groups)
            found = draw(mixture(None), lambda _, __: factor, 1, 4, (2,), seed=0, grid=GRID, way=way)
            said[method, groups] = found.doubt
    assert said["matched", None] is None and said["matched", 3] is None, said
    for groups in (None, 3):
        words = r"\d of 64 particles carry the weight, so that samples are alike; raise --particles"
        assert re.search(words, said["constant", groups] or "")
    assert "groups differ by" in str(said["constant", 3])


def test_groups_that_differ_are_unsure():
    for apart, unsure in ((0.1, False), (2.0, True)):
        log_z = apart * torch.arange(4).double()
        assert Evidence(*pooled(log_z), 1.0, log_z, log_z).unsure == unsure
