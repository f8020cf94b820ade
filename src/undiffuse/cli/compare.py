"""undiffuse compare."""

import json
from typing import Annotated

import typer

from undiffuse.cli.console import LOG, device_of, printable, show, table, tracked
from undiffuse.cli.options import DataDir, Device, Examples, Seed, Terms

EXAMPLES = """
[bold]Examples[/bold]

undiffuse compare runs/small runs/large

undiffuse compare runs/small runs/large --examples 1000 --terms 20

undiffuse compare runs/small runs/large --on new-pictures/
"""

Runs = Annotated[list[str], typer.Argument(metavar="RUN RUN ...", help="Folders of trained runs.")]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="PATH",
        help="Examples that none of them was trained on: pictures, an .npy, a .csv or .parquet. Default: "
        "those that all of them hold out.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


def command(
    runs: Runs,
    on: On = None,
    examples: Examples = None,
    terms: Terms = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Which run finds the data more probable: bits/dim on the same examples, with the same noise.

    The difference has an error of its own, pair by pair, far below that of either number.
    """
    from undiffuse.reports.paired import check_alike, compare, held_out_by_all, summary
    from undiffuse.runs import load, told_for
    from undiffuse.runs.incoming import read_examples

    if len(runs) < 2:
        raise ValueError("RUN: a comparison takes two at least")
    if terms is not None and terms < 0:
        raise ValueError(f"--terms {terms}: the number of steps for each example, or 0 for all")
    if examples is not None and examples < 2:
        raise ValueError(f"--examples {examples}: a standard error needs at least two")
    if on is not None and examples is not None:
        raise ValueError(f"--examples {examples}: all examples of --on are compared")
    opened = [load(run, device_of(device), data=data_dir) for run in runs]
    check_alike(opened)
    if on is None:
        found = held_out_by_all(opened, examples)
        raw, told = found[0][0], [run.told(given) for run, (_, given) in zip(opened, found, strict=True)]
    else:
        read = read_examples(opened[0], on)
        raw, told = opened[0].with_noise(read.raw, seed), [told_for(run, read, None, ()) for run in opened]
        for name, why in read.skipped.items():
            LOG.warning("skipped %s: %s", printable(name), printable(why))
    with tracked("compare") as track:
        standings = compare(told, raw, seed, terms=terms, track=track)
    if as_json:
        typer.echo(json.dumps(summary(standings, len(raw))))
        return
    rows = table("", ">bits/dim", ">s.e.", ">more than the first", ">s.e.", ">s.e. if apart")
    for number, each in enumerate(standings):
        more = (f"{each.more.mean:+.4f}", f"{each.more.se:.4f}", f"{each.unpaired:.4f}")
        cells = more if number else ("", "", "")
        rows.add_row(printable(each.name), f"{each.bits.mean:.4f}", f"{each.bits.se:.4f}", *cells)
    show(rows)
    typer.echo(f"{len(raw):,} examples; beside {printable(standings[0].name)}:")
    for each in standings[1:]:
        typer.echo(printable(str(each)))
