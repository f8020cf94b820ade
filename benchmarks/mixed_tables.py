"""Held-out bits a row of tables of mixed columns, beside densities in closed form and a mixture.

    pip install scikit-learn plotnine statsmodels zuko
    python benchmarks/mixed_tables.py [--tables diamonds ..] [--steps 6000] [--rows 1000] [--set KEY=VALUE ..]

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
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import yaml
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


Density = Callable[[Tensor], Tensor]  # log p (N,) of scores (N, D)


def mixture(fit: Tensor, held: Tensor, whole: Tensor) -> Density:
    """Of as many components as held-out rows like best."""
    from sklearn.mixture import GaussianMixture

    def made(k: int, rows: Tensor) -> Any:
        return GaussianMixture(k, reg_covar=1e-4, random_state=0).fit(rows.numpy())

    best = max(COMPONENTS, key=lambda k: made(k, fit).score(held.numpy()))
    chosen = made(best, whole)
    return lambda z: torch.from_numpy(chosen.score_samples(z.numpy()))


def flow(fit: Tensor, held: Tensor, whole: Tensor) -> Density:
    """Three spline transforms, trained until held-out rows have not gained for thirty looks."""
    from zuko.flows import NSF

    torch.manual_seed(0)
    made = NSF(features=fit.shape[1], transforms=3, hidden_features=(128, 128))
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-3)
    best, kept, tries = math.inf, made.state_dict(), 0
    for _ in range(1000):
        for rows in fit.float()[torch.randperm(len(fit))].split(256)[:20]:
            optimizer.zero_grad()
            (-made().log_prob(rows).mean()).backward()
            torch.nn.utils.clip_grad_norm_(made.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            now = -float(made().log_prob(held.float()).mean())
        best, kept, tries = (now, deepcopy(made.state_dict()), 0) if now < best else (best, kept, tries + 1)
        if tries == 30:
            break
    made.load_state_dict(kept)

    @torch.no_grad()
    def log_prob(z: Tensor) -> Tensor:
        found: Tensor = made().log_prob(z.float()).double()
        return found

    return log_prob


WAYS = {"mixture": mixture, "flow": flow}


def bits(way: str, train: Tensor, test: Tensor, space: CellSpace) -> Tensor:
    """-log2 p (N,) of test rows, at most, by a density of their scores."""
    steps = [1.0 if column.symbols else column.step for column in space.columns]
    maps = Marginals.fit(train, steps)

    def scores(x: Tensor, *key: int | str) -> Tensor:
        return within(maps, maps.encode(x), keyed(*key))

    held = torch.arange(len(train)) % 5 == 1
    density = WAYS[way](scores(train[~held], "fit"), scores(train[held], "held"), scores(train, "whole"))
    found = []
    for draw in range(DRAWS):
        z = scores(test, "draw", draw)
        found.append(density(z) + 0.5 * (z.square() + math.log(2 * math.pi)).sum(1))
    return -(torch.stack(found).mean(0) + maps.log_prob(test).sum(1)) / math.log(2)


def main() -> None:
    """Print a row for each table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--steps", type=int, help="by default as many as tables of this size take")
    parser.add_argument("--rows", type=int, default=1000, help="that are evaluated, at most")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="recipe keys of ours")
    options = parser.parse_args()
    settings = {key: yaml.safe_load(value) for key, _, value in (each.partition("=") for each in options.set)}
    warnings.simplefilter("ignore")
    print("| table | rows | ours | less independent columns | less copula | less mixture | less flow | s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.tables:
        frame, begin = TABLES[name]().dropna().reset_index(drop=True), time.perf_counter()
        model = ud.fit(frame, steps=options.steps, settings=settings, quiet=True)
        seconds = time.perf_counter() - begin
        splits = load_data(model.recipe)
        test, size = splits.test[: options.rows], len(splits.cells)
        bound = evaluate(model, test, terms=100)
        own = model.in_tensors.bits(test, terms=100).double() * size
        less = [own - bits(way, splits.train[:], test, model.space) for way in WAYS]
        beside = {
            key: f"{size * more.mean:+.2f} +- {size * more.se:.2f}" for key, (_, more) in bound.beside.items()
        }
        others = " | ".join(f"{x.mean():+.2f} +- {x.std() / len(x) ** 0.5:.2f}" for x in less)
        print(
            f"| {name} | {len(frame):,} | {size * bound.report.total.mean:.2f} +- "
            f"{size * bound.report.total.se:.2f} | {beside['columns']} | {beside['copula']} | "
            f"{others} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
