"""The order of solvers is what they say: of a mixture, of a guided one, and of a product."""

import math
from functools import cache
from itertools import islice

import pytest
import torch
from torch import Tensor

from oracles import CorrelatedReverse, conditioned, f64, mixture, normals
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors import Guided, Matched, Noisy
from undiffuse.random import keyed
from undiffuse.samplers import DDIM, DEIS, DPMSolver, DPMSolverPP, Exponential, UniPC, reverse
from undiffuse.schedules import LogLinear

KERNEL = Gaussian(LogLinear(8, -16))  # deep in the noise, where the first step, of first order, loses nothing
MEANS = f64(-1.0, 0.3, 1.4)[:, None]


def irregular(count: int) -> Tensor:
    u = torch.linspace(0, 1, count, dtype=torch.float64)
    return 0.05 + 0.95 * (u + 0.08 * torch.sin(2 * math.pi * u))


def end(model, sampler, count: int, x: Tensor) -> Tensor:
    """x at the first latent time."""
    walk = reverse(model, x, sampler=sampler, grid=irregular(count), generator=keyed(0))
    return list(islice(walk, count))[-1][1]


def order_of(model, sampler, counts, x: Tensor, exact: Tensor) -> float:
    """Observed, of the error at the first latent time, from one number of times to another."""
    a, b = (float((end(model, sampler, count, x) - exact).abs().mean()) for count in counts)
    return math.log(a / b) / math.log((counts[1] - 1) / (counts[0] - 1))


ORDERS = [
    (DDIM(), 1, (321, 641)),
    (Exponential(1, of="noise"), 1, (321, 641)),
    (DPMSolverPP(2), 2, (241, 321)),
    (DPMSolverPP(3), 3, (321, 641)),
    (DPMSolverPP(2, singlestep=True), 2, (121, 241)),
    (DPMSolverPP(3, singlestep=True), 3, (121, 241)),
    (DPMSolver(2), 2, (61, 121)),
    (DPMSolver(3), 3, (61, 121)),
    (DEIS(2), 2, (241, 321)),
    (UniPC(1), 2, (61, 121)),
    (UniPC(2), 3, (121, 241)),
    (UniPC(3), 4, (41, 321)),
    (Exponential(1, corrector=2, of="noise"), 2, (121, 241)),
    (Exponential(2, corrector=3, of="noise"), 3, (121, 241)),
    (Exponential(3, corrector=2), 2, (121, 241)),  # a corrector of lower order lowers it
]


def named(case) -> str:
    sampler, order, _ = case
    return f"{type(sampler).__name__}{' singlestep' * sampler.singlestep} {sampler.of} {order}"


@pytest.mark.parametrize("case", ORDERS, ids=named)
def test_the_order_is_what_it_says(case):
    sampler, order, counts = case
    model, x, exact = flow_of("mixture")
    found = order_of(model, sampler, counts, x, exact)
    assert sampler.order == order and abs(found - order) < 0.1


@pytest.mark.parametrize("case", [ORDERS[i] for i in (0, 2, 4, 7, 8, 10)], ids=named)
def test_of_a_guided_model_too(case):
    sampler, order, counts = case
    model, x, exact = flow_of("guided")
    assert abs(order_of(model, sampler, counts, x, exact) - order) < 0.1


@pytest.mark.parametrize(("sampler", "order"), [(DPMSolverPP(2), 2), (DPMSolver(3), 3), (DEIS(2), 2)])
def test_and_of_a_product(sampler, order):
    model, x, exact = flow_of("product")
    assert abs(order_of(model, sampler, (31, 61), x, exact) - order) < 0.15
    assert float((end(model, sampler, 61, x) - exact).abs().mean()) < 0.01


def guided() -> Guided:
    """Two mixtures of three, one wider."""
    return Guided(mixture(KERNEL, MEANS, 0.2), mixture(KERNEL, 0.9 * MEANS, 0.25), 1.3)


def product() -> tuple[ReverseProcess, Tensor, Tensor]:
    """Two correlated normal values, one observed with noise; x_1, and where the flow of N(m', C') leads."""
    mean, cov = f64(0.5, -0.2), torch.tensor([[0.5, 0.3], [0.3, 0.4]]).double()
    noise = f64(0.2, 9.0)
    model = Matched(CorrelatedReverse(KERNEL, mean, cov), Noisy(f64(0.9, 0.0), noise.sqrt()))
    mean, cov, _ = conditioned(mean, cov, torch.eye(2).double(), f64(0.9, 0.0), noise.diag())
    width, axes = torch.linalg.eigh(cov)
    first, last = (KERNEL.schedule.keep(irregular(3)[i]) for i in (0, -1))
    begin, now = ((keep * width + 1 - keep).sqrt() for keep in (last, first))
    x = normals(64, 2)
    return model, x, first.sqrt() * mean + (x - last.sqrt() * mean) @ axes * (now / begin) @ axes.mT


@cache
def flow_of(name: str) -> tuple[ReverseProcess, Tensor, Tensor]:
    """A model, x_1, and where its probability flow leads: by very many steps, or in closed form."""
    if name == "product":
        return product()
    model, x = mixture(KERNEL, MEANS, 0.2) if name == "mixture" else guided(), normals(64, 1)
    return model, x, end(model, UniPC(4), 1921, x)
