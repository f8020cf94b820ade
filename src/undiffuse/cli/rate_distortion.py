"""undiffuse rate-distortion."""

from typing import Annotated

import typer

from undiffuse.cli.console import device_of, printable, show, table, tracked
from undiffuse.cli.options import DataDir, Device, RunFolder

EXAMPLES = """
[bold]Examples[/bold]

undiffuse rate-distortion runs/first

undiffuse rate-distortion runs/first --test 64 --steps 8 --method channel
"""


def command(
    run: RunFolder,
    test: Annotated[int, typer.Option("--test", help="How many of the run's test examples.")] = 32,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the chain. Default: few.")] = None,
    method: Annotated[str, typer.Option("--method", help="channel or universal.")] = "channel",
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="The new .png to draw. Default: in RUN.")
    ] = None,
    data_dir: DataDir = None,
    device: Device = "cpu",
) -> None:
    """Draw what so many real bytes of a progressive file are worth, beside the bound, JPEG and WebP."""
    from undiffuse import codec, plots
    from undiffuse.reports import weighing
    from undiffuse.runs import archive, load, ways

    codec.ready()  # before any work
    if method not in codec.METHODS or not codec.METHODS[method].progressive:
        raise ValueError(f"--method {method}: progressive are universal and channel")
    if test < 2:
        raise ValueError(f"--test {test}: the bound's error needs two examples at least")
    target = None if out is None else archive.check_file(out)
    trained = load(run, device_of(device), data=data_dir)
    methods = ways(trained, method, lossy=True, steps=steps)  # what cannot be is refused at once
    raw = archive.test_examples(trained, test).raw
    with tracked("compress") as track:
        curves = weighing.curves(trained, raw, methods, steps, track)
    rows = table("", ">bits/dim", ">RMSE on [0, 255]")
    for name, points in curves.items():
        for rate, error in sorted(points):
            rows.add_row(name, f"{rate:.4f}", f"{error:.3f}")
    show(rows)
    path = target or trained.folder / "rate-distortion.png"
    columns = {
        name: ([rate for rate, _ in points], [error for _, error in points])
        for name, points in curves.items()
    }
    plots.save_rate_distortion(columns, path, measure="RMSE on [0, 255]")
    typer.echo(printable(str(path)))
