"""undiffuse demo."""

import time
from pathlib import Path
from typing import Annotated

import typer

from undiffuse.cli.console import device_of, printable, quiet, tracked
from undiffuse.cli.following import follow
from undiffuse.cli.options import Device

EXAMPLES = """
[bold]Examples[/bold]

undiffuse demo

undiffuse demo --out runs/demo --no-train
"""
COMMANDS = ("undiffuse evaluate {}", "undiffuse sample {} -n 64 --animate", "undiffuse doctor {}")
TITLE = "undiffuse: a small model of handwritten digits"


def command(
    out: Annotated[str, typer.Option("--out", help="New folder for what is shown.")] = "runs/demo",
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Also train the same model, in a minute or so.")
    ] = True,
    device: Device = "cpu",
) -> None:
    """Handwritten digits by a small model that comes with the package: samples, bits, holes filled, a file.

    Then the same model is trained from nothing. All is in one page, OUT/index.html.
    """
    from undiffuse.recipes import read
    from undiffuse.reports.demo import SAMPLES, TEXT, save_samples, show
    from undiffuse.reports.page import Section, save_page
    from undiffuse.runs import Experiment, load, shipped_run

    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: not an empty folder; choose another: --out")
    begin = time.perf_counter()
    run = load(shipped_run(), device_of(device))
    first = save_samples(run, folder / "samples.png")
    seconds = time.perf_counter() - begin
    typer.echo(
        f"{printable(str(first))}: {SAMPLES} samples of a model that comes along, after {seconds:.1f} s"
    )
    sections = [Section("Samples", TEXT["samples"], picture="samples.png")]
    with tracked("demo") as track:
        sections += show(run, folder, track)
    for section in sections:
        for name, number in section.numbers:
            typer.echo(f"{section.title.lower()}: {name}, {number}")
    save_page(TITLE, sections, folder)
    if train:
        typer.echo("the same, trained from nothing:")
        begin = time.perf_counter()
        experiment = Experiment.create(folder / "run", read("demo"), device_of(device))
        try:
            follow(experiment, quiet())
        finally:
            experiment.close()
        save_samples(load(folder / "run", device_of(device)), folder / "trained.png")
        text = f"The same recipe, trained from nothing in {time.perf_counter() - begin:.0f} s here."
        commands = [each.format(printable(str(folder / "run"))) for each in COMMANDS]
        sections.append(Section("Trained here", text, picture="trained.png", commands=commands))
    page = save_page(TITLE, sections, folder)
    typer.echo(f"open in a browser: {printable(str(page.absolute()))}")
