"""undiffuse impute."""

from typing import Annotated

import typer

from undiffuse.cli import posterior as shared
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder, Seed, Steps

EXAMPLES = """
[bold]Examples[/bold]

undiffuse impute runs/table holes.csv --out filled.csv

undiffuse impute runs/table holes.parquet --particles 64

undiffuse impute runs/vectors table.npy -n 100

undiffuse impute runs/beat bits.npy --particles 64

undiffuse impute runs/table row.npy --evidence --groups 16
"""


def command(
    run: RunFolder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="A .csv or .parquet with holes; or an .npy of examples, NaN where a value is missing.",
        ),
    ],
    n: shared.Count = None,
    seed: Seed = 0,
    steps: Steps = None,
    label: Label = None,
    given: GivenFiles = None,
    method: shared.MethodOfKnown = None,
    times: shared.Times = None,
    particles: shared.Weighed = None,
    evidence: shared.WithEvidence = False,
    groups: shared.Groups = None,
    out: shared.Out = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Fill in what is NaN in data of any kind, n times: what is likely, and how sure that is."""
    from functools import partial
    from pathlib import Path

    from undiffuse.cli.filling import fill, is_table
    from undiffuse.diffusion import Way, impute, known
    from undiffuse.runs import read_table

    if is_table(file):
        others = {"evidence": evidence, "given": given, "class": label, "groups": groups}
        way = Way(method, times, particles, steps=steps)
        fill(run, file, out, data_dir, device, {"n": n, "seed": seed, "way": way}, others)
        return
    options = shared.asked(n, seed, steps, label, given, method, particles, evidence, groups, out, times)
    trained = shared.open_run(run, device, options, data_dir)
    raw = read_table(trained, file).view(-1, *trained.shape)
    factor = known(trained, raw, ~raw.isnan())
    found = shared.follow("impute", trained, factor, options, partial(impute, trained, raw), len(raw))
    shared.report("impute", trained, found, raw, None, [Path(file).stem], options)
