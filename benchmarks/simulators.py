"""Posteriors of simulators' parameters, beside sbi's neural posteriors: classifier tests, densities, ranks.

    pip install sbi scikit-learn
    python benchmarks/simulators.py [--tasks two-moons slcp] [--ways ours npe npe-nsf npse] [--steps 20000]

Of every task: parameters drawn from a uniform prior, and what was simulated of them. Ours is
`undiffuse.fit(theta, condition=x)` as it is; sbi's estimators have their own defaults. For ten observations a
classifier (sbi's `c2st`) tells draws of each posterior from draws of the true one, 1,000 of both: 0.5 is that
it cannot. True posteriors: of two moons in closed form, of SLCP by draws that are each taken as often as they
are likely (so many that 5,000 count). Draws outside of the prior's box are thrown away, for all alike.
Densities are of held-out parameters given what was simulated of them: on average no density has more than the
true one; ours by the flow. Ranks: `calibrate`, a chi-squared test for every parameter.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import undiffuse as ud

OBSERVED, DRAWN, HELD = 10, 1000, 500
WEIGHED = 500_000  # draws at once


class Task(NamedTuple):
    """A prior, uniform on [-reach, reach]^size, what is simulated, and true posterior draws."""

    size: int
    reach: float
    simulate: Callable[[Tensor, torch.Generator], Tensor]
    posterior: Callable[[Tensor, int, torch.Generator], Tensor]


def moons(theta: Tensor, generator: torch.Generator) -> Tensor:
    """Two moons: a crescent, moved by |theta_1 + theta_2| and theta_2 - theta_1."""
    away = torch.stack([-(theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]], 1) / math.sqrt(2)
    return crescent(len(theta), generator) + away


def crescent(n: int, generator: torch.Generator) -> Tensor:
    angle = math.pi * (torch.rand(n, generator=generator) - 0.5)
    radius = 0.1 + 0.01 * torch.randn(n, generator=generator)
    return torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], 1)


def moons_posterior(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """The crescent that was added, drawn, says what was moved by how much; either sign is as likely."""
    found = torch.zeros(0, 2)
    while len(found) < n:
        moved = (x - crescent(4 * n, generator)) * math.sqrt(2)
        sign = torch.rand(4 * n, generator=generator).sub(0.5).sign()
        both, apart = -sign * moved[:, 0], moved[:, 1]
        theta = torch.stack([both - apart, both + apart], 1) / 2
        inside = (moved[:, 0] <= 0) & (theta.abs() <= 1).all(1)
        found = torch.cat([found, theta[inside]])
    return found[:n]


def slcp(theta: Tensor, generator: torch.Generator) -> Tensor:
    """Simple likelihood, complex posterior: four points of a normal law in the plane, (N, 8)."""
    mean, s, rho = theta[:, None, :2], theta[:, 2:4].square().unsqueeze(1), theta[:, 4].tanh().unsqueeze(1)
    e = torch.randn(len(theta), 4, 2, generator=generator)
    second = rho * e[..., 0] + (1 - rho.square()).sqrt() * e[..., 1]
    return (mean + s * torch.stack([e[..., 0], second], -1)).flatten(1)


def slcp_log_prob(theta: Tensor, x: Tensor) -> Tensor:
    """log p(x | theta), (N,)."""
    s, rho = theta[:, None, 2:4].square(), theta[:, 4].tanh()
    z = (x.view(1, 4, 2) - theta[:, None, :2]) / s
    left = 1 - rho.square()
    bent = z.square().sum(-1) - 2 * rho.unsqueeze(1) * z.prod(-1)
    volume = s.log().sum((1, 2)) + 0.5 * left.log()
    found: Tensor = -0.5 * bent.sum(1) / left - 4 * volume
    return found.nan_to_num(-math.inf, -math.inf, -math.inf)  # a width of nothing


def slcp_posterior(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draws as often as they are likely: widths from the prior, means from their law given widths."""
    theta, log_w = torch.zeros(0, 5), torch.zeros(0)
    while True:
        more = 6 * torch.rand(WEIGHED, 5, generator=generator) - 3
        s, rho = more[:, 2:4].square() / 2, more[:, 4].tanh()  # of the mean of four points
        e = torch.randn(WEIGHED, 2, generator=generator)
        away = torch.stack([e[:, 0], rho * e[:, 0] + (1 - rho.square()).sqrt() * e[:, 1]], 1)
        more[:, :2] = x.view(4, 2).mean(0) + s * away
        drawn = -0.5 * e.square().sum(1) - s.log().sum(1) - 0.5 * (1 - rho.square()).log()
        weight = (slcp_log_prob(more, x) - drawn).nan_to_num(-math.inf, -math.inf, -math.inf)
        weight = weight.masked_fill((more[:, :2].abs() > 3).any(1), -math.inf)
        theta, log_w = torch.cat([theta, more]), torch.cat([log_w, weight])
        kept = log_w > log_w.max() - 15
        theta, log_w = theta[kept], log_w[kept]
        w = log_w.softmax(0)
        if 1 / float(w.square().sum()) > 5 * n:
            return theta[torch.multinomial(w, n, replacement=True, generator=generator)]


