"""How many network calls an example a bound of a given error takes: equal shares, learned shares, a control.

    python benchmarks/cheap_bounds.py RUN --examples 1000 --error 0.01

Of so many held-out examples, two rounds of 1, 2, 4, .. terms are computed. Their noise says how many rounds
would reach the error, since it falls as one over the root of their number; the row with the fewest calls is
shown for each way of drawing. The whole chain has as many calls as steps.
"""

import argparse
from pathlib import Path

import undiffuse
from undiffuse import bounds
from undiffuse.bounds import Drawing
from undiffuse.diffusion.bounded import control_of
from undiffuse.recipes import load_data


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--error", type=float, default=0.01, help="bits per dimension")
    parser.add_argument("--terms", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    options = parser.parse_args()
    run = undiffuse.load(options.run)
    data, given = load_data(run.recipe).examples("test", slice(options.examples))
    run = run.told(given)
    print(f"{len(data):,} examples, chain of {len(run.grid):,} steps, error {options.error:g} bits/dim")
    print(f"{'':<32}{'terms':>6}{'noise of 2 rounds':>19}{'calls':>7}{'bound':>9}{'s.e.':>8}")
    first = None
    for name, drawing in ways(run, data).items():
        rows = [measured(run, data, drawing, terms, options.error) for terms in options.terms]
        calls, terms, report = min(rows, key=lambda row: row[0])
        first = first or calls
        print(
            f"{name:<32}{terms:>6}{report.noise:>19.4f}{calls:>7.1f}{report.total.mean - run.shift:>9.4f}"
            f"{report.total.se:>8.4f}   {first / calls:.1f} times fewer"
        )


def ways(run: undiffuse.Run, data) -> dict[str, Drawing]:
    """The drawings, by name."""
    found = {"equal stretches": Drawing.even(len(run.grid) - 1)}
    for name, control in (("learned shares", None), ("learned shares and a control", control_of(run))):
        how = {"grid": run.grid, "encode": run.space.encode, "control": control}
        found[name] = bounds.plan(run.model, data, error=1.0, **how).drawing
    return found


def measured(run: undiffuse.Run, data, drawing: Drawing, terms: int, error: float):
    """(calls, terms, report): of rounds of so many terms that reach the error, at least two."""
    how = {"grid": run.grid, "encode": run.space.encode, "terms": terms, "drawing": drawing}
    report = bounds.evaluate(run.model, data, rounds=2, **how)
    rounds = 2 * (report.noise / error) ** 2
    return rounds * (terms + 1), terms, report


if __name__ == "__main__":
    main()
