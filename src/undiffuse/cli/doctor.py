"""undiffuse doctor."""

import typer

from undiffuse.cli.console import Device, RunFolder, Seed, device_of, show, table, ticking

EXAMPLES = """
[bold]Examples[/bold]

undiffuse doctor runs/first
"""


def command(run: RunFolder, seed: Seed = 0, device: Device = "auto") -> None:
    """Where a run pays more than a model in closed form of its data, and what that usually means.

    The bound of at most 256 test examples, part by part of the chain, beside the base's with the same noise.
    """
    from undiffuse.recipes import load_data
    from undiffuse.reports import examine, plan_examination
    from undiffuse.runs import load

    trained = load(run, device_of(device))
    splits = load_data(trained.recipe)
    with ticking("doctor", plan_examination(trained, splits)) as tick:
        found = examine(trained, splits, seed, tick=tick)
    rows = table("bits/dim", ">this run", ">base", ">difference", ">s.e.")
    for part in found.parts:
        more = f"{part.more.mean:+.4f}" + (" !" if part.worse else "")
        rows.add_row(part.name, f"{part.own.mean:.4f}", f"{part.base.mean:.4f}", more, f"{part.more.se:.4f}")
    show(rows)
    findings = list(found.findings())
    for finding in findings or ["nowhere worse than a model in closed form"]:
        typer.echo(finding)
