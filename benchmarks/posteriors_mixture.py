"""Posteriors of a mixture, known in closed form: our rules, particles, and azula's guidance beside them.

    pip install azula                 (leave it out, and ours are printed alone)
    python benchmarks/posteriors_mixture.py [--calls 300] [--rows 256]

The data are 25 normals of width 0.1 with unequal weights, their means a grid of variance 1 in 2-D, standard
normal in 4-D and 8-D. Eight times y = A x_0 + std z is seen, with A of d/2 rows; the posterior is a mixture
again. The denoiser is perfect: E[x_0 | x_t] in closed form. It counts a call for every row that it is given,
and two for every row of a product with its Jacobian; each method makes as many steps as the calls allow, on a
grid even in log-SNR. A number is the sliced Wasserstein distance (of order 2, 100 fixed projections) from the
draws to 16 times as many exact ones, averaged over the observations, with its standard error over them.
azula's methods run with its own samplers on its own VP schedule and on ours; the best of them counts.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from undiffuse import Denoiser
from undiffuse.kernels import Gaussian
from undiffuse.parameterizations import X0
from undiffuse.posteriors import Annealed, Constant, Flat, Linear, Matched, Product, Tweedie
from undiffuse.posteriors.operators import Matrix
from undiffuse.random import Streams, keyed
from undiffuse.samplers import DDIM, Ancestral, Particles, Sampler, reverse, start
from undiffuse.schedules import LogLinear, grids

try:
    import azula.denoise
    import azula.guidance as theirs
    import azula.noise
    import azula.sample
    from azula.linalg.covariance import IsotropicCovariance
except ImportError:
    azula = None

COMPONENTS, WIDTH, OBSERVATIONS, PROJECTIONS = 25, 0.1, 8, 100
DIMS, STDS = (2, 4, 8), (0.01, 0.1, 1.0)


class Mixture(nn.Module):
    """25 normals of one width, and E[x_0 | x_t] as a network, which counts the rows it is asked for."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        generator = keyed("mixture", dims)
        means = torch.randn(COMPONENTS, dims, dtype=torch.float64, generator=generator)
        if dims == 2:
            side = torch.linspace(-math.sqrt(2), math.sqrt(2), 5, dtype=torch.float64)
            means = torch.cartesian_prod(side, side)
        self.means = nn.Parameter(means, requires_grad=False)
        shares = torch.rand(COMPONENTS, dtype=torch.float64, generator=generator) + 0.1
        self.log_weights = (shares / shares.sum()).log()
        self.calls = 0

    def expect(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 | x_t] for x_t = alpha x_0 + sigma z."""
        self.calls += len(x_t)
        with torch.set_grad_enabled(x_t.requires_grad):
            var = alpha**2 * WIDTH**2 + sigma**2
            away = (x_t[:, None] - alpha * self.means).square().sum(-1)
            share = (self.log_weights - away / (2 * var)).softmax(1)
            found = (share @ self.means) * (sigma**2 / var) + x_t * (alpha * WIDTH**2 / var)
            if found.requires_grad:
                found.register_hook(self._count)
        return found

    def _count(self, g: Tensor) -> None:
        self.calls += 2 * len(g)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """For the chain below, all rows at one time."""
        alpha, sigma = KERNEL.alpha_sigma(t[0].double())
        return self.expect(x_t, alpha, sigma)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """x_0 (n, dims)."""
        k = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        return self.means[k] + WIDTH * noise

    def posterior(self, a: Tensor, y: Tensor, std: float, n: int, generator: torch.Generator) -> Tensor:
        """Exact draws of x_0 given one y, (n, dims)."""
        seen = WIDTH**2 * a @ a.mT + std**2 * torch.eye(len(a), dtype=torch.float64)
        law = torch.distributions.MultivariateNormal(self.means @ a.mT, seen)
        weights = (self.log_weights + law.log_prob(y)).softmax(0)
        k = torch.multinomial(weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1] + len(a), dtype=torch.float64, generator=generator)
        x, z = (self.means[k] + WIDTH * noise[:, : -len(a)]), std * noise[:, -len(a) :]
        return x + (y - x @ a.mT - z) @ torch.linalg.solve(seen, WIDTH**2 * a)  # Matheron's rule


KERNEL = Gaussian(LogLinear(12.0, -9.0))


@dataclass
class Case:
    """Observations of one width, each in `rows` rows, one after the other."""

    mixture: Mixture
    a: Tensor
    y: Tensor
    std: float
    rows: int

    @property
    def each(self) -> Tensor:
        """y for every row."""
        return self.y.repeat_interleave(self.rows, 0)


Method = Callable[[Case, int], Tensor]


def ours(rule: Callable[[Denoiser, Linear], Product], sampler: Callable[[int], Sampler]) -> Method:
    """A rule and a sampler, on a grid even in log-SNR."""

    def run(case: Case, steps: int) -> Tensor:
        model = Denoiser(case.mixture, KERNEL, X0())
        product = rule(model, Linear(Matrix(case.a), case.each, case.std))
        streams = Streams("ours", rows=range(len(case.each)))
        like = torch.zeros(len(case.each), case.a.shape[1], dtype=torch.float64)
        walk = reverse(
            product,
            start(product, like, streams),
            sampler=sampler(case.rows),
            grid=grids.uniform(steps - 1),
            generator=streams,
        )
        return [x for _, x in walk][-1]

    return run


def our_methods() -> dict[str, Method]:
    """By name."""
    return {
        "Constant": ours(Constant, lambda k: Ancestral()),
        "Annealed": ours(Annealed, lambda k: Ancestral()),
        "Matched, Flat": ours(lambda m, r: Matched(m, r, Flat()), lambda k: Ancestral()),
        "Matched": ours(lambda m, r: Matched(m, r, Tweedie()), lambda k: Ancestral()),
        "Matched, DDIM": ours(lambda m, r: Matched(m, r, Tweedie()), lambda k: DDIM()),
        "Matched, Particles": ours(lambda m, r: Matched(m, r, Tweedie()), Particles),
    }


def their_methods() -> dict[str, Method]:
    """azula's guidance by name, on both schedules."""

    class Exact(azula.denoise.Denoiser):
        def __init__(self, mixture: Mixture, schedule: Callable) -> None:
            super().__init__()
            self.mixture, self.schedule = mixture, schedule

        def forward(self, x_t: Tensor, t: Tensor, **_: object) -> azula.denoise.DiracPosterior:
            return azula.denoise.DiracPosterior(self.mixture.expect(x_t, *self.schedule(t)))

    def own(t: Tensor) -> tuple[Tensor, Tensor]:
        return KERNEL.alpha_sigma(t)

    def method(schedule: Callable, make: Callable) -> Method:
        def run(case: Case, steps: int) -> Tensor:
            torch.manual_seed(0)
            exact, a = Exact(case.mixture, schedule), case.a
            settings = {"steps": steps, "silent": True, "dtype": torch.float64}
            shape = (len(case.each), a.shape[1])
            x_1 = torch.randn(shape, dtype=torch.float64) * schedule(torch.ones(()).double())[1]
            return make(exact, case, lambda x: x @ a.mT, settings, x_1)

        return run

    def guided(kind: str, sampler: type, **more: object) -> Callable:
        def make(exact: Exact, case: Case, a: Callable, settings: dict, x_1: Tensor) -> Tensor:
            if kind == "MMPS":
                noise = IsotropicCovariance(torch.tensor(case.std**2).double())
                denoiser = theirs.MMPSDenoiser(exact, case.each, a, noise, **more)
            else:
                denoiser = theirs.TMPDenoiser(exact, case.each, a, case.std**2)
            return sampler(denoiser, **settings)(x_1)

        return make

    def pgdm(exact: Exact, case: Case, a: Callable, settings: dict, x_1: Tensor) -> Tensor:
        back = torch.linalg.pinv(case.a)
        return theirs.PGDMSampler(exact, case.each, a, lambda y: y @ back.mT, eta=1.0, **settings)(x_1)

    def dps(exact: Exact, case: Case, a: Callable, settings: dict, x_1: Tensor) -> Tensor:
        zeta = math.sqrt(len(x_1))  # its norm is that of the whole batch
        return theirs.DPSSampler(exact, case.each, a, zeta=zeta, **settings)(x_1)

    def tds(exact: Exact, case: Case, a: Callable, settings: dict, x_1: Tensor) -> Tensor:
        across = case.a @ case.a.mT
        unit = torch.eye(len(across), dtype=torch.float64)
        done = []
        for y, x in zip(case.y, x_1.split(case.rows), strict=True):

            def twist(x_0: Tensor, noise: Tensor, y: Tensor = y) -> Tensor:
                var = case.std**2 * unit + noise**2 / (1 + noise**2) * across
                return torch.distributions.MultivariateNormal(a(x_0), var).log_prob(y)[:, None]

            done.append(theirs.TDSSampler(exact, twist, **settings)(x))
        return torch.cat(done)

    kinds = {
        "MMPS 1": guided("MMPS", azula.sample.DDPMSampler),
        "MMPS 2": guided("MMPS", azula.sample.DDPMSampler, iterations=2),
        "MMPS 4": guided("MMPS", azula.sample.DDPMSampler, iterations=4),
        "MMPS 1, DDIM": guided("MMPS", azula.sample.DDIMSampler),
        "TMPD": guided("TMPD", azula.sample.DDPMSampler),
        "PGDM": pgdm,
        "DPS": dps,
        "TDS": tds,
    }
    schedules = {"": azula.noise.VPSchedule(), ", our schedule": own}
    return {
        f"azula {name}{word}": method(schedule, make)
        for word, schedule in schedules.items()
        for name, make in kinds.items()
        if not (word and "DDIM" in name)
    }


