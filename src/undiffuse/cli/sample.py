"""undiffuse sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import CHATTER, LOG, printable, tracked
from undiffuse.cli.drawing import TABLES, Figures, conditioned, named, share, target_of, watch, write
from undiffuse.cli.options import (
    DataDir,
    Device,
    GivenFiles,
    Label,
    RunFolder,
    SamplerName,
    Seed,
    Stop,
)
from undiffuse.cli.processes import LONG, Count, sharing

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.diffusion.walks import Steps as Number
    from undiffuse.runs import Run
    from undiffuse.samplers import Sampler

EXAMPLES = """
[bold]Examples[/bold]

undiffuse sample runs/first -n 64

undiffuse sample runs/first -n 50000  (in shards; again, and it makes those that are missing)

undiffuse sample runs/first -n 64 --steps 20 --sampler unipc

undiffuse sample runs/first -n 64 --steps 8 --sampler deis --tuned

undiffuse sample runs/first -n 64 --steps 50 --sampler "dpm-solver++ order=3"

undiffuse sample runs/first --sampler "langevin snr=0.1"

undiffuse sample runs/first -n 16 --animate --stages

undiffuse sample runs/digits-of-classes -n 16 --class 3 --guidance 2

undiffuse sample runs/super-resolution -n 16 --given small.png

undiffuse sample runs/first -n 16 --film forming.mp4

undiffuse sample runs/first -n 8 --share-from 0.75 --share-from 0.5

