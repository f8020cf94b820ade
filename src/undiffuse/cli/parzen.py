"""undiffuse parzen."""

from typing import Annotated

import typer

from undiffuse.cli.console import show, table, tracked
from undiffuse.cli.options import DataDir, Device, ResultsFolder, RunFolder, Seed, Steps, Stop
from undiffuse.cli.processes import LONG, Count, sharing

EXAMPLES = """
[bold]Examples[/bold]

undiffuse parzen runs/mnist-2015 --steps 100

undiffuse parzen runs/mnist --steps 8 --stop 0.6  (Parzen windows prefer means to samples)
"""


def command(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 10_000,
    steps: Steps = None,
    stop: Stop = None,
    out: ResultsFolder = None,
    data_dir: DataDir = None,
    seed: Seed = 0,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """The Parzen window score of samples on all test data, in nats and bits (2015, table 2)."""
    from undiffuse.cli.evaluating import Results

    with sharing(processes, device, LONG) as (where, group):
        from undiffuse.diffusion import check_range
        from undiffuse.reports import drawn_of, note_of, parzen_of, protocol, save_parzen
        from undiffuse.runs import load

        check_range(n, 0)
        trained = load(run, where, data=data_dir).replace(processes=group).stopped(stop or 0.0)
        results = Results.of(trained, out)
        trained.thinned(steps)
        fixed = protocol(trained)
        with tracked("parzen") as track:
            found = parzen_of(trained, fixed, n, seed, steps=steps, track=track)
        if not group.leads:
            return
        rows = table("log-likelihood by Parzen windows", ">mean", ">s.e.", "unit", title=note_of(trained))
        for unit, each in (("nats", found.nats), ("bits", found.bits)):
            rows.add_row("", f"{each.mean:.1f}", f"{each.se:.1f}", f"{unit}/example")
        show(rows)
        edge = ": an end of the list, another may be better" if found.at_edge else ""
        typer.echo(f"width {found.width:.4f}{edge}; {n:,} samples, {found.examples:,} test examples")
        drawn = drawn_of(trained, n, steps, seed=seed)
        results.write(lambda folder: [save_parzen(found, folder, drawn, trained.first)])
