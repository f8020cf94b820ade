"""undiffuse import."""

from pathlib import Path
from typing import Annotated

import typer

from undiffuse.cli.console import printable

EXAMPLES = """
[bold]Examples[/bold]

undiffuse import ddpm-cifar10-32 --out runs/imported

undiffuse sample runs/imported -n 16 --steps 100

undiffuse import ddpm-cifar10-32 --out runs/cifar10 data.kind=cifar10 data.path=cifar-10-batches-bin

undiffuse evaluate runs/cifar10 --examples 100 --terms 20

DIR is as diffusers saves it: model_index.json, a UNet2DModel without classes, a DDPM or DDIM scheduler.

Nothing is downloaded, and no weights but safetensors are opened.
"""


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a diffusers pipeline.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Data to evaluate on, such as data.kind=images data.path=photos."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="RUN", help="New folder for the run. Default: runs/DIR.")
    ] = None,
) -> None:
    """Make a run of a diffusers pipeline, to sample and evaluate; what does not map is refused by name."""
    from undiffuse.runs import import_run

    made = import_run(folder, out or Path("runs") / Path(folder).absolute().name, list(overrides or []))
    typer.echo(f"{made.parameters:,} parameters -> {printable(str(made.folder))}")
    for note in made.notes:
        typer.echo(f"note: {printable(note)}", err=True)
