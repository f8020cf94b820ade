"""undiffuse denoise."""

from typing import Annotated

import typer

from undiffuse.cli import posterior as shared
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder, Seed, Steps

EXAMPLES = """
[bold]Examples[/bold]

undiffuse denoise runs/first noisy.png --std 0.3

undiffuse denoise runs/first --index 3 --std 0.5 --steps 50

undiffuse denoise runs/swiss-roll points.npy --std 0.2 -n 100 --particles 100
"""


def command(
    run: RunFolder,
    file: Annotated[
        str | None, typer.Argument(metavar="[NOISY]", help="Picture or .npy of one example with noise.")
    ] = None,
    std: Annotated[
        float,
        typer.Option(
            "--std",
            help="Width of its normal noise: where black is -1 and white 1 for data with levels (0.1: 12.75 "
            "of 255), in raw units for continuous data.",
        ),
    ] = 0.3,
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
    """Take noise of a known width away, n times: what is likely, and how sure that is.

    With --index the noise is first added, so that the result can be seen beside the truth.
    """
    from functools import partial

    from undiffuse.diffusion import check_seen, noisy, posterior, raw_width
    from undiffuse.runs import pick_example, read_seen

    name = shared.one_of(file, index)
    options = shared.asked(n, seed, steps, label, given, method, particles, evidence, groups, out)
    trained = shared.open_run(run, device, options, data_dir, index)
    truth = None if index is None else pick_example(trained, index)
    if truth is None:
        seen = read_seen(trained, file or "")
    else:
        check_seen(trained, truth, std)
        seen = shared.noise_like(truth, raw_width(trained, std), seed)
    factor = noisy(trained, seen[0], std)
    found = shared.follow("denoise", trained, factor, options, partial(posterior, trained, factor))
    shared.report("denoise", trained, found, seen, truth, [name, f"std{std:g}"], options)
