"""Held-out bits a row of tables of mixed columns, beside densities in closed form and a mixture.

    pip install scikit-learn plotnine statsmodels
    python benchmarks/mixed_tables.py [--tables diamonds ..] [--steps 2500] [--rows 1000]

Ours is `undiffuse.fit` of the table as it is; bits are of held-out rows with 100 of the chain's steps for
each, an upper bound. Beside it, of the same rows: independent columns (numbers by their maps to normal
scores, symbols by frequencies); a normal copula of the numbers beside independent symbols; and a mixture of
normal densities of scikit-learn, of 1 to 16 components by a fifth of the training rows, of all columns'
scores, symbols taken for levels in the order of their names, with a draw within each level's cell (a bound,
too). Rows with holes are left out, since the mixture has none. Differences are row by row, in bits.
"""

import argparse
import math
import time
import warnings

import numpy as np
import torch
from torch import Tensor

import undiffuse as ud
from mixed_data import TABLES
from undiffuse.bases.columns import within
from undiffuse.data import CellSpace
from undiffuse.diffusion import evaluate
from undiffuse.marginals import Marginals
from undiffuse.random import keyed
from undiffuse.recipes import load_data

COMPONENTS, DRAWS = (1, 2, 4, 8, 16), 8


def mixture(train: Tensor, test: Tensor, space: CellSpace) -> Tensor:
    """-log2 p (N,) of test rows, at most."""
    from sklearn.mixture import GaussianMixture

    steps = [1.0 if column.symbols else column.step for column in space.columns]
    maps = Marginals.fit(train, steps)
    fit, held = (within(maps, maps.encode(x), keyed("mixture")).numpy() for x in (train[::5], train[1::5]))
    whole = within(maps, maps.encode(train), keyed("mixture")).numpy()
    made = [GaussianMixture(k, reg_covar=1e-4, random_state=0).fit(fit) for k in COMPONENTS]
    best = COMPONENTS[int(np.argmax([each.score(held) for each in made]))]
    chosen = GaussianMixture(best, reg_covar=1e-4, random_state=0).fit(whole)
    found = []
    for draw in range(DRAWS):
        z = within(maps, maps.encode(test), keyed("draw", draw))
        alone = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        found.append(torch.from_numpy(chosen.score_samples(z.numpy())) - alone)
    return -(torch.stack(found).mean(0) + maps.log_prob(test).sum(1)) / math.log(2)


def main() -> None:
    """Print a row for each table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rows", type=int, default=1000, help="that are evaluated, at most")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| table | rows | ours | less independent columns | less copula | less mixture | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in options.tables:
        frame, begin = TABLES[name]().dropna().reset_index(drop=True), time.perf_counter()
        model = ud.fit(frame, steps=options.steps, quiet=True)
        seconds = time.perf_counter() - begin
        splits = load_data(model.recipe)
        test, size = splits.test[: options.rows], len(splits.cells)
        bound = evaluate(model, test, terms=100)
        own = model.in_tensors.bits(test, terms=100).double() * size
        less = own - mixture(splits.train[:], test, model.space)
        beside = {
            key: f"{size * more.mean:+.2f} +- {size * more.se:.2f}" for key, (_, more) in bound.beside.items()
        }
        print(
            f"| {name} | {len(frame):,} | {size * bound.report.total.mean:.2f} +- "
            f"{size * bound.report.total.se:.2f} | {beside['columns']} | {beside['copula']} | "
            f"{less.mean():+.2f} +- {less.std() / len(less) ** 0.5:.2f} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
