"""What `undiffuse impute` does with a table: one filled file, and how sure that is beside it."""

from pathlib import Path
from typing import Any

import typer

from undiffuse.cli.console import LOG, device_of, printable, tracked
from undiffuse.cli.drawing import TABLES

DRAWS = 32  # of what is missing, unless told
SHARE = 0.9  # of the draws that the interval of a number holds


def is_table(file: str) -> bool:
    """Whether the file's ending is that of a table."""
    return Path(file).suffix.lower() in TABLES


def fill(
    run: str,
    file: str,
    n: int | None,
    seed: int,
    steps: int | None,
    out: str | None,
    data_dir: str | None,
    device: str,
    others: dict[str, Any],
) -> None:
    """Write the filled table, and the ends of every number's interval as two more.

    Raises ValueError for options that are of other data, FileExistsError for a file that is there.
    """
    from undiffuse.data import CellSpace
    from undiffuse.data.frame import rows_in, unknown_in
    from undiffuse.data.table import read_table
    from undiffuse.diffusion import Way, save_frame
    from undiffuse.diffusion import fill as filled_by
    from undiffuse.diffusion.containers import Container
    from undiffuse.runs import load

    if others:
        raise ValueError(f"--{min(others)}: cells of a table are drawn given the others; leave it out")
    source = Path(file).expanduser()
    target = Path(out) if out is not None else source.with_name(f"{source.stem}-filled{source.suffix}")
    if target.suffix.lower() not in TABLES:
        raise ValueError(f"--out {out}: a table is written as {' or '.join(TABLES)}")
    ends = [target.with_name(f"{target.stem}-{end}{target.suffix}") for end in ("low", "high")]
    there = [path for path in (target, *ends) if path.exists()]
    if there:
        raise FileExistsError(f"{there[0]} is there; choose another with --out, nothing is overwritten")
    trained = load(run, device_of(device), data=data_dir)
    if not isinstance(trained.space, CellSpace):
        raise ValueError(f"{file}: this run is of no table with holes; give an .npy")
    frame = read_table(source)
    raw, unknown = rows_in(frame, trained.space.columns)
    for text in unknown_in(unknown):
        LOG.warning("%s", text)
    with tracked("impute") as track:
        found = filled_by(trained, raw, n or DRAWS, seed, Way(steps=steps), track)
    of_frame = found.of_kind(Container("pandas", cells=trained.space.columns, frame=frame))
    for path, rows in zip((target, *ends), (of_frame.filled, *of_frame.interval(SHARE)), strict=True):
        typer.echo(printable(str(save_frame(rows, path))))
    filled, cells, draws = int(found.holes.sum()), found.holes.numel(), found.draws.shape[1]
    typer.echo(
        f"{filled:,} of {cells:,} cells filled by the median, or most frequent, of {draws:,} draws; "
        f"{SHARE:.0%} of a number's draws lie between -low and -high"
    )
