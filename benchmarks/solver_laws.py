"""What solvers are worth: exact for polynomials, of which order, and how far off after so many calls.

    pip install azula diffusers       (of what is left out nothing is printed)
    python benchmarks/solver_laws.py

Table 1. Where E[x_0 | x] is a polynomial of degree < p in lambda = log(alpha / sigma), whatever x is, a step
of a solver of order p is exact; the number is what the last of irregular steps is off by, its noise left out.
Table 2. The order that is seen on irregular grids: a mixture of three normal densities on a line, a guided
one, and a product of correlated normal data with an observation.
Table 3. Mixtures of eight normal densities of width 0.3 in 2-D and 64-D with an exact denoiser: root mean
square distance of values from where the probability flow leads, after so many calls, of each solver on the
best of three grids: even in lambda, rho = 7, and even in the time of a cosine. The last rows are of grids
that `samplers.Tuner` chose, from other x_1.

All run in float64 from the same x_1 on the same lambda, the last of them that of the first latent. Schedulers
of diffusers are given these as their sigmas (some round to float32), azula's as a schedule of its own. Heun's
two calls a step count as two, and so do those of singlestep solvers.
"""

import argparse
import importlib
import math

import torch
from torch import Tensor

from solver_peers import KERNEL, Denoise, Solver, azula, diffusers, model_of, of_azula, ours, scales, theirs
from undiffuse import Denoiser
from undiffuse.axes import Axes
from undiffuse.bases import GaussianBase, MixtureBase, NumberBase
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.networks import MLP
from undiffuse.posteriors import Guided, Matched, Noisy
from undiffuse.random import keyed
from undiffuse.samplers import DDIM, DEIS, DPMSolver, DPMSolverPP, Exponential, Tuner, UniPC
from undiffuse.samplers.quadrature import moments
from undiffuse.schedules import LogLinear
from undiffuse.schedules.grids import uniform

