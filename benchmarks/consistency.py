"""Two ways to teach a student of few calls, at equal calls of the network: whole intervals, or consistency.

    python benchmarks/consistency.py RUN [--calls 4] [--steps 600]

Both begin with the run's weights, at the same times, chosen for DDIM. `walked` is what `undiffuse distill`
does: the run walks an interval in eight steps, and the student is to arrive there in one. `consistent` asks
that the student arrive at the same place from one step of the run further on as from where that step began,
by its own running average (Song et al. 2023; in intervals, Heek et al. 2024): five calls of the network an
example where the other takes eleven, a backward pass as two, so that it is trained for as many more steps.
"""

import argparse
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

import undiffuse
from undiffuse.model import Denoiser
from undiffuse.objectives import Distilled
from undiffuse.random import keyed
from undiffuse.recipes import load_data
from undiffuse.reports.distilled import contest_of, price_of
from undiffuse.runs.distilling import RATE, Taught
from undiffuse.samplers import DDIM
from undiffuse.schedules.grids import invert

SUBSTEPS, BATCH, AVERAGE = 8, 64, 0.99
WALKED, CONSISTENT = SUBSTEPS + 3, 5  # calls an example


class Teacher(Taught):
    """A run, walked as a student's teacher is, without a folder."""

    def __init__(self, model: Denoiser) -> None:
        self.model = model


class Consistent(Distilled):
    """As `Distilled` is, with another aim and from any of an interval's times; one time for a batch."""

    slow: Denoiser

    def __call__(self, model: Denoiser, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """(B,) mean errors over the dimensions."""
        i, k = (int(torch.randint(n, (1,), generator=generator)) for n in (len(self.grid), SUBSTEPS))
        times = self.inside(model, i)
        t, r, s = times[k + 1 if i else 0], times[k if i else 0], times[0]
        x_t = model.kernel.marginal(x_0, t).sample(generator)
        with torch.no_grad():
            aim = self.teacher.model.predict(x_t, t)
            if i:
                x_r = moved(model, x_t, aim, t, r)
                x_s = moved(model, x_r, self.slow.predict(x_r, r), r, s) if k else x_r
                (a, b), (c, d) = (model.kernel.alpha_sigma(u) for u in (t, s))
                aim = ((x_s - d / b * x_t) / (c - d / b * a)).to(x_t)
        return self.error(model, model.output(x_t, t)[0], aim, x_t, t)

    def inside(self, model: Denoiser, i: int) -> Tensor:
        """Times from the end of interval i to where it begins, even in log-SNR; of the first its only one."""
        if i == 0:
            return self.grid[:1]
        ends = [max(float(model.kernel.schedule.logsnr(self.grid[j])), -15.0) for j in (i - 1, i)]
        times = invert(model.kernel.schedule, torch.linspace(*ends, SUBSTEPS + 1).double())
        times[0], times[-1] = self.grid[i - 1], self.grid[i]
        return times


def moved(model: Denoiser, x_t: Tensor, x_0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """x_s by one step without noise."""
    (a, b), (c, d) = (model.kernel.alpha_sigma(u) for u in (t, s))
    return (c * x_0 + d / b * (x_t - a * x_0)).to(x_t)


def taught(objective: Distilled, begin: Denoiser, data, encode, steps: int, rate: float) -> Denoiser:
    """The average of a student's weights after so many steps."""
    model, average = deepcopy(begin).train().requires_grad_(True), deepcopy(begin)
    objective.teacher, objective.slow = Teacher(deepcopy(begin).eval()), average
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99))
    for step in range(steps):
        generator = keyed(0, "consistency", step)
        rows = torch.randint(len(data), (BATCH,), generator=generator)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, step / 20) * (1 - step / steps)
        optimizer.zero_grad()
        objective(model, encode(data[rows]), generator).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - AVERAGE)
    return average.eval()


def main() -> None:
    """Print both students beside one another."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--steps", type=int, default=600, help="of the student whose teacher walks")
    options = parser.parse_args()
    run = undiffuse.load(options.run)
    data, fixed = load_data(run.recipe).train, contest_of(run)
    grid, rate = run.tuned(options.calls, DDIM()).grid, RATE * run.recipe["train"].build().lr
    print(f"{'':<12}{'steps':>7}   Fréchet distance of {options.calls} calls")
    for name, kind, cost in (("walked", Distilled, WALKED), ("consistent", Consistent, CONSISTENT)):
        steps = options.steps * WALKED // cost
        model = taught(kind(substeps=SUBSTEPS, grid=grid), run.denoiser, data, run.space.encode, steps, rate)
        student = run.replace(model=model, chain=grid, sampler=DDIM(), walks=None)
        print(f"{name:<12}{steps:>7}   {price_of(student, run, fixed).student}", flush=True)


if __name__ == "__main__":
    main()
