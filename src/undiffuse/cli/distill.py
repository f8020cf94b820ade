"""undiffuse distill."""

from typing import Annotated

import typer

from undiffuse.cli.console import device_of, printable, quiet, show, table, tracked
from undiffuse.cli.following import follow
from undiffuse.cli.options import DataDir, Device

EXAMPLES = """
[bold]Examples[/bold]

undiffuse distill runs/first --steps 4 --out runs/first-4

undiffuse distill runs/first --steps 2 train.steps=3000 objective.substeps=16

undiffuse train --resume runs/first-4  (goes on with one that was stopped)

undiffuse sample runs/first-4 -n 64
"""


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a trained run: the teacher.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Of the student's recipe, such as train.steps=3000."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Calls that the student takes, two at least.")] = 4,
    out: Annotated[
        str | None, typer.Option("--out", metavar="STUDENT", help="New folder. Default: RUN-STEPS-calls.")
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Teach a student to draw in a few calls what the run draws in many, and say what that costs.

    The student is a run like any other: it begins with the teacher's weights, on times that suit so few
    steps, and each of its steps is taught to go where many of the teacher's go. Its chain has a bound, too.
    """
    from undiffuse.reports.distilled import contest_of, price_of
    from undiffuse.runs import Experiment, load
    from undiffuse.runs.distilling import begin_student

    where = device_of(device)
    teacher = load(run, where, data=data_dir)
    target = out or f"{teacher.folder}-{steps}-calls"
    fixed = contest_of(teacher)  # what it will be compared with: before anything takes long
    with tracked("choose times") as track:
        student = begin_student(teacher, target, steps, list(overrides or []), track=track)
    experiment = Experiment.open(student, where)
    try:
        follow(experiment, quiet())
    finally:
        experiment.close()
    with tracked("compare") as track:
        found = price_of(load(student, where), teacher, fixed, track=track)
    title = f"{found.samples:,} samples, {found.features}"
    rows = table("", ">Fréchet distance", ">bound, bits/dim", title=title)
    for name, distance, bound in found.rows():
        rows.add_row(name, f"{distance.mean:.4g} +- {distance.se:.2g}", f"{bound.mean:.4f} +- {bound.se:.4f}")
    whole = "" if found.whole is None else f"{found.whole.mean:.4g} +- {found.whole.se:.2g}"
    rows.add_row("teacher's whole chain", whole, f"{found.chain.mean:.4f} +- {found.chain.se:.4f}")
    rows.add_row("training examples", f"{found.training.mean:.4g} +- {found.training.se:.2g}", "")
    show(rows)
    typer.echo(f"{printable(str(student))}: undiffuse sample, distances, solvers, distill go on from here")