OURS: dict[str, tuple[Solver, int, int]] = {  # with the order that is claimed, and calls a step
    "ours: ddim": (ours(DDIM()), 1, 1),
    "ours: dpm-solver++ 2M": (ours(DPMSolverPP(2)), 2, 1),
    "ours: dpm-solver++ 3M": (ours(DPMSolverPP(3)), 3, 1),
    "ours: dpm-solver++ 2S": (ours(DPMSolverPP(2, singlestep=True)), 2, 2),
    "ours: dpm-solver++ 3S": (ours(DPMSolverPP(3, singlestep=True)), 3, 3),
    "ours: dpm-solver 3": (ours(DPMSolver(3)), 3, 3),
    "ours: deis 2": (ours(DEIS(2)), 2, 1),
    "ours: deis 3": (ours(DEIS(3)), 3, 1),
    "ours: unipc 2": (ours(UniPC(2)), 3, 1),
    "ours: unipc 3": (ours(UniPC(3)), 4, 1),
}
PLAIN = {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
DIFFUSERS: dict[str, tuple[Solver, int, int]] = {
    "diffusers: DPM++ 2M": (theirs("DPMSolverMultistep", solver_order=2, **PLAIN), 2, 1),
    "diffusers: DPM++ 3M": (theirs("DPMSolverMultistep", solver_order=3, **PLAIN), 3, 1),
    "diffusers: DEIS 3": (theirs("DEISMultistep", solver_order=3, lower_order_final=False), 3, 1),
    "diffusers: UniPC 2": (theirs("UniPCMultistep", solver_order=2, **PLAIN), 3, 1),
    "diffusers: UniPC 3": (theirs("UniPCMultistep", solver_order=3, **PLAIN), 4, 1),
    "diffusers: Heun": (theirs("HeunDiscrete"), 2, 2),
}
AZULA: dict[str, tuple[Solver, int, int]] = {
    "azula: Heun": (of_azula("Heun"), 2, 2),
    "azula: zEAB 2": (of_azula("zEAB", order=2), 2, 1),
    "azula: xEAB 2": (of_azula("xEAB", order=2), 2, 1),
    "azula: xEAB 3": (of_azula("xEAB", order=3), 3, 1),
    "azula: REAB 2": (of_azula("REAB", order=2), 2, 1),
    "azula: REAB 3": (of_azula("REAB", order=3), 3, 1),
}


def solvers() -> dict[str, tuple[Solver, int, int]]:
    """All that are installed."""
    return OURS | (DIFFUSERS if diffusers else {}) | (AZULA if azula else {})


# Table 1

SDE = {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}
LAWS: dict[str, tuple[Solver, int, float, int]] = {  # with the order, tau, and how many steps are looked at
    "ours: dpm-solver++ 3M": (ours(DPMSolverPP(3)), 3, 0.0, 1),
    "ours: dpm-solver++ 3S": (ours(DPMSolverPP(3, singlestep=True)), 3, 0.0, 1),
    "ours: sde-dpm-solver++ 2M": (ours(Exponential(2, tau=1)), 2, 1.0, 1),
    "ours: sde-dpm-solver++ 3M": (ours(Exponential(3, tau=1)), 3, 1.0, 1),
    "ours: unipc 3": (ours(UniPC(3)), 3, 0.0, 1),
}
THEIR_LAWS: dict[str, tuple[Solver, int, float, int]] = {
    "diffusers: DPM++ 3M": (theirs("DPMSolverMultistep", solver_order=3, **PLAIN), 3, 0.0, 1),
    "diffusers: DPM++ 2M SDE": (theirs("DPMSolverMultistep", solver_order=2, **SDE, **PLAIN), 2, 1.0, 1),
    "diffusers: DPM++ 3M SDE": (theirs("DPMSolverMultistep", solver_order=3, **SDE, **PLAIN), 3, 1.0, 1),
    "diffusers: DPM++ 3S SDE": (theirs("DPMSolverSinglestep", solver_order=3, **SDE, **PLAIN), 3, 1.0, 3),
    "diffusers: UniPC 3": (theirs("UniPCMultistep", solver_order=3, **PLAIN), 3, 0.0, 1),
}
PLACES = torch.tensor([-1.6, -1.1, -0.7, -0.1, 0.25, 0.9, 1.3], dtype=torch.float64)


def exact_step(x: Tensor, a: float, b: float, power: int, tau: float) -> Tensor:
    """From lambda a to b where the prediction is lambda^power, by the moments of its integral."""
    (_, sigma_a), (alpha_b, sigma_b) = scales(a), scales(b)
    h, c = b - a, 1 + tau**2
    found = moments(c * h, power + 1)
    whole = sum(math.comb(power, k) * a ** (power - k) * h**k * found[k] for k in range(power + 1))
    return sigma_b / sigma_a * math.exp(-(tau**2) * h) * x + alpha_b * c * h * whole


def laws() -> None:
    """Table 1."""
    for name in ("multistep", "singlestep") if diffusers else ():
        module = importlib.import_module(f"diffusers.schedulers.scheduling_dpmsolver_{name}")
        module.randn_tensor = lambda shape, dtype, **_: torch.zeros(shape, dtype=dtype)
    print("| solver | constant | linear | quadratic |\n|---|---|---|---|")
    x = torch.full((1, 1), 0.7, dtype=torch.float64)
    for name, (solver, order, tau, looked) in (LAWS | (THEIR_LAWS if diffusers else {})).items():
        cells = []
        for power in range(3):

            def denoise(x: Tensor, place: float, power: int = power) -> Tensor:
                return torch.full_like(x, place**power)

            places = PLACES if looked == 1 else PLACES[: looked + 1]
            before = solver(denoise, x, places[:-1]) if looked == 1 else x
            expected = exact_step(before, float(places[-1 - looked]), float(places[-1]), power, tau)
            off = float(solver(denoise, x, places) - expected)
            cells.append(f"{off:.1e}" if power < order else "-")
        print(f"| {name} | {' | '.join(cells)} |")
    if diffusers:
        scheduler = diffusers.UniPCMultistepScheduler(solver_type="bh1", prediction_type="sample")
        scheduler.set_timesteps(10)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.zeros_like(x), t, x).prev_sample
        print(f"\ndiffusers: UniPC with bh1 and its other defaults, 10 steps: {float(x):g}")


# Tables 2 and 3


def on(base: NumberBase) -> Denoiser:
    """The exact denoiser of this density: a network that adds nothing to its base."""
    return Denoiser.on(base, MLP(base.shape, hidden=1, layers=1).double(), KERNEL, learned=False)


def mixture(means: Tensor, widths: Tensor, weights: Tensor) -> Denoiser:
    """Of normal densities of these widths (K,), means (K, d) and weights (K,)."""
    unit = torch.eye(means.shape[1], dtype=torch.float64)
    beside = GaussianBase(means.mean(0), means.var(0) + 1)  # of which predictions take nothing
    vars = widths.square()[:, None].expand_as(means)
    return on(MixtureBase(weights.log(), means, vars, unit.expand(len(means), -1, -1), beside))


def three(shift: float = 0.0, more: float = 0.0) -> Denoiser:
    """Three on a line."""
    means = torch.tensor([[-1.0], [0.3], [1.4]], dtype=torch.float64) * (1 - shift)
    widths = (torch.tensor([0.04, 0.1, 0.02], dtype=torch.float64) + more).sqrt()
    return mixture(means, widths, torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64))


def eight(d: int) -> Denoiser:
    """Eight in the plane, or in more dimensions."""
    means = torch.randn(8, d, dtype=torch.float64, generator=keyed("eight", d))
    return mixture(means, torch.full((8,), 0.3).double(), torch.full((8,), 1 / 8).double())


def correlated() -> Denoiser:
    """Two correlated values."""
    cov = torch.tensor([[0.5, 0.3], [0.3, 0.4]], dtype=torch.float64)
    values, vectors = torch.linalg.eigh(cov)
    return on(GaussianBase(torch.tensor([0.5, -0.2], dtype=torch.float64), values, Axes.whole(vectors)))