def steps_for(run: Method, case: Case, calls: int) -> int:
    """As many steps as the calls allow: a step costs what the second three cost together, over three."""
    small, cost = Case(case.mixture, case.a, case.y[:1], case.std, 4), []
    for steps in (3, 6):
        case.mixture.calls = 0
        run(small, steps)
        cost.append(case.mixture.calls / len(small.each))
    return max(2, int(calls / ((cost[1] - cost[0]) / 3)))


def distance(x: Tensor, exact: Tensor) -> float:
    """Sliced Wasserstein of order 2 from n draws to a multiple of n exact ones."""
    lines = torch.randn(PROJECTIONS, x.shape[1], dtype=torch.float64, generator=keyed("projections"))
    lines = lines / lines.norm(dim=1, keepdim=True)
    found, wanted = (x @ lines.mT).sort(0).values, (exact @ lines.mT).sort(0).values
    wanted = wanted.view(len(x), -1, PROJECTIONS)
    return float((found[:, None] - wanted).square().mean().sqrt())


def case_of(dims: int, std: float, rows: int) -> tuple[Case, list[Tensor]]:
    """Eight observations, and exact draws of their posteriors."""
    generator, mixture = keyed("case", dims, int(std * 100)), Mixture(dims)
    a = torch.randn(dims // 2, dims, dtype=torch.float64, generator=generator) / math.sqrt(dims)
    y = mixture.draw(OBSERVATIONS, generator) @ a.mT
    y = y + std * torch.randn(y.shape, dtype=torch.float64, generator=generator)
    return Case(mixture, a, y, std, rows), [mixture.posterior(a, v, std, 16 * rows, generator) for v in y]


@dataclass
class Found:
    """The mean distance over the observations, with its standard error."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.error:.3f}"


def report(name: str, steps: int, distances: list[float], began: float) -> Found:
    """Printed as it comes."""
    values, seconds = torch.tensor(distances), time.perf_counter() - began
    found = Found(float(values.mean()), float(values.std() / math.sqrt(len(values))))
    print(f"  {name:34s} {steps:4d} steps  {found}  {seconds:5.1f} s", flush=True)
    return found


def measured(dims: int, std: float, methods: dict[str, Method], rows: int, calls: int) -> dict[str, Found]:
    """Every method's distance in one case, and that of exact draws."""
    case, exact = case_of(dims, std, rows)
    print(f"{dims}-D, std {std:g}")
    generator, began = keyed("floor"), time.perf_counter()
    again = [case.mixture.posterior(case.a, y, std, rows, generator) for y in case.y]
    floor = [distance(x, e) for x, e in zip(again, exact, strict=True)]
    found = {"exact draws": report("exact draws", 0, floor, began)}
    for name, run in methods.items():
        steps, began = steps_for(run, case, calls), time.perf_counter()
        x = run(case, steps).nan_to_num(1e3).clamp(-1e3, 1e3)
        each = [distance(part, e) for part, e in zip(x.split(rows), exact, strict=True)]
        found[name] = report(name, steps, each, began)
    return found


def kind_of(name: str) -> str:
    """azula's methods, whatever their settings and schedule."""
    return name.split(",")[0].rstrip(" 124") if name.startswith("azula") else name


def row_of(found: dict[str, Found]) -> dict[str, Found]:
    """Of every kind the method with the least distance."""
    ranked = sorted(found.items(), key=lambda each: -each[1].mean)
    best = {kind_of(name): value for name, value in ranked}
    return {kind_of(name): best[kind_of(name)] for name in found}


def print_table(rows: dict[str, dict[str, Found]]) -> None:
    """As Markdown."""
    kinds = list(next(iter(rows.values())))
    print("\n| " + " | ".join(["", *kinds]) + " |\n" + "|---" * (1 + len(kinds)) + "|")
    for case, row in rows.items():
        print(f"| {case} | " + " | ".join(str(row[kind]) for kind in kinds) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--dims", type=int, nargs="*", default=DIMS)
    parser.add_argument("--only", nargs="*", help="the names of methods")
    words = parser.parse_args()
    methods = our_methods() | (their_methods() if azula else {})
    methods = {name: run for name, run in methods.items() if not words.only or name in words.only}
    print_table(
        {
            f"{dims}-D, std {std:g}": row_of(measured(dims, std, methods, words.rows, words.calls))
            for dims in words.dims
            for std in STDS
        }
    )


if __name__ == "__main__":
    main()
