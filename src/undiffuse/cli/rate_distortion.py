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
    from undiffuse.runs import Planner, archive, load, ways

    codec.ready()  # before any work
    if method not in codec.METHODS or not codec.METHODS[method].progressive:
        raise ValueError(f"--method {method}: progressive are universal and channel")
    if test < 2:
        raise ValueError(f"--test {test}: the bound's error needs two examples at least")
    target = None if out is None else archive.check_file(out)
    trained = load(run, device_of(device), data=data_dir)
    methods = ways(trained, method, lossy=True, steps=steps)  # what cannot be is refused at once
    raw = archive.test_examples(trained, test).raw
    planner = Planner(trained, raw, methods, steps)
    with tracked("choose steps, once for this run") as track:
        (chosen,) = planner.choose(track)
    plan = chosen.option.plan
    with tracked("compress") as track:
        data = codec.compress(trained.model, raw, method=method, grid=trained.grid, plan=plan, track=track)
    curves = {}
    with tracked("decompress") as track:
        curves[f"{method}, real bytes"] = weighing.real_curve(trained, raw, data, track)
    with tracked("bound") as track:
        curves["its bound"] = weighing.bound_curve(trained, plan, raw, method, track)
    if weighing.is_picture(trained):
        curves |= {kind: weighing.lossy_curve(trained, raw, kind) for kind in ("JPEG", "WebP")}
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