def asked(model: ReverseProcess) -> Denoise:
    """A model of `KERNEL` as a function of lambda."""

    def denoise(x: Tensor, place: float) -> Tensor:
        return model.predict(x, torch.tensor((6 - place) / 13, dtype=torch.float64))

    return denoise


def irregular(count: int) -> Tensor:
    """lambda from -7 to 5."""
    u = torch.linspace(0, 1, count, dtype=torch.float64)
    return -7 + 12 * (u + 0.08 * torch.sin(2 * math.pi * u))


def orders() -> None:
    """Table 2."""
    seen = torch.tensor([0.9, 0.0])
    cases = {
        "mixture": (three(), 1, (160, 320), 64),
        "guided": (Guided(three(), three(0.1, 0.02), 1.3), 1, (160, 320), 64),
        "product": (Matched(correlated(), Noisy(seen, torch.tensor([0.45, 3.0]))), 2, (160, 320), 4),
    }
    print(f"| solver | claims | {' | '.join(cases)} |\n|---|---|{'---|' * len(cases)}")
    exact = {}
    for name, (model, d, counts, rows) in cases.items():
        x = torch.randn(rows, d, dtype=torch.float64, generator=keyed(name))
        exact[name] = x, ours(UniPC(4))(asked(model), x, irregular(6 * counts[1] + 1))
    for name, (solver, order, _) in solvers().items():
        cells = []
        for case, (model, _, counts, _) in cases.items():
            x, right = exact[case]
            a, b = (float((solver(asked(model), x, irregular(n + 1)) - right).abs().mean()) for n in counts)
            cells.append(f"{math.log2(a / b):.2f}")
        print(f"| {name} | {order} | {' | '.join(cells)} |", flush=True)


def even(count: int) -> Tensor:
    """Even in lambda, from -4 to 5."""
    return torch.linspace(-4, 5, count, dtype=torch.float64)


def rho(count: int) -> Tensor:
    """sigma / alpha even in its seventh root (Karras et al. 2022)."""
    ends = torch.tensor([4.0, -5.0], dtype=torch.float64).exp() ** (1 / 7)
    return -7 * torch.linspace(*ends.tolist(), count, dtype=torch.float64).log()


def cosine(count: int) -> Tensor:
    """Even in the angle whose tangent is sigma / alpha."""
    ends = torch.tensor([4.0, -5.0], dtype=torch.float64).exp().atan()
    return -torch.linspace(*ends.tolist(), count, dtype=torch.float64).tan().log()


def errors() -> None:
    """Table 3."""
    counts = (5, 10, 20, 40)
    print(
        f"| solver | {' | '.join(f'2-D, {n}' for n in counts)} | {' | '.join(f'64-D, {n}' for n in counts)} |"
    )
    print(f"|---|{'---|' * 2 * len(counts)}")
    models = {d: eight(d) for d in (2, 64)}
    starts = {d: torch.randn(200, d, dtype=torch.float64, generator=keyed("start", d)) for d in models}
    right = {d: ours(UniPC(3))(asked(m), starts[d], even(1601)) for d, m in models.items()}
    for name, (solver, _, calls) in solvers().items():
        cells = []
        for d, model in models.items():
            for n in counts:
                found = [
                    float(
                        (solver(asked(model), starts[d], grid(n // calls + 1)) - right[d])
                        .square()
                        .mean()
                        .sqrt()
                    )
                    for grid in (even, rho, cosine)
                ]
                cells.append(f"{min(found):.1e}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for name, solver in {"deis 3": DEIS(3), "unipc 2": UniPC(2), "unipc 3": UniPC(3)}.items():
        cells = []
        for d, model in models.items():
            for n in counts:
                found = ours(solver)(asked(model), starts[d], chosen(d, solver, n + 1)) - right[d]
                cells.append(f"{float(found.square().mean().sqrt()):.1e}")
        print(f"| ours: {name}, grid chosen | {' | '.join(cells)} |", flush=True)


def chosen(d: int, solver: Exponential, count: int) -> Tensor:
    """lambda from -4 to 5 by `Tuner`, from 256 rows that are not those of the table."""
    kernel = Gaussian(LogLinear(10, -8))
    x_1 = torch.randn(256, d, dtype=torch.float64, generator=keyed("chosen", d))
    chain = torch.cat([torch.tensor([1e-9], dtype=torch.float64), uniform(100)])
    tuner = Tuner(model_of(asked(eight(d)), kernel), x_1, chain)
    return kernel.schedule.logsnr(tuner.tuned(solver, count)[0]).flip(0) / 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=int, choices=(1, 2, 3), help="only this one")
    chosen = parser.parse_args().table
    for number, table in enumerate((laws, orders, errors), 1):
        if chosen in (None, number):
            print(f"\nTable {number}\n")
            with torch.no_grad():
                table()


if __name__ == "__main__":
    main()
