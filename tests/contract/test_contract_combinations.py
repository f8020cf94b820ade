"""Every sampler and every objective with every parameterization and variance: right on N(m, C), or refused.

The network is the exact one, said in each parameterization's own words. All maps are then affine in x_t and
the noise: means and variances of samples follow a recursion of two numbers, and the mean of an objective is
that of a polynomial, which quadrature gives exactly.
"""

import math
from itertools import pairwise, product

import pytest
import torch
from examples import PARAMETERIZATIONS, SAMPLERS, VARIANCES
from torch import Tensor, nn

from oracles import GaussianReverse, Replay, f64, plane
from undiffuse import objectives
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import OBJECTIVES, Times
from undiffuse.parameterizations import Numbers, Parameterization, Table, Variance
from undiffuse.samplers import DDIM, Langevin, Sampler, reverse
from undiffuse.schedules import LogLinear, grids

M, C, T, RAW, INDEX = 0.7, 0.4, 20, 0.3, 7
KERNEL, GRID = Gaussian(LogLinear(4.0, -4.0)), grids.uniform(T)
EXACT = GaussianReverse(KERNEL, f64(M), f64(C))


class Says(nn.Module):
    """E[x_0 | x_t] in the words of a parameterization; then RAW, where there is a second output."""

    def __init__(self, said: Numbers, outputs: int) -> None:
        super().__init__()
        self.said, self.outputs = said, outputs

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        if self.said.base is not None:  # which shows its own features: back to x_t
            keep = KERNEL.schedule.keep(t[0])
            x_t = 5 * torch.atanh(x_t / 5) * (keep * 0.5 + 1 - keep).sqrt() + keep.sqrt() * 0.2
        out = self.said.target(EXACT.predict(x_t, t[0]), x_t, t, KERNEL)
        return torch.cat([out, torch.full_like(out, RAW)][: self.outputs], 1)


class At(Times):
    """One time for all."""

    def draw_all(self, count: int, generator: object) -> Tensor:
        return f64((INDEX + 0.5) / T).expand(count)


def keeps(s: Tensor, t: Tensor) -> tuple[float, float]:
    return float(KERNEL.schedule.keep(s)) if s else 1.0, float(KERNEL.schedule.keep(t))


def gain(keep: float) -> float:
    """How E[x_0 | x_t] grows with x_t."""
    return keep**0.5 * C / (keep * C + 1 - keep)


def width(variance: Variance, s: Tensor, t: Tensor) -> float:
    """The variance of a step, from the textbook."""
    ks, kt = keeps(s, t)
    beta = 1 - kt / ks
    low = beta * (1 - ks) / (1 - kt)
    if isinstance(variance, Table):
        return float(variance.values[round(float(t) * T) - 1])
    raw = getattr(variance, "scale", 1.0) * RAW
    return {
        "Posterior": low,
        "Forward": beta,
        "Interpolated": low ** (1 - (RAW + 1) / 2) * beta ** ((RAW + 1) / 2) if low else 0.0,
        "Free": beta * math.exp(RAW),
        "Sigmoid": 1 / (1 + math.exp(-raw) * (1 - beta) / beta),
        "ResidualVariance": low + ks * (beta / (1 - kt)) ** 2 * math.exp(raw) * 0.5 * (1 - kt) / (1 - kt / 2),
    }[type(variance).__name__]


def start(said: Numbers) -> tuple[float, float]:
    """Mean and variance of x_1: the base's, if there is one."""
    end = keeps(f64(0.0), GRID[-1])[1]
    return (0.0, 1.0) if said.base is None else (end**0.5 * 0.2, end * 0.5 + 1 - end)


def recursion(sampler: Sampler, variance: Variance) -> tuple[float, float]:
    """Mean (of x_t, less what it should be) and variance of samples."""
    off, var = -float(keeps(f64(0.0), GRID[-1])[1] ** 0.5) * M, 1.0
    times = [f64(0.0), *GRID]
    for s, t in reversed(list(pairwise(times))):
        ks, kt = keeps(s, t)
        if isinstance(sampler, DDIM) and s:
            eta2 = sampler.eta**2 * (1 - kt / ks) * (1 - ks) / (1 - kt)
            b = ((1 - ks - eta2) / (1 - kt)) ** 0.5
            slope, noise = ks**0.5 * gain(kt) + b * (1 - kt**0.5 * gain(kt)), eta2
        elif isinstance(sampler, DDIM) and sampler.deterministic:
            slope, noise = gain(kt), 0.0
        elif s:
            a = ks**0.5 * (1 - kt / ks) / (1 - kt)
            b = (kt / ks) ** 0.5 * (1 - ks) / (1 - kt)
            slope, noise = a * gain(kt) + b, width(variance, s, t)
        else:
            slope, noise = gain(kt), (1 - kt) / kt
        off, var = slope * off, slope**2 * var + noise
        if isinstance(sampler, Langevin) and s:
            h = -math.expm1(-2 * sampler.snr**2)
            for _ in range(sampler.corrections):
                w = (1 - ks) / (ks * C + 1 - ks)
                off, var = (1 - h * w) * off, (1 - h * w) ** 2 * var + h * (2 - h) * (1 - ks)
    return off, var


