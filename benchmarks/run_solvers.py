"""A trained run walked by solvers of diffusers and azula, beside ours: Fréchet distance against calls.

    pip install azula diffusers       (of what is left out nothing is printed)
    python benchmarks/run_solvers.py RUN --features fashion.safetensors -n 512 --calls 10 20

The same network, x_1, test images and times, even in lambda, for all; each ends with E[x_0 | x] at the first
latent, ours with noise in the decoder's draw. Noise is each one's own.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import undiffuse
from solver_laws import AZULA, DIFFUSERS, SDE
from solver_peers import Denoise, Solver, azula, diffusers, theirs
from undiffuse.metrics import Pixels, extract, frechet, load_features
from undiffuse.random import Streams
from undiffuse.recipes import sampler_of
from undiffuse.reports import contest
from undiffuse.reports.distances import Contest, unit_batches
from undiffuse.samplers import last, like_of, reverse, start
from undiffuse.schedules.grids import invert, logsnr
from undiffuse.track import SILENT

OURS = ("ddim", "unipc order=3", "dpm-solver++ order=2", "dpm-solver++ order=2 tau=1")
BATCH = 64


def peers() -> dict[str, tuple[Solver, int]]:
    """All that are installed, with their calls a step."""
    found = {name: (solver, each) for name, (solver, _, each) in DIFFUSERS.items()} if diffusers else {}
    if diffusers:
        found["diffusers: DPM++ 2M SDE"] = (theirs("DPMSolverMultistep", solver_order=2, **SDE), 1)
    return found | ({n: (s, each) for n, (s, _, each) in AZULA.items()} if azula else {})


def denoiser_of(run: undiffuse.Run) -> Denoise:
    """The run's network, as a function of x and lambda."""
    schedule = run.model.kernel.schedule

    def denoise(x: Tensor, place: float) -> Tensor:
        t = invert(schedule, torch.tensor(2 * place, dtype=torch.float64))
        return run.model.predict(x.float(), t).double()

    return denoise


def walked(run: undiffuse.Run, solver: Solver, calls: int, each: int, n: int) -> Iterator[Tensor]:
    """Raw samples by a peer, batch by batch."""
    kernel, denoise = run.model.kernel, denoiser_of(run)
    ends = [kernel.level(t).place for t in (run.grid[-1], run.grid[0])]
    places = torch.linspace(max(ends[0], -7.5), ends[1], (calls - 1) // each + 1, dtype=torch.float64)
    for first in range(0, n, BATCH):
        rows = range(first, min(n, first + BATCH))
        x = solver(denoise, begun(run, rows).double(), places)
        yield run.space.decode(denoise(x, float(places[-1])).float().clamp(-1, 1))


def drawn(run: undiffuse.Run, name: str, calls: int, n: int) -> Iterator[Tensor]:
    """Raw samples by one of ours, from the same x_1 at the same times."""
    grid = logsnr(run.model.kernel.schedule, calls, float(run.grid[0]))
    for first in range(0, n, BATCH):
        rows = range(first, min(n, first + BATCH))
        x_1, noise = begun(run, rows), Streams(0, "noise", rows=rows)
        walk = reverse(run.model, x_1, sampler=sampler_of(name), grid=grid, generator=noise)
        yield run.space.decode(last(walk)[0])


def begun(run: undiffuse.Run, rows: range) -> Tensor:
    """x_1 of these samples."""
    return start(run.model, like_of(run.model, (len(rows), *run.shape)), Streams(0, "x_1", rows=rows))


@torch.no_grad()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("-n", type=int, default=512)
    parser.add_argument("--calls", type=int, nargs="+", default=[10, 20])
    options = parser.parse_args()
    run = undiffuse.load(options.run).replace(walks=None)
    features = Pixels("pixels") if options.features is None else load_features(options.features)
    fixed: Contest = contest(run, features, options.n)
    test = extract(features, unit_batches(fixed, fixed.test, SILENT))
    print("| solver | " + " | ".join(f"{calls} calls" for calls in options.calls) + " |")
    print("|---|" + "---|" * len(options.calls), flush=True)

    def row(name: str, samples) -> None:
        cells = [frechet(extract(features, map(fixed.unit_samples, samples(c))), test) for c in options.calls]
        print(f"| {name} | " + " | ".join(f"{c.mean:.2f} +- {c.se:.2f}" for c in cells) + " |", flush=True)

    for name in OURS:
        row(f"ours: {name}", lambda calls, name=name: drawn(run, name, calls, options.n))
    for name, (solver, each) in peers().items():
        torch.manual_seed(0)
        row(name, lambda calls, s=solver, each=each: walked(run, s, calls, each, options.n))


if __name__ == "__main__":
    main()
