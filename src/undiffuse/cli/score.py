"""undiffuse score."""

import csv
import io
import json
from typing import Annotated

import typer

from undiffuse.cli.console import device_of, printable, show, table, tracked
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder, Seed

EXAMPLES = """
[bold]Examples[/bold]

undiffuse score runs/photos new-photos --csv scores.csv

undiffuse score runs/table new.csv --json
"""


def command(
    run: RunFolder,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Pictures (a folder, or one), an .npy, a .csv or .parquet of examples."
        ),
    ],
    csv_file: Annotated[
        str | None, typer.Option("--csv", metavar="OUT", help="A new file for every example's score.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every score as JSON, and nothing else.")
    ] = False,
    label: Label = None,
    given: GivenFiles = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """How probable examples are: negative log-likelihood in bits per dimension, and the percentile of that.

    The percentile is the share of held-out examples that take no more bits: near 100 means unlike them.
    """
    from undiffuse.files import write_text
    from undiffuse.runs import archive, load, told_for
    from undiffuse.runs.incoming import read_examples
    from undiffuse.runs.scoring import COLUMNS, SHOWN, score

    target = None if csv_file is None else archive.check_file(csv_file)  # before any work
    trained = load(run, device_of(device), data=data_dir)
    found = read_examples(trained, path)
    trained = told_for(trained, found, label, given or ())
    with tracked("score") as track:
        scores = score(trained, found.raw, seed, track=track)
    rows = scores.rows(found.names)
    if target is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
        write_text(target, text.getvalue())
    if as_json:
        typer.echo(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows]))
        return
    highest = sorted(rows, key=lambda row: -row[1])[:SHOWN]
    shown = table("most surprising", ">bits/dim", ">s.e.", ">percentile")
    for name, bits, se, percentile in highest:
        shown.add_row(printable(name), f"{bits:.4f}", f"{se:.4f}", f"{percentile:.1f}")
    show(shown)
    typer.echo(str(scores))
    for name, why in found.skipped.items():
        typer.echo(f"skipped {printable(name)}: {printable(why)}", err=True)
    if target is not None:
        typer.echo(printable(str(target)))
