"""undiffuse check."""

from typing import Annotated

import typer

from undiffuse.cli.console import device_of, duration, printable
from undiffuse.cli.following import say
from undiffuse.cli.options import Device

EXAMPLES = """
[bold]Examples[/bold]

undiffuse check photos

undiffuse check table.csv train.steps=3000
"""


def command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Your data, as for train.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to what is chosen.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Whether a model can be trained on your data: every file that is wrong, what is chosen, what it costs.

    All files are looked at in one pass; nothing is written. Exits with 2 if data are refused.
    """
    from undiffuse.data.pictures import read_image
    from undiffuse.recipes.choosing import chosen_with
    from undiffuse.runs.budget import measure

    chosen = chosen_with(path, overrides or [], decode=read_image)
    for name, why in chosen.problems.items():
        typer.echo(f"{printable(name)}: {printable(why)}", err=True)
    say(chosen.reasons)
    pace, steps = measure(chosen.node, device_of(device)), chosen.node["train"]["steps"]
    typer.echo(
        f"{pace.parameters:,} parameters, {pace.step:.3g} s a step here: {steps:,} steps take about "
        f"{duration(pace.seconds(steps))}; --minutes M chooses others"
    )
    if chosen.problems:
        typer.echo(f"{len(chosen.problems):,} files cannot be read and are skipped")
