"""What `undiffuse impute` does with a table: one filled file, and how sure that is beside it."""

from pathlib import Path
from typing import Any

import typer

from undiffuse.cli.console import device_of, printable, tracked
from undiffuse.cli.drawing import TABLES, target_of

SHARE = 0.9  # of the draws that the interval of a number holds


def is_table(file: str) -> bool:
    """Whether the file's ending is that of a table."""
    return Path(file).suffix.lower() in TABLES


def fill(
    run: str,
    file: str,
    out: str | None,
    data_dir: str | None,
    device: str,
    how: dict[str, Any],
    others: dict[str, Any],
) -> None:
    """Write the filled table, and the ends of every number's interval as two more; `how` are n, seed and way.

    Raises ValueError for `others`, options that are of other data, FileExistsError for a file that is there.
    """
    from undiffuse.data import CellSpace
    from undiffuse.data.table import read_table
    from undiffuse.diffusion import Filled, save_frame
    from undiffuse.runs import load

    asked = [name for name, value in others.items() if value]
    if asked:
        raise ValueError(f"--{min(asked)}: rows of a table are filled without it; leave it out")
    targets = _targets(Path(file).expanduser(), out)
    trained = load(run, device_of(device), data=data_dir)
    if not isinstance(trained.space, CellSpace):
        raise ValueError(f"{file}: this run is of no table with holes; give an .npy")
    frame = read_table(Path(file).expanduser())
    with tracked("impute") as track:
        found = trained.impute(frame, **how, track=track)
    assert isinstance(found, Filled)
    for path, rows in zip(targets, (found.filled, *found.interval(SHARE)), strict=True):
        typer.echo(printable(str(save_frame(rows, path))))
    holes, (rows, draws, width) = int(found.holes.sum()), found.draws.shape
    typer.echo(
        f"{holes:,} of {rows * width:,} cells filled by the median, or most frequent, of {draws:,} draws; "
        f"{SHARE:.0%} of what a number may be lies between -low and -high"
    )


def _targets(source: Path, out: str | None) -> list[Path]:
    """The filled table's file, and those of its intervals' ends, all of them new."""
    stem = source.with_name(f"{source.stem}-filled{source.suffix}") if out is None else Path(out)
    paths = [stem.with_name(f"{stem.stem}{end}{stem.suffix}") for end in ("", "-low", "-high")]
    return [path for each in paths if (path := target_of(str(each), "--out", *TABLES)) is not None]
