"""undiffuse interpolate."""

from typing import TYPE_CHECKING, Annotated

import typer

from undiffuse.cli.console import device_of, printable, tracked
from undiffuse.cli.drawing import target_of, write_rows
from undiffuse.cli.options import DataDir, Device, RunFolder, Seed, Steps

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from undiffuse.runs import Run

EXAMPLES = """
[bold]Examples[/bold]

undiffuse interpolate runs/first a.png b.png

undiffuse interpolate runs/first a.npy b.npy --from 0.25 --from 0.5 --from 0.75

undiffuse interpolate runs/first --index 0 1 --points 5 --steps 100 --out between.png
"""

OneOf = typer.Argument(help="Picture or .npy of one example.")


def command(
    run: RunFolder,
    a: Annotated[str | None, OneOf] = None,
    b: Annotated[str | None, OneOf] = None,
    index: Annotated[
        tuple[int, int] | None,
        typer.Option("--index", help="Instead of files: two examples of the test data."),
    ] = None,
    begin: Annotated[
        list[float] | None,
        typer.Option(
            "--from", help="Time t at which the two are mixed, 0 to 1; may be repeated. Default: 0.5."
        ),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Mixtures, with both ends.")] = 9,
    steps: Steps = None,
    seed: Seed = 0,
    out: Annotated[
        str | None, typer.Option("--out", help="A new .png or .npy file. Default: both, under RUN/samples.")
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Walk between two examples: mix them after noise up to time t, and take the noise away."""
    from undiffuse.runs import load

    trained, target, times = load(run, device_of(device), data=data_dir), target_of(out), begin or [0.5]
    _check(trained, target, times, points)
    first, last, words = _ends(trained, a, b, index)
    raw = _walk(trained, first, last, times, points, seed, steps)
    rows = [(f"t = {t:g}", _row(first, middle, last)) for t, middle in zip(times, raw, strict=True)]
    words += [f"seed{seed}", f"points{points}", *(f"from{t:g}" for t in times)]
    words += [] if steps is None else [f"steps{steps}"]
    stem = trained.folder / "samples" / "-".join(["interpolate", *words])
    for path in write_rows(trained, raw, rows, stem, target):
        typer.echo(printable(str(path)))


def _check(trained: "Run", target: "Path | None", times: list[float], points: int) -> None:
    """Raise ValueError for what cannot be drawn, before anything is computed."""
    from undiffuse.diffusion import has_picture

    if target is not None and target.suffix == ".png" and not has_picture(trained):
        raise ValueError(f"--out {target}: these samples are no pictures; write a .npy file")
    if points < 2:
        raise ValueError(f"--points {points}: an interpolation has two ends at least")
    for t in times:
        if not 0 <= t <= 1:
            raise ValueError(f"--from {t:g}: a time from 0 (mix the data) to 1 (new samples)")


def _ends(
    trained: "Run", a: str | None, b: str | None, index: tuple[int, int] | None
) -> tuple["Tensor", "Tensor", list[str]]:
    """Both examples, and the words of a file's name that tell which."""
    from pathlib import Path

    from undiffuse.runs import pick_example, read_example

    if index is not None and a is None:
        i, j = index
        return pick_example(trained, i), pick_example(trained, j), [str(i), str(j)]
    if index is not None or a is None or b is None:
        raise ValueError("give two files, or --index I J for two examples of the test data")
    return read_example(trained, a), read_example(trained, b), [Path(a).stem, Path(b).stem]


def _walk(
    trained: "Run", a: "Tensor", b: "Tensor", times: list[float], points: int, seed: int, steps: int | None
) -> "Tensor":
    """All rows: (times, points, *shape)."""
    import torch

    with tracked("interpolate") as track:
        rows = (
            trained.interpolate(a, b, t, points, seed, steps=steps, track=part)
            for t, part in track.over(times)
        )
        return torch.cat(list(rows))


def _row(a: "Tensor", middle: "Tensor", b: "Tensor") -> "Tensor":
    """The mixtures between the examples themselves."""
    import torch

    return torch.cat([a.to(middle), middle, b.to(middle)])
