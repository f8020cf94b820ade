"""What `undiffuse evaluate` reports beyond the bound itself; imported only by a command that runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from undiffuse.cli.console import printable, show, table, ticking

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.recipes import Run

ROWS = 10  # of a table
FITTED = 256  # training examples behind an optimal variance, unless told


def report_progressive(
    trained: "Run", data: "Tensor", split: str, seed: int, steps: int | None, terms: int | None
) -> list[Path]:
    """Rate and distortion after so many received latents, and their files."""
    from undiffuse.recipes import (
        measure_of,
        plan_progressive,
        progressive_of,
        progressive_rows,
        save_progressive,
    )

    calls = plan_progressive(trained, len(data), steps, terms)
    with ticking("progressive", calls) as tick:
        found = progressive_of(trained, data, seed, steps=steps, terms=terms, tick=tick)
    title = f"Progressive: x_0-hat after so many of {found.steps} latents"
    rows = table(">received", ">t", ">rate, bits/dim", f">{measure_of(trained)}", title=title)
    for received, t, rate, distortion in progressive_rows(found, ROWS):
        rows.add_row(str(received), f"{t:.3f}", f"{rate:.5f}", f"{distortion:.5f}")
    show(rows)
    return save_progressive(trained, found, data, trained.folder, split, seed)


def report_variance(
    trained: "Run",
    data: "Tensor",
    split: str,
    examples: int | None,
    seed: int,
    steps: int | None,
    terms: int | None,
) -> None:
    """The bound with the best fixed variances for training examples, beside the run's own."""
    from undiffuse.recipes import (
        check_variance,
        compare_variance,
        fit_variance,
        load_data,
        plan_variance,
        save_variance,
        variance_name,
    )

    check_variance(trained, steps)
    splits, count = load_data(trained.recipe), examples or FITTED
    fit, labels = splits.train[:count], splits.train_labels
    fitted = trained.told(labels if labels is None else labels[:count])
    fitting, comparing = plan_variance(trained, len(fit), len(data), steps, terms)
    with ticking("variance", fitting) as tick:
        best = fit_variance(fitted, fit, seed, steps=steps, tick=tick)
    with ticking("evaluate", comparing) as tick:
        found = compare_variance(trained, best, len(fit), data, seed, terms=terms, tick=tick)
    rows = table("bound on -log2 p", ">mean", ">s.e.", "unit")
    for row in found.rows(variance_name(trained)):
        rows.add_row(row.name, f"{row.mean:.4f}", f"{row.se:.4f}", row.unit)
    show(rows)
    typer.echo(
        f"variances of {found.fitted:,} training examples, bounds of {found.examples:,} {split} examples, "
        f"chain of {len(best.grid)} steps"
    )
    for path in save_variance(trained, found, trained.folder, split):
        typer.echo(printable(str(path)))