TASKS = {
    "two-moons": Task(2, 1.0, moons, moons_posterior),
    "slcp": Task(5, 3.0, slcp, slcp_posterior),
}


class Fitted(NamedTuple):
    """Draws given an observation, and log-densities (N,) of parameters given what was simulated."""

    sample: Callable[[Tensor, int], Tensor]
    log_prob: Callable[[Tensor, Tensor], Tensor] | None
    ranks: Callable[[Tensor, Tensor], list[float]] | None = None


def ours(theta: Tensor, x: Tensor, task: Task, steps: int | None) -> Fitted:
    model = ud.fit(theta, condition=x, steps=steps, quiet=True)

    def sample(seen: Tensor, n: int) -> Tensor:
        found = model.given(seen).sample(2 * n, steps="all")
        return found[(found.abs() <= task.reach).all(1)][:n]

    def ranks(theta: Tensor, x: Tensor) -> list[float]:
        found = model.given(x).calibrate(theta, missing=1.0, n=99)
        return [numbers.uniform for numbers in found.columns.values()]

    return Fitted(sample, lambda theta, x: model.given(x).log_prob(theta), ranks)


def neural(name: str) -> Callable[[Tensor, Tensor, Task, int | None], Fitted]:
    def fitted(theta: Tensor, x: Tensor, task: Task, _: int | None) -> Fitted:
        from sbi.inference import NPE, NPSE
        from sbi.utils import BoxUniform

        torch.manual_seed(0)
        reach = torch.full((task.size,), task.reach)
        prior = BoxUniform(-reach, reach)
        made = (
            NPSE(prior, show_progress_bars=False)
            if name == "npse"
            else NPE(prior, density_estimator="nsf" if name == "npe-nsf" else "maf", show_progress_bars=False)
        )
        made.append_simulations(theta, x).train()
        posterior = made.build_posterior()

        def sample(seen: Tensor, n: int) -> Tensor:
            found: Tensor = posterior.sample((n,), x=seen, show_progress_bars=False)
            return found

        def log_prob(theta: Tensor, x: Tensor) -> Tensor:
            pairs = zip(theta, x, strict=True)
            return torch.stack([posterior.log_prob(a[None], x=b, norm_posterior=False)[0] for a, b in pairs])

        return Fitted(sample, None if name == "npse" else log_prob)

    return fitted


WAYS = {"ours": ours, **{name: neural(name) for name in ("npe", "npe-nsf", "npse")}}


def main() -> None:
    """A row for every task and way."""
    from sbi.utils.metrics import c2st

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--steps", type=int, help="of our training, by default the recipe's")
    options = parser.parse_args()
    print("| task | way | C2ST | log q(theta given x), nats | least p of ranks | fit, s | 1,000 draws, s |")
    print("|---|---|---|---|---|---|---|")
    for name in options.tasks:
        task, generator = TASKS[name], torch.Generator().manual_seed(1)

        def prior(n: int) -> Tensor:
            return task.reach * (2 * torch.rand(n, task.size, generator=generator) - 1)  # noqa: B023

        theta, held, observed = prior(options.simulations), prior(HELD), prior(OBSERVED)
        x, held_x, seen = (task.simulate(each, generator) for each in (theta, held, observed))
        true = [task.posterior(each, DRAWN, generator) for each in seen]
        for way in options.ways:
            begin = time.perf_counter()
            fitted = WAYS[way](theta, x, task, options.steps)
            trained = time.perf_counter()
            drawn = [fitted.sample(each, DRAWN) for each in seen]
            done = time.perf_counter()
            tests = torch.tensor([float(c2st(a, b)) for a, b in zip(true, drawn, strict=True)])
            cells = [f"{tests.mean():.3f} +- {tests.std() / OBSERVED**0.5:.3f}", "", ""]
            if fitted.log_prob is not None:
                found = fitted.log_prob(held, held_x).double()
                cells[1] = f"{found.mean():.3f} +- {found.std() / HELD**0.5:.3f}"
            if fitted.ranks is not None:
                cells[2] = f"{min(fitted.ranks(held, held_x)):.3f}"
            seconds = f"{trained - begin:.0f} | {(done - trained) / OBSERVED:.1f}"
            print(f"| {name} | {way} | {' | '.join(cells)} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
