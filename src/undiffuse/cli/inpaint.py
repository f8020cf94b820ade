"""undiffuse inpaint."""

from typing import Annotated

import typer

from undiffuse.cli import posterior as shared
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder, Seed, Steps

EXAMPLES = """
[bold]Examples[/bold]

undiffuse inpaint runs/first photo.png --mask mask.png -n 16

undiffuse inpaint runs/first --index 3 --mask left --steps 50

undiffuse inpaint runs/first --index 3 --mask centre --method replaced --times 5

undiffuse inpaint runs/beat --index 0 --mask right --evidence
"""


def command(
    run: RunFolder,
    file: Annotated[
        str | None, typer.Argument(metavar="[PHOTO]", help="Picture or .npy of one example.")
    ] = None,
    mask: Annotated[
        str,
        typer.Option(
            "--mask",
            help="What is missing: left, right, top, bottom, centre; or a picture, black or transparent "
            "where missing; or a bool .npy, True where known.",
        ),
    ] = "centre",
    index: shared.Index = None,
    n: shared.Count = None,
    seed: Seed = 0,
    steps: Steps = None,
    label: Label = None,
    given: GivenFiles = None,
    method: shared.MethodOfKnown = None,
    times: shared.Times = None,
    particles: shared.Weighed = None,
    evidence: shared.WithEvidence = False,
    groups: shared.Groups = None,
    out: shared.Out = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Fill in what is missing of an example, n times: what is likely, and how sure that is."""
    from functools import partial
    from pathlib import Path

    from undiffuse.diffusion import impute, known
    from undiffuse.runs import pick_example, read_example, read_mask

    name = shared.one_of(file, index)
    options = shared.asked(n, seed, steps, label, given, method, particles, evidence, groups, out, times)
    trained = shared.open_run(run, device, options, data_dir, index)
    raw = read_example(trained, file) if file is not None else pick_example(trained, index or 0)
    mine = read_mask(trained, mask)[None]
    draw = partial(impute, trained, raw, mine)
    found = shared.follow("inpaint", trained, known(trained, raw, mine), options, draw)
    seen, truth = raw.double().masked_fill(~mine, float("nan")), None if file is not None else raw
    shared.report("inpaint", trained, found, seen, truth, [name, Path(mask).stem], options)
