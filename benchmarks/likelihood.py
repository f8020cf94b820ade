"""Log-likelihoods by the probability flow against closed forms, and beside dopri5 on the same models.

    pip install torchdiffeq           (leave it out, and ours are printed alone)
    python benchmarks/likelihood.py [--rows 100] [--chosen]

The denoisers are exact, so that log p is known: normal data of 2 and 64 correlated values whose variances go
from 0.05 to 2; mixtures of eight normal densities in 2 and 16 dimensions, of width 0.5 and, with hard rows
between two of them, 0.3; the swiss roll, as 500 of its components. The chain goes from a log-SNR of 10 to -8,
and its prior has the moments that the data leave there: what else x_1 of a mixture is, some 2e-7 nats a
dimension, no solver can find. An evaluation is one call with the trace of its Jacobian. Ours counts both
walks. `--chosen` also walks 33 times that a search found best for 64 other rows of each density. dopri5
integrates x and log p together, as score-based code does (dx/dlambda = -alpha^2 x + alpha D and
all of its divergence), with one step size for all rows.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse import Denoiser
from undiffuse.axes import Axes
from undiffuse.bases import GaussianBase, MixtureBase, NumberBase
from undiffuse.data.swiss_roll import SwissRoll
from undiffuse.flow import grid_of, log_prob
from undiffuse.flow.density import Diverging
from undiffuse.kernels import Gaussian
from undiffuse.networks import MLP
from undiffuse.random import keyed
from undiffuse.samplers.tuned import BENDS, pattern_search, warped
from undiffuse.schedules import LogLinear
from undiffuse.schedules.grids import invert
from undiffuse.tensors import ONE, total

try:
    from torchdiffeq import odeint
except ImportError:
    odeint = None

KERNEL = Gaussian(LogLinear(10, -8))
FIRST = torch.tensor(1e-9, dtype=torch.float64)


@dataclass
class Case:
    """A density of equally likely normal ones, N(means[k], U diag(var) U'), as a model's base."""

    means: Tensor
    var: Tensor
    axes: Tensor

    def base(self, noise: float = 0.0) -> NumberBase:
        """Of data with noise of this variance."""
        var, unit = self.var + noise, self.axes
        mean = self.means.mean(0)
        if len(self.means) == 1:
            return GaussianBase(mean, var, Axes.whole(unit))
        away = self.means - mean
        values, vectors = torch.linalg.eigh(away.mT @ away / len(away) + unit @ var.diag() @ unit.mT)
        beside, count = GaussianBase(mean, values, Axes.whole(vectors)), len(self.means)
        each = (var.expand(count, -1), unit.expand(count, -1, -1))
        return MixtureBase(torch.zeros(count), self.means, *each, beside)

    def model(self) -> Denoiser:
        """A network that adds nothing to the base."""
        network = MLP((len(self.var),), hidden=1, layers=1).double()
        return Denoiser.on(self.base(), network, KERNEL, learned=False)

    def draws(self, n: int) -> Tensor:
        """The same n, always."""
        which = torch.randint(len(self.means), (n,), generator=keyed("which"))
        noise = torch.randn(n, len(self.var), dtype=torch.float64, generator=keyed("noise"))
        return self.means[which] + (noise * self.var.sqrt()) @ self.axes.mT

    def log_prob(self, x: Tensor) -> Tensor:
        """Of what the flow's last state is: with its noise."""
        level = KERNEL.level(FIRST)
        return self.base((level.sigma / level.alpha) ** 2).log_prob(x)


def normal(d: int) -> Case:
    """Correlated values whose variances go from 0.05 to 2."""
    axes = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=keyed("axes", d)))[0]
    var = torch.logspace(math.log10(0.05), math.log10(2), d).double()
    return Case(torch.linspace(-1, 1, d).double().unsqueeze(0), var, axes)


def clusters(d: int, width: float) -> Case:
    """Eight normal densities."""
    means = 0.6 * torch.randn(8, d, dtype=torch.float64, generator=keyed("means", d))
    return Case(means, torch.full((d,), width**2).double(), torch.eye(d, dtype=torch.float64))


def roll() -> Case:
    """500 components of the density."""
    means, std = SwissRoll().components(500)
    return Case(means, torch.full((2,), std**2).double(), torch.eye(2, dtype=torch.float64))


