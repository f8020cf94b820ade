"""undiffuse demo."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import device_of, printable, tracked
from undiffuse.cli.following import follow
from undiffuse.cli.options import Device

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.reports.page import Section
    from undiffuse.runs import Run

SAMPLES, STEPS = 64, 30  # of the chain
HOLES, PACKED, CODED = 6, 30, 8  # digits that are completed, and compressed; in so many steps
EXAMPLES = """
[bold]Examples[/bold]

undiffuse demo

undiffuse demo --out runs/demo --no-train
"""


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
    from undiffuse.reports.page import Section, save_page
    from undiffuse.runs import Experiment, load
    from undiffuse.runs.shipped import shipped_run

    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: not an empty folder; choose another: --out")
    begin = time.perf_counter()
    run = load(shipped_run(), device_of(device))
    first = _drawn(run, folder / "samples.png")
    seconds = time.perf_counter() - begin
    typer.echo(
        f"{printable(str(first))}: {SAMPLES} samples of a model that comes along, after {seconds:.1f} s"
    )
    sections = [Section("Samples", _TEXT["samples"], picture="samples.png"), *_shown(run, folder)]
    save_page(TITLE, sections, folder)
    if train:
        typer.echo("the same, trained from nothing:")
        begin = time.perf_counter()
        experiment = Experiment.create(folder / "run", read("demo"), device_of(device))
        try:
            follow(experiment)
        finally:
            experiment.close()
        _drawn(load(folder / "run", device_of(device)), folder / "trained.png")
        text = f"{_TEXT['trained']} {time.perf_counter() - begin:.0f} s here."
        commands = [each.format(printable(str(folder / "run"))) for each in COMMANDS]
        sections.append(Section("Trained here", text, picture="trained.png", commands=commands))
    page = save_page(TITLE, sections, folder)
    typer.echo(f"open in a browser: {printable(str(page.absolute()))}")


COMMANDS = ("undiffuse evaluate {}", "undiffuse sample {} -n 64 --animate", "undiffuse doctor {}")
TITLE = "undiffuse: a small model of handwritten digits"
_TEXT = {
    "samples": f"Drawn in {STEPS} steps of the chain. Sample i of a seed is always the same.",
    "bits": "How many bits these digits take, -log2 of their probability: an upper bound and its error.",
    "holes": "What is known, the truth, the mean of 16 completions, their standard deviation, some of them.",
    "trained": "The same recipe, trained from nothing in",
    "file": "The same bits as a file, lossless, and what general codecs make of it.",
}


def _shown(run: "Run", folder: Path) -> "list[Section]":
    """Bits of test digits, holes filled, digits compressed."""
    from undiffuse.diffusion import evaluate, save_sheet
    from undiffuse.diffusion.evaluation import NAMED
    from undiffuse.diffusion.posterior import Way
    from undiffuse.recipes import load_data
    from undiffuse.reports.page import Section
    from undiffuse.runs import read_mask

    test: Tensor = load_data(run.recipe).test[:]
    with tracked(f"bits of {len(test)} digits") as track:
        found = evaluate(run, test, terms=run.terms, track=track)
    numbers = [("this model", f"{found.bits} bits/dim")]
    numbers += [(NAMED[name], f"{bits} bits/dim") for name, (bits, _) in found.beside.items()]
    typer.echo(f"bits per dimension of {len(test)} test digits: {found.bits}")
    raw, way = test[:HOLES], Way(steps=STEPS)
    mask = read_mask(run, "bottom").expand(raw.shape)
    with tracked("fill holes") as track:
        filled: Any = run.impute(raw, mask, n=16, way=way, track=track)
    save_sheet(run, filled, raw.double().masked_fill(~mask, float("nan")), raw, folder / "holes.png")
    sections = [
        Section("Bits", _TEXT["bits"], numbers),
        Section("Half of each digit, filled in", _TEXT["holes"], picture="holes.png"),
    ]
    return sections + _packed(run, test[:PACKED])


def _packed(run: "Run", raw: "Tensor") -> "list[Section]":
    """Digits as a file; nothing where the entropy coder is not installed."""
    from undiffuse import codec
    from undiffuse.reports.page import Section
    from undiffuse.reports.weighing import others

    try:
        codec.ready()
    except ImportError as error:
        typer.echo(printable(str(error)), err=True)
        return []
    with tracked("compress") as track:
        data = codec.compress(run.model, raw, grid=run.grid, steps=CODED, track=track)
    sizes = {f"{len(raw)} digits by this model": len(data), **others(run, raw)}
    return [Section("Compressed", _TEXT["file"], [(name, f"{size:,} bytes") for name, size in sizes.items()])]


def _drawn(run: "Run", path: Path) -> Path:
    """Samples as one picture."""
    from undiffuse import plots
    from undiffuse.diffusion.output import to_images

    plots.save_grid(to_images(run, run.sample(SAMPLES, steps=STEPS)), path)
    return path
