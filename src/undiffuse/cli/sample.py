"""undiffuse sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import Device, RunFolder, Seed, device_of, printable, ticking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from undiffuse.recipes import Run
    from undiffuse.samplers import Sampler

EXAMPLES = """
[bold]Examples[/bold]

undiffuse sample runs/first -n 64

undiffuse sample runs/first -n 64 --steps 50 --sampler ddim

undiffuse sample runs/first -n 16 --animate

undiffuse sample runs/swiss-roll -n 2000 --slices
"""


def command(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 64,
    seed: Seed = 0,
    first: Annotated[
        int, typer.Option("--first", help="Number of the first sample; i is the same in any batch.")
    ] = 0,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Thin the chain to so many steps. Default: all.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="ancestral or ddim. Default: the recipe's.")
    ] = None,
    eta: Annotated[float | None, typer.Option("--eta", help="Noise of ddim, 0 to 1. Default: 0.")] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", help="A .png or .npy file. Default: both, under RUN/samples."),
    ] = None,
    animate: Annotated[
        bool, typer.Option("--animate", help="Also write a GIF of the samples as they form.")
    ] = False,
    slices: Annotated[
        bool,
        typer.Option("--slices", help="Points in the plane: also a figure of both processes and the drift."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Draw samples; sample i of a seed is the same, bit for bit, however many you ask for."""
    from undiffuse.recipes import check_range, load
    from undiffuse.samplers import count_steps

    trained = load(run, device_of(device))
    walk = _sampler(sampler, eta)
    stem = trained.folder / "samples" / "-".join(_words(n, seed, first, steps, sampler, eta))
    target = _target(out)
    _check(trained, target, animate, slices)
    (walk or trained.sampler).check(trained.model)
    check_range(n, first)
    how: dict[str, Any] = {"steps": steps, "sampler": walk, "first": first}
    if animate:
        raw, film = _animate(trained, n, seed, how, stem)
    else:
        with ticking("sample", count_steps(n, trained.shape, trained.thinned(steps), first)) as tick:
            raw = trained.sample(n, seed, tick=tick, **how)
    paths = _write(trained, raw, stem, target) + ([film] if animate else [])
    paths += [_slices(trained, seed, stem)] if slices else []
    for path in paths:
        typer.echo(printable(str(path)))


def _sampler(name: str | None, eta: float | None) -> "Sampler | None":
    from undiffuse.recipes import parse
    from undiffuse.samplers import Sampler

    if name is None and eta is None:
        return None
    node = {"kind": name or "ddim"} | ({} if eta is None else {"eta": eta})
    made: Sampler = parse(Sampler, node, "sampler").build()
    return made


def _target(out: str | None) -> Path | None:
    path = None if out is None else Path(out)
    if path is not None and path.suffix not in (".png", ".npy"):
        raise ValueError(f"--out {out}: samples are written as .png or .npy")
    if path is not None and not path.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: the folder {path.parent} does not exist")
    return path


def _words(
    n: int, seed: int, first: int, steps: int | None, sampler: str | None, eta: float | None
) -> list[str]:
    """Of a file's name: whatever makes these samples others than the run's own."""
    words = [f"seed{seed}", f"from{first}", f"n{n}"]
    words += [] if steps is None else [f"steps{steps}"]
    words += [] if sampler is None and eta is None else [sampler or "ddim"]
    return words + ([] if eta is None else [f"eta{eta:g}"])


def _check(trained: "Run", target: Path | None, animate: bool, slices: bool) -> None:
    """Raise ValueError for a picture of samples that have none, before they are drawn."""
    from undiffuse.recipes import has_picture

    if slices and trained.shape != (2,):
        raise ValueError(f"--slices: drawn for points in the plane, this run has shape {trained.shape}")
    if has_picture(trained):
        return
    if target is not None and target.suffix == ".png":
        raise ValueError(f"--out {target}: these samples are no pictures; write a .npy file")
    if animate:
        raise ValueError(f"--animate: samples of shape {trained.shape} are no pictures")


def _write(trained: "Run", raw: "Tensor", stem: Path, target: Path | None) -> list[Path]:
    from undiffuse.recipes import save_npy, save_picture

    if target is None:
        array = save_npy(raw, stem.with_name(f"{stem.name}.npy"))
        picture = save_picture(trained, raw, stem)
        return [array] if picture is None else [picture, array]
    if target.suffix == ".npy":
        return [save_npy(raw, target)]
    picture = save_picture(trained, raw, target.with_suffix(""))
    assert picture is not None  # checked before they were drawn
    return [picture]


def _slices(trained: "Run", seed: int, stem: Path) -> Path:
    from undiffuse.recipes import load_data, save_slices

    return save_slices(
        trained, load_data(trained.recipe).test, stem.with_name(f"slices-seed{seed}.png"), seed
    )


def _animate(trained: "Run", n: int, seed: int, how: dict[str, Any], stem: Path) -> tuple["Tensor", Path]:
    """The samples, and a GIF of how they formed, from one walk."""
    from undiffuse.recipes import save_animation

    seen: list[Tensor] = []

    def decoded() -> "Iterator[tuple[float, Tensor]]":
        for t, x in trained.trajectory(n, seed, **how):
            seen[:] = [trained.space.decode(x)]
            yield t, seen[0]

    total = len(trained.thinned(how["steps"])) + 1
    with ticking("sample", total) as tick:
        film = save_animation(trained, decoded(), total, stem.with_name(f"{stem.name}.gif"), tick)
    return seen[0], film