def sampled(model: Denoiser, sampler: Sampler) -> tuple[float, float]:
    """The same of the sampler itself: where zeros go, and the weight of every draw."""
    draws = 1 + T * (1 + getattr(sampler, "corrections", 0))
    unit = torch.cat([torch.zeros(1, draws), torch.eye(draws)]).double()[..., None]
    noise = Replay(list(unit[:, 1:].unbind(1)))
    *_, (_, x_0) = reverse(model, unit[:, 0], sampler=sampler, grid=GRID, generator=noise)
    origin, weights = x_0[0], x_0[1:] - x_0[0]
    return float(origin) - M, float(weights.square().sum())


def expected_loss(kind: str, said: Numbers, variance: Variance) -> float:
    """The objective's mean at the time number INDEX."""
    s, t = GRID[INDEX - 1], GRID[INDEX]
    ks, kt = keeps(s, t)
    left = C * (1 - kt) / (kt * C + 1 - kt)  # Var[x_0 | x_t]
    simple = left / float(said.gain(f64([[0.0]]), t, KERNEL)) ** 2
    a = ks**0.5 * (1 - kt / ks) / (1 - kt)
    low, p = (1 - kt / ks) * (1 - ks) / (1 - kt), width(variance, s, t)
    kl = 0.5 * (low / p - 1 - math.log(low / p) + a**2 * left / p) / math.log(2)
    end = keeps(s, GRID[-1])[1]
    centre, spread = start(said)
    away = end * C + (end**0.5 * M - centre) ** 2
    prior = 0.5 * ((1 - end + away) / spread - 1 - math.log((1 - end) / spread)) / math.log(2)
    if kind in ("simple", "hybrid"):
        return simple + (0.25 * T * kl if kind == "hybrid" else 0.0)
    if kind == "variational":
        return T * kl + prior
    u = (INDEX + 0.5) / T  # a time of its own, between those of the grid
    keep = float(KERNEL.schedule.keep(GRID[0] + (1 - GRID[0]) * u))
    middle = (1 - float(GRID[0])) * 0.5 * 8 * keep / (1 - keep) * C * (1 - keep) / (keep * C + 1 - keep)
    k1 = keeps(s, GRID[0])[1]
    std2, left = (1 - k1) / k1, C * (1 - k1) / (k1 * C + 1 - k1)
    decode = 0.5 * (math.log(2 * math.pi * std2) + left / std2)
    return (middle + decode) / math.log(2) + prior


def objective_of(kind: str) -> objectives.Objective:
    keys = {"share": 0.25} if kind == "hybrid" else {}
    return OBJECTIVES[kind](times=At(), grid=GRID, **keys)


ONE_STEP = {name: SAMPLERS[name] for name in ("ancestral", "ddim", "langevin", "resampled")}
NO_NUMBERS = "is for symbols|frequencies of 2 symbols"


def refusal(kind: str, said: Parameterization, variance: Variance) -> str | None:
    """What must be said of an objective that does not go with a model, or of parts that make no model."""
    if not isinstance(said, Numbers):
        return NO_NUMBERS
    if kind == "cells":
        return "for tables"
    learned = variance.learned
    if kind in ("simple", "distilled") and learned:
        return "does not train a learned variance"
    if kind == "distilled":
        return "has no teacher"
    if kind == "hybrid" and not learned:
        return "trains a learned variance"
    if kind == "continuous" and learned:
        return "variance=posterior"
    return None


def model_of(said: Parameterization, variance: Variance) -> Denoiser:
    return Denoiser(Says(said, 1 + variance.learned), KERNEL, said, variance)


def every(*groups: dict) -> dict:
    """Arguments of pytest.mark.parametrize for the first examples of all groups, each with each."""
    firsts = [[(name, parts[0]) for name, parts in group.items()] for group in groups]
    pairs = list(product(*firsts))
    return {
        "argvalues": [[part for _, part in each] for each in pairs],
        "ids": ["-".join(name for name, _ in each) for each in pairs],
    }


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize(("said", "variance"), **every(PARAMETERIZATIONS, VARIANCES))
def test_every_objective_has_the_right_mean_or_is_refused(said, variance, kind):
    z, eps, w = plane(1)
    x_0, wrong = M + C**0.5 * z, refusal(kind, said, variance)
    if wrong:
        with pytest.raises(ValueError, match=wrong):
            objective_of(kind)(model_of(said, variance), x_0, Replay(eps))
        return
    loss = w @ objective_of(kind)(model_of(said, variance), x_0, Replay(eps))
    assert loss.item() == pytest.approx(expected_loss(kind, said, variance), rel=1e-6)


@pytest.mark.parametrize(("sampler", "said", "variance"), **every(ONE_STEP, PARAMETERIZATIONS, VARIANCES))
def test_every_sampler_has_the_right_law_or_is_refused(sampler, said, variance):
    if not isinstance(said, Numbers):
        with pytest.raises(ValueError, match=NO_NUMBERS):
            model_of(said, variance)
        return
    model = model_of(said, variance)
    sampler.check(model)
    assert sampled(model, sampler) == pytest.approx(recursion(sampler, variance), rel=1e-6, abs=1e-9)
