"""undiffuse restore."""

from typing import Annotated

import typer

from undiffuse.cli import posterior as shared
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder, Seed, Steps

EXAMPLES = """
[bold]Examples[/bold]

undiffuse restore runs/first small.png --operator downsample:4

undiffuse restore runs/first --index 3 --operator blur:2 --std 0.02 --steps 50

undiffuse restore runs/colour grey.png --operator grey
"""


def command(
    run: RunFolder,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[SMALL]", help="Picture or .npy, of the size that the operator gives."),
    ] = None,
    operator: Annotated[
        str,
        typer.Option(
            "--operator",
            help="What happened to it: downsample:4 (means of 4 x 4 pixels), blur:1.5 (pixels), grey.",
        ),
    ] = "downsample:4",
    std: Annotated[
        float,
        typer.Option(
            "--std",
            help="Width of the normal noise on it: where black is -1 and white 1 for data with levels, in "
            "raw units for continuous data.",
        ),
    ] = 0.05,
    index: shared.Index = None,
    n: shared.Count = None,
    seed: Seed = 0,
    steps: Steps = None,
    label: Label = None,
    given: GivenFiles = None,
    method: shared.Method = None,
    particles: shared.Weighed = None,
    evidence: shared.WithEvidence = False,
    groups: shared.Groups = None,
    out: shared.Out = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Undo a loss of detail or colour, n times: what is likely, and how sure that is.

    With --index the example is first degraded, so that the result can be seen beside the truth.
    """
    from functools import partial

    from undiffuse.diffusion import check_seen, measured, operator_for, posterior, raw_width
    from undiffuse.runs import pick_example, read_seen

    name = shared.one_of(file, index)
    options = shared.asked(n, seed, steps, label, given, method, particles, evidence, groups, out)
    trained = shared.open_run(run, device, options, data_dir, index)
    degrade, shape = operator_for(trained, operator)
    truth = None if index is None else pick_example(trained, index)
    if truth is None:
        seen = read_seen(trained, file or "", shape, operator)
    else:
        check_seen(trained, truth, std)
        seen = shared.noise_like(degrade(truth.double()), raw_width(trained, std), seed)
    factor = measured(trained, degrade, seen[0], std)
    found = shared.follow("restore", trained, factor, options, partial(posterior, trained, factor))
    words = [name, operator.replace(":", ""), f"std{std:g}"]
    shared.report("restore", trained, found, seen, truth, words, options)
