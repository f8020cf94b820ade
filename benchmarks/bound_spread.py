"""How much one random term tells of the bound: its spread under the schedules of trained runs.

    undiffuse train swiss-roll objective=continuous --out runs/fixed
    undiffuse train swiss-roll objective=continuous kernel.schedule.kind=learned --out runs/learned
    python benchmarks/bound_spread.py runs/fixed runs/learned

The standard deviation, over examples and noise, of the estimate of the bound of infinitely many steps that
training lowers, in bits per dimension; its mean is the bound. A learned schedule lowers the spread.
"""

import math
import sys

import undiffuse
from undiffuse.objectives import Continuous, Independent
from undiffuse.random import keyed
from undiffuse.recipes import load_data

EXAMPLES = 20_000


def main(*folders: str) -> None:
    for folder in folders:
        run = undiffuse.load(folder)
        x_0 = run.space.encode(load_data(run.recipe).test[:EXAMPLES])
        each = Continuous(Independent(), run.grid)(run.model, x_0, keyed("spread")).detach()
        error = float(each.std()) / math.sqrt(len(each))
        print(f"{folder:32s} bound {float(each.mean()):.4f} +- {error:.4f}, spread {float(each.std()):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
