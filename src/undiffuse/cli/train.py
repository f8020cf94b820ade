"""undiffuse train."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import Device, answered, printable, progress
from undiffuse.cli.processes import Count, sharing
from undiffuse.processors import available

if TYPE_CHECKING:
    from undiffuse.recipes import Experiment

TOGETHER = 5.0  # seconds in which a launcher and a cluster may send one signal twice
EXAMPLES = """
[bold]Examples[/bold]

undiffuse train digits --out runs/first

undiffuse train fashion-mnist train.steps=500 train.batch=64

undiffuse train images data.path=photos data.size=64 --out runs/photos

undiffuse train --resume runs/first

undiffuse train cifar10 --processes 8  (or: torchrun --nproc-per-node 8 -m undiffuse train cifar10)
"""


def command(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A shipped recipe (see: undiffuse recipes) or a .yaml file."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to it, such as train.steps=500."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", help="Folder of the run, new or begun with the same recipe. Default: a new runs/RECIPE."
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue the run in this folder.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", help="Where the data are (short for data.path=...).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Keys every random draw (short for seed=...).")
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(
            "--replay",
            metavar="STEP",
            help="With --resume: only repeat this step (from 0), in memory, and say what is not finite.",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Refuse to go on where this machine rounds otherwise.")
    ] = False,
    allow_data_change: Annotated[
        bool,
        typer.Option("--allow-data-change", help="Go on although files or values of the data have changed."),
    ] = False,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """Train a model from a recipe, with progress, samples and checkpoints in a folder of its own.

    The same command again goes on where it stopped.
    """
    from undiffuse.recipes import Experiment, override, read

    if (recipe is None) == (resume is None):
        raise ValueError("name a recipe to start a run, or --resume RUN to continue one (not both)")
    with sharing(processes, device) as (where, group):
        how: dict[str, Any] = {"exact": exact, "other_data": allow_data_change, "processes": group}
        if resume is not None:
            if (out, data_dir, seed) != (None, None, None):
                raise ValueError(
                    "--resume continues a run as it is: --out, --data-dir and --seed are for new runs"
                )
            if replay is not None:
                if group.leads:
                    _replay(resume, replay, where)
                return
            experiment = Experiment.open(resume, where, **how)
        else:
            assert recipe is not None
            if replay is not None:
                raise ValueError(f"--replay {replay}: a step of which run? give --resume RUN")
            changes = list(overrides or [])
            changes += (
                [f"data.path={json.dumps(data_dir, ensure_ascii=False)}"] if data_dir is not None else []
            )
            changes += [f"seed={seed}"] if seed is not None else []
            target = group.lead(lambda: out or str(_free(Path("runs") / Path(recipe).stem)))
            experiment = Experiment.create(target, override(read(recipe), changes), where, **how)
        try:
            _announce(experiment)
            _follow(experiment)
        finally:
            experiment.close()


def _replay(folder: str, step: int, device: Any) -> None:
    """Repeat one step and say what it met."""
    from undiffuse.recipes import replay

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


def _announce(experiment: "Experiment") -> None:
    from undiffuse.recipes.evaluation import NAMED

    run, splits = experiment.run, experiment.splits
    size = sum(p.numel() for p in run.model.parameters())
    levels = "continuous" if run.levels is None else f"{run.levels} levels"
    typer.echo(
        f"{len(splits.train):,} training and {len(splits.test):,} test examples of shape "
        f"{'x'.join(map(str, run.shape))}, {levels}; {size:,} parameters -> {printable(str(run.folder))}"
    )
    typer.echo(f"{experiment.state.precision}{_fewer()}")
    if run.processes.size > 1:
        typer.echo(f"on {run.processes.size} processes")
    beside = ", ".join(f"{NAMED[name]} {bits:.3f}" for name, bits in experiment.beside().items())
    if beside:
        typer.echo(f"bits/dim of the examples that are watched, by models in closed form: {beside}")
    for warning in experiment.warnings if experiment.processes.leads else ():
        typer.echo(f"warning: {printable(warning)}", err=True)
    if experiment.ended:
        typer.echo(f"already trained: ended after {run.step:,} steps (train.patience)")
    elif run.step >= experiment.settings.steps:
        typer.echo(f"already trained: {run.step:,} of {experiment.settings.steps:,} steps")
    elif run.step:
        typer.echo(f"continuing after step {run.step:,}")


def _watched(experiment: "Experiment", bits: float) -> str:
    """The bits of the watched examples now, of the best weights so far, and of what the model began at."""
    watch = experiment.state.watch
    assert watch is not None
    best = f"best {float(watch.bits.mean()):.3f} at {watch.best:,}"
    return f"watched {bits:.3f}, began at {watch.began:.3f}, {best}"


def _fewer() -> str:
    """What there is to say of a process with fewer threads than it may have."""
    import torch

    threads, cores = torch.get_num_threads(), available()
    if threads >= cores or "WORLD_SIZE" in os.environ:
        return ""
    return f"; {threads} of {cores} cores, as others are busy, or as OMP_NUM_THREADS or the run says"


def _follow(experiment: "Experiment") -> None:
    """Train with a bar."""
    total, done = experiment.settings.steps, experiment.run.step
    fields: dict[str, Any] = {"loss": "", "test": ""}
    average = None
    patience = TOGETHER if experiment.processes.size > 1 else 0
    with progress("loss", "test") as bar, answered(bar, patience) as signals:
        task = bar.add_task("train", total=total, completed=done, **fields)
        for event in experiment.train(signals):
            if event.progress.parts:
                text = f"out of memory: from step {event.progress.step:,} on in {event.progress.parts} parts"
                bar.console.print(f"{text}, as by train.accumulate={event.progress.parts}", markup=False)
            if event.notice:
                bar.console.print(event.notice, markup=False, soft_wrap=True)
            if event.progress.skipped:
                bar.console.print(f"skipped {event.progress.skipped}", markup=False, soft_wrap=True)
            if event.progress.spike:
                back = "" if event.rewound is None else f"; went back to step {event.rewound:,}"
                bar.console.print(f"{event.progress.spike}{back}", markup=False, soft_wrap=True)
            if not event.progress.taken:
                bar.update(task, completed=experiment.state.step)
                continue
            loss = event.progress.loss
            average = loss if average is None else 0.98 * average + 0.02 * loss
            if event.watched is not None:
                bar.update(task, test=_watched(experiment, event.watched))
            if event.test:
                bar.update(task, test=f"test {event.test.bits.mean:.3f}")
                line = f"step {event.progress.step:,}: {event.test}"
                bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
            bar.update(task, completed=event.progress.step, loss=f"loss {average:.4f}")
    skipped = experiment.listed
    if skipped:
        typer.echo(f"{skipped:,} files could not be read and were skipped: skipped.txt lists them")
    typer.echo(f"done: {printable(str(experiment.run.folder))}")
