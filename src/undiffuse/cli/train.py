"""undiffuse train."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import printable, quiet
from undiffuse.cli.following import follow, say
from undiffuse.cli.options import Device
from undiffuse.cli.processes import Count, sharing

if TYPE_CHECKING:
    from undiffuse.processes import Processes

EXAMPLES = """
[bold]Examples[/bold]

undiffuse train photos --minutes 10 --out runs/photos

undiffuse train table.csv data.labels=kind  (a column; of an .npz an array; of pictures: folders)

undiffuse train photos condition.kind=smaller condition.factor=4  (given fewer pixels, or condition=labels)

undiffuse train digits --out runs/first

undiffuse train fashion-mnist train.steps=500 train.batch=64

undiffuse train images data.path=photos data.size=64 --out runs/photos

undiffuse train --resume runs/first train.steps=3000

undiffuse train cifar10 --processes 8  (or: torchrun --nproc-per-node 8 -m undiffuse train cifar10)
"""


Recipe = Annotated[
    str | None,
    typer.Argument(
        metavar="PATH|RECIPE",
        help="Your data: a folder of pictures, an .npy, .npz, .csv or .parquet file; or a recipe, "
        "shipped (see: undiffuse recipes; your folder of the same name is ./NAME) or in a .yaml file.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Changes to it, such as train.steps=500."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", help="Folder of the run, new or begun with the same recipe. Default: a new runs/RECIPE."
    ),
]
Resume = Annotated[
    str | None, typer.Option("--resume", metavar="RUN", help="Continue the run in this folder.")
]
DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="Where the data are (short for data.path=...).")
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Random seed: keys every random draw (short for seed=...).")
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", help="The time there is: steps are chosen to fit, from a measurement."),
]
Replay = Annotated[
    int | None,
    typer.Option(
        "--replay",
        metavar="STEP",
        help="With --resume: only repeat this step (from 0), in memory, and say what is not finite.",
    ),
]
Exact = Annotated[bool, typer.Option("--exact", help="Refuse to go on where this machine rounds otherwise.")]
AllowDataChange = Annotated[
    bool,
    typer.Option("--allow-data-change", help="Go on although files or values of the data have changed."),
]


def command(
    recipe: Recipe = None,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = None,
    data_dir: DataDir = None,
    seed: Seed = None,
    minutes: Minutes = None,
    replay: Replay = None,
    exact: Exact = False,
    allow_data_change: AllowDataChange = False,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """Train a model of your data, or from a recipe, with samples and checkpoints in a folder of its own.

    The same command again goes on where it stopped.
    """

    changes = list(overrides or [])
    if resume is not None and recipe is not None and "=" in recipe:
        changes.insert(0, recipe)
        recipe = None
    if data_dir is not None:
        changes.append(f"data.path={json.dumps(data_dir, ensure_ascii=False)}")
    if (recipe is None) == (resume is None):
        raise ValueError("name data or a recipe to start a run, or --resume RUN to go on with one (not both)")
    with sharing(processes, device) as (where, group):
        from undiffuse.runs import Experiment

        how: dict[str, Any] = {"exact": exact, "other_data": allow_data_change, "processes": group}
        if resume is not None:
            if (out, seed, minutes) != (None, None, None):
                raise ValueError("--resume goes on with a run: --out, --seed and --minutes are for new ones")
            if replay is not None:
                if group.leads:
                    _replay(resume, replay, where)
                return
            experiment = Experiment.open(resume, where, changes=changes, **how)
        else:
            assert recipe is not None
            if replay is not None:
                raise ValueError(f"--replay {replay}: a step of which run? give --resume RUN")
            changes += [f"seed={seed}"] if seed is not None else []
            target = group.lead(lambda: out or str(_free(Path("runs") / (Path(recipe).stem or "run"))))
            node = _node(recipe, changes, minutes, where, group)
            experiment = Experiment.create(target, node, where, **how)
        try:
            follow(experiment, quiet())
            if quiet() and group.leads:
                typer.echo(printable(str(experiment.run.folder)))
        finally:
            experiment.close()


def _node(
    recipe: str, changes: list[str], minutes: float | None, device: Any, group: "Processes"
) -> dict[str, Any]:
    """The recipe of this name or file, or that for the data at this path, with the changes, in the time."""
    from undiffuse.recipes import override, read, shipped
    from undiffuse.recipes.choosing import Choice, chosen_with
    from undiffuse.runs.budget import fitted

    path = Path(recipe).expanduser()
    named = recipe in shipped() or path.suffix in (".yaml", ".yml") or not path.exists()

    def find() -> tuple[dict[str, Any], list[str]]:
        found = Choice(override(read(recipe), changes)) if named else chosen_with(recipe, changes)
        if minutes is not None:
            found.node, reason = fitted(found.node, minutes, device)
            found.reasons.append(reason)
        return found.node, found.reasons

    node, reasons = group.lead(find)
    if group.leads and not quiet():
        say(reasons)
    made: dict[str, Any] = node
    return made


def _replay(folder: str, step: int, device: Any) -> None:
    """Repeat one step and say what it met."""
    from undiffuse.runs import replay

    found = replay(folder, step, device)
    typer.echo(
        f"step {step}, from the checkpoint of step {found.begin:,}: loss {found.loss}, "
        f"gradient norm {found.norm}"
    )
    if found.bad is None:
        typer.echo("everything is finite")
    else:
        typer.echo(f"first bad tensor: {printable(found.bad)}")
        typer.echo(f"first module whose output is not finite: {printable(found.module or 'none')}")


def _free(path: Path) -> Path:
    """The path, or the first of path-2, path-3, .. that does not exist."""
    number = 2
    free = path
    while free.exists():
        free, number = path.with_name(f"{path.name}-{number}"), number + 1
    return free
