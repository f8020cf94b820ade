"""Log-likelihoods by the probability flow against closed forms, and beside dopri5 on the same models.

    pip install torchdiffeq           (leave it out, and ours are printed alone)
    python benchmarks/likelihood.py [--rows 100]

The denoisers are exact, so that log p is known: normal data of 2 and 64 correlated values whose variances go
from 0.05 to 2; mixtures of eight normal densities in 2 and 16 dimensions, of width 0.5 and, with hard rows
between two of them, 0.3; the swiss roll, as 500 of its components. The chain goes from a log-SNR of 10 to -8,
and its prior has the moments that the data leave there: what else x_1 of a mixture is, some 1e-5 nats a
dimension, no solver can find. An evaluation is one call with the trace of its Jacobian. Ours counts both
walks. dopri5 integrates x and log p together, as score-based code does (dx/dlambda = -alpha^2 x + alpha D and
all of its divergence), with one step size for all rows.
"""

import argparse
import math
from collections.abc import Callable

import torch
from torch import Tensor

from undiffuse.data.swiss_roll import SwissRoll
from undiffuse.distributions import Correlated
from undiffuse.flow import grid_of, log_prob
from undiffuse.flow.density import Diverging
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.random import keyed
from undiffuse.schedules import LogLinear
from undiffuse.schedules.grids import invert

try:
    from torchdiffeq import odeint
except ImportError:
    odeint = None

KERNEL = Gaussian(LogLinear(10, -8))


class Mixture(ReverseProcess):
    """The exact denoiser of normal densities N(means[k], cov), one covariance for all, and their log p."""

    def __init__(self, means: Tensor, cov: Tensor) -> None:
        super().__init__()
        self.kernel, self.means, self.cov = KERNEL, means, cov
        self.unit = torch.eye(len(cov), dtype=torch.float64)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t]."""
        alpha, sigma = KERNEL.alpha_sigma(t)
        inverse = torch.linalg.inv(alpha**2 * self.cov + sigma**2 * self.unit)
        away = x_t.unsqueeze(1) - alpha * self.means
        log_p = -0.5 * ((away @ inverse) * away).sum(2)
        mean = log_p.softmax(1) @ self.means
        return mean + alpha * (x_t - alpha * mean) @ inverse @ self.cov

    def prior(self, like: Tensor) -> Correlated:
        """The normal law of x_1's moments."""
        alpha, sigma = KERNEL.alpha_sigma(torch.ones((), dtype=torch.float64))
        mean = self.means.mean(0)
        between = (self.means - mean).mT @ (self.means - mean) / len(self.means)
        cov = alpha**2 * (self.cov + between) + sigma**2 * self.unit
        root = torch.linalg.cholesky(cov).expand(len(like), -1, -1)
        return Correlated((alpha * mean).expand(len(like), -1), root)

    def log_prob(self, x: Tensor, noise: float) -> Tensor:
        """Of data with noise of this variance."""
        law = torch.distributions.MultivariateNormal(self.means, self.cov + noise * self.unit)
        return law.log_prob(x.unsqueeze(1)).logsumexp(1) - math.log(len(self.means))

    def draws(self, n: int) -> Tensor:
        """The same n, always."""
        which = torch.randint(len(self.means), (n,), generator=keyed("which"))
        noise = torch.randn(n, len(self.cov), dtype=torch.float64, generator=keyed("noise"))
        return self.means[which] + noise @ torch.linalg.cholesky(self.cov).mT

    def step(self, *_: Tensor) -> None:
        """None."""
        raise NotImplementedError

    decode = step


def normal(d: int) -> Mixture:
    """Correlated values whose variances go from 0.05 to 2."""
    axes = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=keyed("axes", d)))[0]
    cov = axes @ torch.logspace(math.log10(0.05), math.log10(2), d).double().diag() @ axes.mT
    return Mixture(torch.linspace(-1, 1, d).double().unsqueeze(0), cov)


