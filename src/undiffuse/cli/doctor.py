"""undiffuse doctor."""

import typer

from undiffuse.cli.console import device_of, show, table, tracked
from undiffuse.cli.options import DataDir, Device, RunFolder, Seed

EXAMPLES = """
[bold]Examples[/bold]

undiffuse doctor runs/first
"""


def command(run: RunFolder, seed: Seed = 0, data_dir: DataDir = None, device: Device = "auto") -> None:
    """Where a run pays more than a model in closed form of its data, and what that usually means.

    The bound of at most 256 test examples, part by part of the chain, beside the base's with the same noise.
    """
    from undiffuse.recipes import load_data
    from undiffuse.reports import examine
    from undiffuse.runs import load

    trained = load(run, device_of(device), data=data_dir)
    splits = load_data(trained.recipe)
    with tracked("doctor") as track:
        found = examine(trained, splits, seed, track=track)
    rows = table("bits/dim", ">this run", ">base", ">difference", ">s.e.")
    for part in found.parts:
        more = f"{part.more.mean:+.4f}" + (" !" if part.worse else "")
        rows.add_row(part.name, f"{part.own.mean:.4f}", f"{part.base.mean:.4f}", more, f"{part.more.se:.4f}")
    show(rows)
    findings = list(found.findings())
    for finding in findings or ["nowhere worse than a model in closed form"]:
        typer.echo(finding)
