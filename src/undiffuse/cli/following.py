"""A training, told as it goes: what is trained on what, a bar, and what was written."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from undiffuse.cli.console import LOG, answered, duration, printable, progress
from undiffuse.processors import available

if TYPE_CHECKING:
    from undiffuse.runs import Experiment

WRITTEN = {"samples.png": "samples, and data beside them", "curves.png": "loss and bits over the steps"}
NEXT = ("evaluate {}", "sample {} -n 64", "score {} PATH")
TIMED, LONG = 10, 6 * 3600  # steps whose pace is judged, and seconds that are worth a warning
TOGETHER = 5.0  # seconds in which a launcher and a cluster may send one signal twice


def follow(experiment: "Experiment", quiet: bool = False) -> None:
    """Train to the end, and say how it goes; if `quiet`, only what is doubtful. Signals are answered."""
    for warning in experiment.warnings if experiment.processes.leads else ():
        LOG.warning(warning)
    if not quiet:
        _announce(experiment)
    _train(experiment, quiet)
    if experiment.listed and experiment.processes.leads:
        LOG.warning("%d files could not be read and were skipped: skipped.txt lists them", experiment.listed)
    if not quiet:
        _finished(experiment)


def say(reasons: Iterable[str]) -> None:
    """What was chosen for data, and why."""
    for reason in reasons:
        typer.echo(printable(reason))


def _announce(experiment: "Experiment") -> None:
    from undiffuse.conditions import described
    from undiffuse.diffusion.evaluation import NAMED

    run, splits = experiment.run, experiment.splits
    size = sum(p.numel() for p in run.model.parameters())
    levels = "continuous" if run.levels is None else f"{run.levels} levels"
    shape = f"of shape {'x'.join(map(str, run.shape))}, {levels}"
    shape = f"of {len(splits.cells)} columns" if splits.cells else shape
    typer.echo(
        f"{len(splits.train):,} training and {len(splits.test):,} test examples {shape}; "
        f"{size:,} parameters -> {printable(str(run.folder))}"
    )
    if run.denoiser.conditions:
        typer.echo(printable(f"given {described(run.denoiser.conditions)}"))
    typer.echo(f"{experiment.state.precision}{_fewer()}")
    if run.processes.size > 1:
        typer.echo(f"on {run.processes.size} processes")
    beside = ", ".join(f"{NAMED[name]} {bits:.3f}" for name, bits in experiment.beside().items())
    if beside:
        typer.echo(f"bits/dim of the examples that are watched, by models in closed form: {beside}")
    if not experiment.settings.steps:
        typer.echo("train.steps=0: saved as it begins")
    elif experiment.ended:
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


def _train(experiment: "Experiment", quiet: bool) -> None:
    """With a bar, and lines about whatever is not as usual."""
    total, done = experiment.settings.steps, experiment.run.step
    fields: dict[str, Any] = {"loss": "", "test": ""}
    average = None
    patience = TOGETHER if experiment.processes.size > 1 else 0
    times: list[float] = []
    with progress("loss", "test", silent=quiet) as bar, answered(bar, patience) as signals:
        task = bar.add_task("train", total=total, completed=done, **fields)
        for event in experiment.train(signals):
            if event.progress.parts:
                text = f"out of memory: from step {event.progress.step:,} on in {event.progress.parts} parts"
                bar.console.print(f"{text}, as by train.accumulate={event.progress.parts}", markup=False)
            times.append(event.progress.seconds)
            if len(times) == TIMED and (left := sorted(times)[TIMED // 2] * (total - done)) > LONG:
                text = f"at this pace it takes about {duration(left)}; --minutes M trains as long as that"
                bar.console.print(text, markup=False, soft_wrap=True)
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


def _finished(experiment: "Experiment") -> None:
    """What was written, and what can be done with it next."""
    folder = printable(str(experiment.run.folder))
    typer.echo(f"done: {folder}")
    for name, what in WRITTEN.items():
        if (experiment.run.folder / name).exists():
            typer.echo(f"  {folder}/{name:14} {what}")
    for verb in NEXT:
        typer.echo(f"next: undiffuse {verb.format(folder)}")
