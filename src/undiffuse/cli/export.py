"""undiffuse export."""

from typing import Annotated

import typer

from undiffuse.cli.console import printable
from undiffuse.cli.options import RunFolder

EXAMPLES = """
[bold]Example[/bold]

undiffuse export runs/photos --to diffusers exported

and there: diffusers.DDPMPipeline.from_pretrained("exported")

It holds the U-Net with its averaged weights, and the chain: schedule, what is predicted, variance.

The output is the same at every step; their last step is the mean, where ours draws a level.

What goes over: network.kind=unet, ddpm-cifar10 and ddpm-256, with network.clock.scale=T for T steps.
"""


def command(
    run: RunFolder,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="New folder to write.")],
    to: Annotated[str, typer.Option("--to", help="Whose format: diffusers.")] = "diffusers",
) -> None:
    """Write a run as a folder that another library loads; what it cannot hold is refused by name."""
    from undiffuse.runs import FORMATS, export_run, load

    if to not in FORMATS:
        raise ValueError(f"--to {to}: no such format; there is {', '.join(FORMATS)}")
    typer.echo(printable(str(export_run(load(run), folder))))