CASES: dict[str, Callable[[], Case]] = {
    "normal, d = 2": lambda: normal(2),
    "normal, d = 64": lambda: normal(64),
    "mixture, d = 2": lambda: clusters(2, 0.5),
    "mixture, d = 16": lambda: clusters(16, 0.5),
    "mixture of width 0.3, d = 2": lambda: clusters(2, 0.3),
    "mixture of width 0.3, d = 16": lambda: clusters(16, 0.3),
    "swiss roll": roll,
}


def ours(case: Case, x: Tensor, calls: int) -> tuple[Tensor, Tensor, int]:
    """Errors, stated errors, evaluations."""
    grid = grid_of(KERNEL.schedule, float(FIRST), calls)
    found = log_prob(case.model(), x, grid=grid, generator=keyed(0), signs=0)
    return found.value - case.log_prob(x), found.error, len(grid) + len(grid[::2])


def chosen(case: Case, rows: int) -> tuple[Tensor, Tensor]:
    """Errors at 33 times even in log-SNR, and at 33 that suit 64 rows best; of others."""
    model, begin, end = case.model(), KERNEL.level(ONE).place, KERNEL.level(FIRST).place
    fit, held = case.draws(64 + rows).split([64, rows])

    def walked(x: Tensor, bends: Sequence[float], times: int = 33) -> Tensor:
        grid = invert(KERNEL.schedule, 2 * warped(begin, end, bends, times).flip(0))
        grid[0], grid[-1] = FIRST, 1.0
        return log_prob(model, x, grid=grid, generator=keyed(0), signs=0).value

    even, exact = [0.0] * BENDS, case.log_prob(held)
    fine = walked(fit, even, 513)
    bends, _ = pattern_search(lambda b: float((walked(fit, b) - fine).abs().mean()), BENDS, 100)
    return walked(held, even) - exact, walked(held, bends) - exact


def dopri5(case: Case, x: Tensor, tolerance: float) -> tuple[Tensor, int]:
    """Errors and evaluations of an adaptive solver on x and log p."""
    model, first = case.model(), KERNEL.level(FIRST)
    d, count, last = x.shape[1], 0, KERNEL.level(ONE)

    def slope(place: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal count
        count += 1
        watched, t = Diverging(model, None, False), invert(KERNEL.schedule, 2 * place.reshape(1))[0]
        alpha = KERNEL.level(t).alpha
        x_0 = watched.predict(state[0], t)
        return -(alpha**2) * state[0] + alpha * x_0, d * alpha**2 - watched.seen[0][1][0]

    ends = torch.tensor([first.place, last.place], dtype=torch.float64)
    begin = (x * first.alpha, torch.zeros(len(x), dtype=torch.float64))
    found = odeint(slope, begin, ends, rtol=tolerance, atol=tolerance, method="dopri5")
    x_1, change = (path[-1] for path in found)
    end = total(model.prior(x_1).log_prob(x_1))
    return end - change + d * math.log(first.alpha) - case.log_prob(x), count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--chosen", action="store_true")
    arguments = parser.parse_args()
    rows = arguments.rows
    print("| density | solver | evaluations | mean error | median | worst | stated error covers |")
    print("|---|---|---|---|---|---|---|")
    for name, make in CASES.items():
        case = make()
        x, d = case.draws(rows), len(case.var)
        for calls in (25, 50, 100, 200):
            away, stated, count = ours(case, x, calls)
            inside = float((away.abs() <= stated + 1e-6 * d).double().mean())
            _print(name, "ours", count, away / d, f"{inside:.0%}")
        for tolerance in (1e-2, 1e-3, 1e-4, 1e-5) if odeint else ():
            away, count = dopri5(case, x, tolerance)
            _print(name, f"dopri5, {tolerance:g}", count, away / d, "-")
        if arguments.chosen:
            for kind, away in zip(("even", "chosen"), chosen(case, rows), strict=True):
                _print(name, f"ours, 33 {kind} times", 50, away / d, "-")


def _print(name: str, solver: str, count: int, away: Tensor, inside: str) -> None:
    """A row, of errors a dimension."""
    mean, median, worst = away.abs().mean(), away.abs().median(), away.abs().max()
    print(f"| {name} | {solver} | {count} | {mean:.1e} | {median:.1e} | {worst:.1e} | {inside} |", flush=True)


if __name__ == "__main__":
    main()
