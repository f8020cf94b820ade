"""undiffuse optimal-variance."""

import typer

from undiffuse.cli.console import show, table, tracked
from undiffuse.cli.options import (
    DataDir,
    Device,
    Examples,
    ResultsFolder,
    RunFolder,
    Seed,
    Split,
    Steps,
    Stop,
    Terms,
)

FITTED = 256  # training examples, unless told
EXAMPLES = """
[bold]Examples[/bold]

undiffuse optimal-variance runs/first --steps 50
"""


def command(
    run: RunFolder,
    split: Split = "test",
    examples: Examples = None,
    steps: Steps = None,
    terms: Terms = None,
    stop: Stop = None,
    out: ResultsFolder = None,
    data_dir: DataDir = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """How far the best fixed variance of every step lowers the bound of the run (Bao et al. 2022).

    They are found on training examples, as many as --examples, or 256.
    """
    from undiffuse.cli.console import device_of
    from undiffuse.cli.evaluating import Results, split_of, terms_of
    from undiffuse.recipes import load_data
    from undiffuse.reports import (
        check_variance,
        compare_variance,
        fit_variance,
        note_of,
        part_of,
        save_variance,
        variance_name,
    )
    from undiffuse.runs import load

    trained = load(run, device_of(device), data=data_dir).stopped(stop or 0.0)
    results, terms = Results.of(trained, out), terms_of(trained, terms)
    check_variance(trained, steps)
    data, given = split_of(trained, split, examples)
    name, told = part_of(trained, split, len(data), steps, terms, seed), trained.told(given)
    splits, count = load_data(trained.recipe), examples or FITTED
    fit, seen = splits.examples("train", slice(count))
    fitted = trained.told(seen)
    with tracked("variance") as track:
        best = fit_variance(fitted, fit, seed, steps=steps, track=track)
    with tracked("evaluate") as track:
        found = compare_variance(told, best, len(fit), data, seed, terms=terms, track=track)
    rows = table("bound on -log2 p", ">mean", ">s.e.", "unit", title=note_of(trained))
    for row in found.rows(variance_name(trained)):
        rows.add_row(row.name, f"{row.mean:.4f}", f"{row.se:.4f}", row.unit)
    show(rows)
    typer.echo(
        f"variances of {found.fitted:,} training examples, bounds of {found.examples:,} {split} examples, "
        f"chain of {len(best.grid)} steps"
    )
    results.write(lambda folder: save_variance(trained, found, folder, name))