def clusters(d: int, width: float) -> Mixture:
    """Eight normal densities."""
    means = 0.6 * torch.randn(8, d, dtype=torch.float64, generator=keyed("means", d))
    return Mixture(means, width**2 * torch.eye(d, dtype=torch.float64))


def roll() -> Mixture:
    """500 components of the density."""
    means, std = SwissRoll().components(500)
    return Mixture(means, std**2 * torch.eye(2, dtype=torch.float64))


CASES: dict[str, Callable[[], Mixture]] = {
    "normal, d = 2": lambda: normal(2),
    "normal, d = 64": lambda: normal(64),
    "mixture, d = 2": lambda: clusters(2, 0.5),
    "mixture, d = 16": lambda: clusters(16, 0.5),
    "mixture of width 0.3, d = 2": lambda: clusters(2, 0.3),
    "mixture of width 0.3, d = 16": lambda: clusters(16, 0.3),
    "swiss roll": roll,
}


def ours(model: Mixture, x: Tensor, calls: int) -> tuple[Tensor, Tensor, int]:
    """Errors, stated errors, evaluations."""
    grid = grid_of(KERNEL.schedule, 1e-9, calls)
    found = log_prob(model, x, grid=grid, generator=keyed(0), signs=0)
    return found.value - exact(model, x), found.error, len(grid) + len(grid[::2])


def exact(model: Mixture, x: Tensor) -> Tensor:
    alpha, sigma = KERNEL.alpha_sigma(torch.tensor(1e-9, dtype=torch.float64))
    return model.log_prob(x, float((sigma / alpha) ** 2))


def dopri5(model: Mixture, x: Tensor, tolerance: float) -> tuple[Tensor, int]:
    """Errors and evaluations of an adaptive solver on x and log p."""
    ends = KERNEL.schedule.logsnr(torch.tensor([1e-9, 1.0], dtype=torch.float64)) / 2
    d, count = x.shape[1], 0

    def slope(place: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal count
        count += 1
        watched = Diverging(model, None, False)
        t = invert(KERNEL.schedule, 2 * place.reshape(1))[0].clamp(0, 1)
        x_0 = watched.predict(state[0], t)
        alpha, _ = KERNEL.alpha_sigma(t)
        return -(alpha**2) * state[0] + alpha * x_0, d * alpha**2 - watched.seen[0][1][0]

    alpha, _ = KERNEL.alpha_sigma(torch.tensor(1e-9, dtype=torch.float64))
    begin = (x * alpha, torch.zeros(len(x), dtype=torch.float64))
    x_1, change = (
        path[-1] for path in odeint(slope, begin, ends, rtol=tolerance, atol=tolerance, method="dopri5")
    )
    end = model.prior(x_1).log_prob(x_1).sum(1)
    return end - change + d * math.log(alpha) - exact(model, x), count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100)
    rows = parser.parse_args().rows
    print("| density | solver | evaluations | mean error | worst | stated error covers |")
    print("|---|---|---|---|---|---|")
    for name, make in CASES.items():
        model = make()
        x, d = model.draws(rows), len(model.cov)
        for calls in (25, 50, 100):
            away, stated, count = ours(model, x, calls)
            inside = float((away.abs() <= stated + 1e-6 * d).double().mean())
            _print(name, "ours", count, away / d, f"{inside:.0%}")
        for tolerance in (1e-2, 1e-3, 1e-4, 1e-5) if odeint else ():
            away, count = dopri5(model, x, tolerance)
            _print(name, f"dopri5, {tolerance:g}", count, away / d, "-")


def _print(name: str, solver: str, count: int, away: Tensor, inside: str) -> None:
    """A row, of errors a dimension."""
    mean, worst = away.abs().mean(), away.abs().max()
    print(f"| {name} | {solver} | {count} | {mean:.1e} | {worst:.1e} | {inside} |", flush=True)


if __name__ == "__main__":
    main()
