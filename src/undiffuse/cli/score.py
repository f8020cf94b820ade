"""undiffuse score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import device_of, printable, show, table, tracked
from undiffuse.cli.drawing import TABLES, target_of
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder, Seed

if TYPE_CHECKING:
    import torch

    from undiffuse.runs import Run
    from undiffuse.runs.scores import Scores

EXAMPLES = """
[bold]Examples[/bold]

undiffuse score runs/photos new-photos --csv scores.csv --sheet odd.png

undiffuse score runs/table new.csv --alarm 0.01 --map bits.csv

undiffuse score runs/table new.csv --alarm 0.05 --by typicality --json
"""


def command(
    run: RunFolder,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Pictures (a folder, or one), an .npy, a .csv or .parquet of examples."
        ),
    ],
    csv_file: Annotated[
        str | None, typer.Option("--csv", metavar="OUT", help="A new file for every example's score.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every score as JSON, and nothing else.")
    ] = False,
    alarm: Annotated[
        float | None,
        typer.Option(
            help="Raise an alarm for examples unlike the held-out ones, with this rate of false alarms, as "
            "0.01. Kept with the run, and used by later scores."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="WAY",
            help="What it is raised by: bits (too many), typicality (too many or too few), or background "
            "(more than a PNG, or independent columns, would make one expect). Default: bits.",
        ),
    ] = None,
    map_file: Annotated[
        str | None,
        typer.Option(
            "--map", metavar="OUT", help="A new file of bits by column (.csv, .parquet), or pixel (.npy)."
        ),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="OUT.png", help="A picture of the most surprising pictures, and where their bits are."
        ),
    ] = None,
    label: Label = None,
    given: GivenFiles = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """How probable examples are: negative log-likelihood in bits per dimension, beside held-out examples.

    The percentile is the share of held-out examples that take no more bits: near 100 means unlike them. Of
    examples that are like the held-out ones at most 5 % have a p value of 0.05 or less, whatever the model.
    """
    from undiffuse.files import write_csv
    from undiffuse.runs import archive, load, told_for
    from undiffuse.runs.incoming import read_examples
    from undiffuse.runs.scores import COLUMNS

    target = None if csv_file is None else archive.check_file(csv_file)  # before any work
    map_target = target_of(map_file, "--map", ".npy", *TABLES)
    sheet_target = target_of(sheet, "--sheet", ".png")
    trained = load(run, device_of(device), data=data_dir)
    _check(trained, map_target, sheet_target)
    found = read_examples(trained, path)
    trained = told_for(trained, found, label, given or ())
    with tracked("score") as track:
        rate, way = _alarm(trained, alarm, by, track)
        scores = found.named(trained.score(found.raw, seed, track=track))
        if map_target is not None:
            _save_map(trained, found.raw, seed, map_target, track.stage("map"))
        if sheet_target is not None:
            _save_sheet(trained, found.raw, scores, seed, sheet_target)
    raised = None if rate is None else scores.alarm(rate, way)
    columns = COLUMNS if raised is None else (*COLUMNS, "alarm")
    rows = scores.rows()
    if raised is not None:
        rows = [(*row, each) for row, each in zip(rows, raised.tolist(), strict=True)]
    if target is not None:
        write_csv(target, columns, rows)
    if as_json:
        typer.echo(_json(columns, rows))
        return
    _show(scores, raised)
    if rate is not None and raised is not None:
        typer.echo(
            f"alarm: {int(raised.sum()):,} of {len(raised):,}, by {way}; of examples like the held-out ones "
            f"at most {rate:.3g} raise it"
        )
    for name, why in found.skipped.items():
        typer.echo(f"skipped {printable(name)}: {printable(why)}", err=True)
    for written in (target, map_target, sheet_target):
        if written is not None:
            typer.echo(printable(str(written)))


def _check(trained: "Run", map_target: Path | None, sheet_target: Path | None) -> None:
    """Raise ValueError for a map or a sheet that these data have not."""
    from undiffuse.data import CellSpace

    table_of = isinstance(trained.space, CellSpace)
    if map_target is not None and table_of != (map_target.suffix in TABLES):
        endings = " or ".join(TABLES) if table_of else ".npy"
        raise ValueError(f"--map {map_target}: of these data it is written as {endings}")
    if sheet_target is not None and (len(trained.shape) != 3 or trained.levels is None):
        raise ValueError(f"--sheet {sheet_target}: of pictures alone; these examples are {trained.shape}")


def _alarm(trained: "Run", rate: float | None, by: str | None, track: Any) -> tuple[float | None, str]:
    """At which rate an alarm is raised, and by what: as asked for and kept, or as was kept before."""
    from undiffuse.runs.scoring import alarm_of, set_alarm

    if rate is not None:
        set_alarm(trained, rate, by or "bits", track=track)
        return rate, by or "bits"
    if by is not None:
        raise ValueError(f"--by {by}: at which rate? Give --alarm too, as 0.01")
    kept = alarm_of(trained)
    return (None, "") if kept is None else (kept["rate"], kept["by"])


def _save_map(trained: "Run", raw: "torch.Tensor", seed: int, path: Path, track: Any) -> None:
    from undiffuse.data import CellSpace
    from undiffuse.diffusion import save_frame, save_npy

    bits = trained.in_tensors.bits_map(raw, seed, track=track)
    if not isinstance(trained.space, CellSpace):
        save_npy(bits, path)
        return
    import pandas

    save_frame(pandas.DataFrame(bits.numpy(), columns=list(trained.space.names)), path)


def _save_sheet(trained: "Run", raw: "torch.Tensor", scores: "Scores", seed: int, path: Path) -> None:
    """The most surprising pictures, first the one with the most bits."""
    from undiffuse.diffusion.sheet import save_surprising
    from undiffuse.runs.scores import SHOWN

    first = scores.bits.argsort(descending=True)[:SHOWN]
    bits = trained.in_tensors.bits_map(raw[first], seed)
    title = ", ".join(f"{each:.2f}" for each in scores.bits[first].tolist())
    save_surprising(trained, raw[first], bits, path, f"{title} bits/dim")


def _json(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Every score; what is not known is null."""
    import json

    def known(value: Any) -> Any:
        return None if isinstance(value, float) and value != value else value

    return json.dumps([dict(zip(columns, map(known, row), strict=True)) for row in rows])


def _show(scores: "Scores", raised: "torch.Tensor | None") -> None:
    """A table of the most surprising."""
    from undiffuse.runs.scores import SHOWN

    above = f">above {scores.background}" if scores.background else ">above"
    shown = table("example", ">bits/dim", ">s.e.", ">percentile", ">p value", ">typical", above, "")
    highest = scores.bits.argsort(descending=True)[:SHOWN].tolist()
    rows = scores.rows()
    for i in highest:
        name, bits, se, percentile, p_value, typicality, over, _ = rows[i]
        numbers = (f"{bits:.4f}", f"{se:.4f}", f"{percentile:.1f}", f"{p_value:.3g}", f"{typicality:.3g}")
        mark = "alarm" if raised is not None and bool(raised[i]) else ""
        shown.add_row(printable(name), *numbers, f"{over:+.3f}", mark)
    show(shown)
    typer.echo(str(scores))