undiffuse sample runs/swiss-roll -n 2000 --slices
"""


Samples = Annotated[
    int | None,
    typer.Option("-n", help="How many samples. Default: 64, or as many as --given is for."),
]
Steps = Annotated[
    str | None,
    typer.Option(
        "--steps",
        metavar="N|all",
        help="Sampling steps: thin the chain to so many, or all of it. Default: the fewest that undiffuse "
        "solvers found as good as all, if that was run; else all.",
    ),
]
First = Annotated[
    int, typer.Option("--first", help="Number of the first sample; i is the same in any batch.")
]
Eta = Annotated[float | None, typer.Option("--eta", help="Noise of ddim, 0 to 1. Default: 0.")]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance", help="How typical of what it is given: 1 is the model, above is more so. Default: 1."
    ),
]
Clip = Annotated[
    bool | None,
    typer.Option("--clip/--no-clip", help="Clip predictions to the levels' range. Default: the recipe's."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", help="A new .png or .npy file; of a table .csv or .parquet. Default: under RUN/samples."
    ),
]
Animate = Annotated[bool, typer.Option("--animate", help="Also write a GIF of the samples as they form.")]
Film = Annotated[
    str | None, typer.Option("--film", help="That film as this new .gif, .png (animated) or .mp4.")
]
Stages = Annotated[bool, typer.Option("--stages", help="Also write a picture of the samples at a few times.")]
ShareFrom = Annotated[
    list[float] | None,
    typer.Option("--share-from", help="Instead, n samples that are one until this t; may be repeated."),
]
States = Annotated[int, typer.Option("--states", help="With --share-from: how many shared states.")]
Tuned = Annotated[
    bool,
    typer.Option(
        "--tuned",
        help="First find the times at which so few --steps come nearest to many: some sixty walks of 32 "
        "samples. Without --sampler: unipc.",
    ),
]
Slices = Annotated[
    bool,
    typer.Option("--slices", help="Points in the plane: also a figure of both processes and the drift."),
]


def command(
    run: RunFolder,
    n: Samples = None,
    seed: Seed = 0,
    first: First = 0,
    steps: Steps = None,
    sampler: SamplerName = None,
    eta: Eta = None,
    tuned: Tuned = False,
    label: Label = None,
    given: GivenFiles = None,
    guidance: Guidance = None,
    clip: Clip = None,
    stop: Stop = None,
    out: Out = None,
    animate: Animate = False,
    film: Film = None,
    stages: Stages = False,
    share_from: ShareFrom = None,
    states: States = 1,
    slices: Slices = False,
    data_dir: DataDir = None,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """Draw samples; sample i of a seed is the same, bit for bit, however many you ask for."""
    with sharing(processes, device, LONG) as (where, group):
        from undiffuse.data import CellSpace
        from undiffuse.diffusion import check_range
        from undiffuse.processes import ALONE
        from undiffuse.runs import LARGE, given_from, load

        opened = load(run, where, data=data_dir).replace(processes=group)
        told = given_from(opened, label, given or ())
        trained = conditioned(opened, told, guidance, clip, stop)
        n = (64 if told is None or told.count == 1 else told.count - first) if n is None else n
        walk = _sampler(sampler, eta)
        asked = _number(steps)
        chosen = None if share_from or tuned or walk else trained.chosen(asked)
        words = _words(n, seed, first, asked, sampler, eta) + ["tuned"] * tuned
        words += [] if chosen is None else [f"steps{chosen.steps}"] * (asked is None) + chosen.name.split()
        words += named(told, guidance, clip, stop)
        stem = trained.folder / "samples" / "-".join(words)
        target = target_of(out)
        figures = Figures(
            Path(film) if film else stem.with_name(f"{stem.name}.gif") if animate else None,
            stem.with_name(f"{stem.name}-stages.png") if stages else None,
        )
        _check(trained, target, film, animate, stages, slices, bool(share_from))
        (walk or trained.sampler).check(trained.model)
        check_range(n, first)
        if tuned and share_from:
            raise ValueError("--tuned is for samplers without noise, whose --share-from would all be equal")
        if tuned:
            trained, asked, walk = _tuned(trained, asked, walk, seed), None, None
        if chosen is not None and trained.walks is not None:
            LOG.log(CHATTER, trained.walks.said(chosen))
        if share_from or figures.paths or slices:  # what one process draws
            if not group.leads:
                return
            trained = trained.replace(processes=ALONE)
        how: dict[str, Any] = {"steps": asked, "sampler": walk, "first": first}
        table = isinstance(trained.space, CellSpace)  # whose rows are one file
        if n > LARGE and target is None and not (share_from or figures.paths or slices or table):
            paths = _shards(trained, n, seed, how, stem)
        elif share_from:
            paths = share(trained, n, share_from, states, seed, how, stem, target)
        else:
            raw = (watch if figures.paths else _draw)(trained, n, seed, how, figures)
            if not group.leads:
                return
            paths = write(trained, raw, stem, target) + figures.paths
            paths += [_slices(trained, seed, stem)] if slices else []
        for path in paths:
            typer.echo(printable(str(path)))


def _number(value: str | None) -> "Number":
    """The steps that were asked for."""
    if value is None or value == "all":
        return "all" if value else None
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"--steps {value}: a whole number, or all")
    return int(value)


def _sampler(name: str | None, eta: float | None) -> "Sampler | None":
    from undiffuse.recipes import sampler_of

    if name is None and eta is None:
        return None
    return sampler_of((name or "ddim") + ("" if eta is None else f" eta={eta!r}"))


def _tuned(trained: "Run", steps: "Number", walk: "Sampler | None", seed: int) -> "Run":
    """The run on the times that suit so many steps of the sampler."""
    if steps is None or isinstance(steps, str):
        raise ValueError("--tuned: of how many steps? Say --steps, such as --steps 10")
    with tracked("tune") as track:
        return trained.tuned(steps, walk, seed, track=track)


def _words(
    n: int, seed: int, first: int, steps: "Number", sampler: str | None, eta: float | None
) -> list[str]:
    """Of a file's name: whatever makes these samples others than the run's own."""
    words = [f"seed{seed}", f"from{first}", f"n{n}"]
    words += [] if steps is None else [f"steps{steps}"]
    words += [] if sampler is None and eta is None else (sampler or "ddim").split()
    return words + ([] if eta is None else [f"eta{eta:g}"])


def _check(
    trained: "Run",
    target: Path | None,
    film: str | None,
    animate: bool,
    stages: bool,
    slices: bool,
    shared: bool,
) -> None:
    """Raise ValueError for a picture of samples that have none, before they are drawn."""
    from undiffuse.data import CellSpace
    from undiffuse.diffusion import has_picture
    from undiffuse.plots import check_film

    if shared and (film or animate or stages or slices):
        raise ValueError("--share-from: its samples are not animated, staged or sliced; ask for one of them")
    if slices and trained.shape != (2,):
        raise ValueError(f"--slices: drawn for points in the plane, this run has shape {trained.shape}")
    if stages and trained.shape == (2,):
        raise ValueError("--stages: a picture of images; points in the plane have --slices")
    if film:
        if target_of(film, "--film", ".gif", ".png", ".mp4") == target:
            raise ValueError(f"--film {film}: is the file of --out, too; choose another")
        check_film(film)
    if has_picture(trained):
        return
    if target is not None and target.suffix == ".png":
        raise ValueError(f"--out {target}: these samples are no pictures; write a .npy file")
    if target is not None and target.suffix in TABLES and not isinstance(trained.space, CellSpace):
        raise ValueError(f"--out {target}: these samples are no table of named columns; write a .npy file")
    for asked, option in ((animate, "--animate"), (film, "--film"), (stages, "--stages")):
        if asked:
            raise ValueError(f"{option}: samples of shape {trained.shape} are no pictures")


def _draw(trained: "Run", n: int, seed: int, how: dict[str, Any], _: Figures) -> "Tensor":
    """The samples, a block at a time."""
    with tracked("sample") as track:
        return trained.sample(n, seed, track=track, **how)


def _shards(trained: "Run", n: int, seed: int, how: dict[str, Any], folder: Path) -> "list[Path]":
    """A folder of shards; again, only those that are missing."""
    from undiffuse.runs import draw_shards

    with tracked("sample") as track:
        paths = draw_shards(trained, n, seed, folder, folder.name.split("-"), track=track, **how)
    return [paths[-1]]


def _slices(trained: "Run", seed: int, stem: Path) -> Path:
    from undiffuse.recipes import load_data
    from undiffuse.runs import save_slices

    return save_slices(
        trained, load_data(trained.recipe).test, stem.with_name(f"slices-seed{seed}.png"), seed
    )
