"""undiffuse reproduce."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import answered, device_of, printable, progress, show, table, tracked
from undiffuse.cli.options import Device

if TYPE_CHECKING:
    from undiffuse.reports import PaperRow, Reproduced

EXAMPLES = """
[bold]Examples[/bold]

undiffuse reproduce 2015 --minutes 3

undiffuse reproduce 2015 --rows heartbeat-fast,swiss-roll-40

undiffuse reproduce 2015 --rows mnist-2015 --data-dir mnist.npz --minutes 20
"""


def command(
    paper: Annotated[str, typer.Argument(help="Which paper: 2015.")] = "2015",
    minutes: Annotated[float, typer.Option("--minutes", help="Training time for each row, at most.")] = 10.0,
    rows: Annotated[
        str | None, typer.Option("--rows", help="Only these, by recipe, with commas. Default: all.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Folder of the runs. Default: runs/reproduce-PAPER.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", help="Where MNIST or CIFAR-10 are, for their rows.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Train the rows of a paper's tables that this machine can, and print its numbers beside ours."""
    from undiffuse.reports import chosen, save_reproduced

    if not minutes > 0:
        raise ValueError(f"--minutes {minutes:g}: training needs some time")
    wanted = chosen(paper, rows.split(",") if rows else None)
    folder, where = Path(out or f"runs/reproduce-{paper}"), device_of(device)
    found, missing = [], []
    for row in wanted:
        try:
            found.append(_row(row, folder, data_dir, 60 * minutes, where))
        except (FileNotFoundError, ImportError) as error:
            missing.append(f"{row.name}: left out, {error}")
    _print(paper, found)
    for line in missing:
        typer.echo(printable(" ".join(line.split())), err=True)
    typer.echo(printable(str(save_reproduced(found, folder / "table.json"))))


def _row(row: "PaperRow", folder: Path, data: str | None, seconds: float, where: Any) -> "Reproduced":
    """Train what is not trained yet, then measure, with a bar for each."""
    from undiffuse.reports import budgeted, finish, measure

    with progress("note") as bar:
        task = bar.add_task(row.name, total=None, note="data, timing")
        experiment = budgeted(row, folder, data, seconds, where)
        steps = experiment.settings.steps
        bar.update(task, total=steps, note="")
        with answered(bar) as signals:
            for event in finish(experiment, signals):
                bar.update(task, completed=event.progress.step, note=f"loss {event.progress.loss:.4f}")
        bar.update(task, completed=steps)
    with tracked(f"  {row.quantity}") as track:
        return measure(row, experiment.run.folder, where, track=track)


def _print(paper: str, found: "list[Reproduced]") -> None:
    rows = table("", "quantity", ">paper", ">ours", ">s.e.", "unit", "note", title=f"{paper} beside ours")
    for each in found:
        row = each.row
        ours = f"{each.ours.mean:.3f}", f"{each.ours.se:.3f}"
        rows.add_row(
            row.name, row.quantity, row.paper, *ours, row.unit, f"{row.caveat}; {each.steps:,} steps"
        )
    show(rows)
