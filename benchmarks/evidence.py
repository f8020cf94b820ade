"""Evidence of a trained run of few numbers, by particles, against an average over draws of its own chain.

    undiffuse train swiss-roll train.precision=fp32 train.optimizer=adamw --out runs/roll
    python benchmarks/evidence.py runs/roll [--steps 200] [--draws 20000] [--points 4] [--std 0.3]

Points of the test data are seen with noise of this width, y; and of each the first number alone is known. The
truth is the mean of N(y; x_0, std^2), or of p(known), over draws of the chain, the last step in closed form.
Beside it stand the default rule, and the one that spares the network's slopes.
"""

import argparse
import math
from itertools import pairwise

import torch
from torch import Tensor

import undiffuse
from undiffuse.posteriors import Factor, Flat, Known, Matched, Noisy
from undiffuse.random import keyed
from undiffuse.recipes import load_data
from undiffuse.runs import Run
from undiffuse.samplers import evidence
from undiffuse.schedules.grids import Grid


@torch.no_grad()
def averaged(run: Run, factors: dict[str, Factor], grid: Grid, draws: int) -> dict[str, tuple[float, float]]:
    """log E[r] over draws of the chain, with its standard error."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(draws, *run.shape, generator=generator)
    for s, t in reversed(list(pairwise(grid))):
        x = run.model.step(x, t, s).sample(generator)
    last, found = run.model.decode(x, grid[0]), {}
    for name, factor in factors.items():
        log_r = factor.normaliser(last)
        log_z = log_r.logsumexp(0) - math.log(draws)
        found[name] = float(log_z), float((log_r - log_z).exp().std()) / math.sqrt(draws)
    return found


def observed(points: Tensor, std: float) -> dict[str, Factor]:
    """Each point seen with noise, and each with its first number known, in x_0's coordinates."""
    seen = points + std * torch.randn(points.shape, generator=keyed("seen"))
    found: dict[str, Factor] = {}
    for i, (y, x) in enumerate(zip(seen, points, strict=True)):
        found[f"point {i}, noisy"] = Noisy(y, std)
        found[f"point {i}, first known"] = Known(x, torch.arange(len(x)) == 0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--std", type=float, default=0.3)
    words = parser.parse_args()
    run = undiffuse.load(words.run)
    grid = run.thinned(words.steps)
    points = run.space.encode(load_data(run.recipe).test[: words.points])
    factors = observed(points, words.std)
    truths = averaged(run, factors, grid, words.draws)
    print(f"{'':24s}{'chain':>16s}{'matched':>16s}{'share':>6s}{'flat':>16s}{'share':>6s}")
    for name, factor in factors.items():
        log_z, se = truths[name]
        line = f"{name:24s}{log_z:8.3f} +- {se:.3f}"
        for product in (run.model * factor, Matched(run.model, factor, Flat())):
            found = evidence(product, run.shape, generator=keyed(name), grid=grid)
            line += f"{found.log_evidence:8.3f} +- {found.se:.3f}{found.size:6.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
