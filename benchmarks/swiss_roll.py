"""How close the bound of a trained swiss-roll run comes to the exact log-density, in bits per point.

    undiffuse train swiss-roll --out runs/swiss-roll
    python benchmarks/swiss_roll.py runs/swiss-roll

Beside it stands what a perfect denoiser, E[x_0 | x_t] worked out from the density itself, reaches on the
same grid with the same variance: that part of the gap is the chain's, the rest is the network's.
"""

import math
import sys

import torch

import undiffuse
from undiffuse import bounds
from undiffuse.data import SwissRoll
from undiffuse.estimate import Estimate
from undiffuse.networks import MixtureDenoiser
from undiffuse.parameterizations import X0

POINTS = 50_000
PERFECT_POINTS, PERFECT_TERMS = 20_000, 100


def main(folder: str) -> None:
    run = undiffuse.load(folder)
    source = SwissRoll(train=2, test=POINTS, seed=1)
    points = source.load().test
    exact = -source.log_density(points) / math.log(2)
    bound = 2 * run.bits(points)
    means, std = source.components(1024)
    network = MixtureDenoiser(run.model.kernel, means, std)
    perfect = undiffuse.Denoiser(network, run.model.kernel, X0(), run.model.variance)
    few = points[:PERFECT_POINTS]
    nats = [b.total for _, b in bounds.blocks(perfect, few, grid=run.grid, terms=PERFECT_TERMS)]
    best = torch.cat(nats) / math.log(2)
    print(f"{POINTS:,} held-out points, chain of {len(run.grid)} steps; bits per point")
    print(f"exact -log2 p            {estimate(exact)}")
    print(f"bound of the run         {estimate(bound)}")
    print(f"gap of the run           {estimate(bound - exact)}")
    print(f"gap of a perfect network {estimate(best - exact[:PERFECT_POINTS])}")


def estimate(x: torch.Tensor) -> Estimate:
    return Estimate(float(x.mean()), float(x.std() / math.sqrt(len(x))))


if __name__ == "__main__":
    main(*sys.argv[1:])
