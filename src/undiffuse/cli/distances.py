"""undiffuse distances."""

from typing import TYPE_CHECKING, Annotated

import typer

from undiffuse.cli.console import printable, show, table, tracked
from undiffuse.cli.options import (
    DataDir,
    Device,
    Features,
    ResultsFolder,
    RunFolder,
    SamplerName,
    Seed,
    Steps,
    Stop,
)
from undiffuse.cli.processes import LONG, Count, sharing

if TYPE_CHECKING:
    from undiffuse.metrics import Extractor
    from undiffuse.runs import Run

EXAMPLES = """
[bold]Examples[/bold]

undiffuse distances runs/first -n 1000

undiffuse distances runs/fashion --features fashion.safetensors --sampler ddim --steps 50
"""


def command(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 10_000,
    features: Features = None,
    sampler: SamplerName = None,
    steps: Steps = None,
    stop: Stop = None,
    out: ResultsFolder = None,
    data_dir: DataDir = None,
    seed: Seed = 0,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """Distances of samples from the test data: Fréchet (FID) and kernel, precision, recall, coverage.

    Beside them those of as many training examples, which is what perfect samples would have.
    """
    from undiffuse.cli.evaluating import Results

    with sharing(processes, device, LONG) as (where, group):
        from undiffuse.diffusion import check_range
        from undiffuse.recipes import sampler_of
        from undiffuse.reports import contest, distances_of, drawn_of, note_of, save_distances
        from undiffuse.runs import load

        check_range(n, 0)
        trained = load(run, where, data=data_dir).replace(processes=group).stopped(stop or 0.0)
        results, chain = Results.of(trained, out), len(trained.thinned(steps))
        walk = trained.sampler if sampler is None else sampler_of(sampler)
        walk.check(trained.model)
        fixed = contest(trained, extractor_of(trained, features), n, seed)
        with tracked("distances") as track:
            found = distances_of(trained, fixed, n, seed, steps=steps, sampler=walk, track=track)
        if not group.leads:
            return
        rows = table("distance from the test data", ">samples", ">training data", title=note_of(trained))
        for row in found.rows():
            rows.add_row(*(printable(cell) for cell in row))
        show(rows)
        typer.echo(
            f"{n:,} samples ({type(walk).__name__}, {chain} steps), {found.training.examples:,} training and "
            f"{found.test:,} test examples"
        )
        facts = {"seed": seed, "steps": chain, "first": trained.first, "sampler": type(walk).__name__}
        facts |= {"overlapping": trained.overlapping}
        drawn = drawn_of(trained, n, steps, sampler, seed)
        results.write(lambda folder: [save_distances(found, folder, drawn, **facts)])


def extractor_of(trained: "Run", features: str | None) -> "Extractor":
    """The extractor in the file, where the model is; without one the values themselves."""
    from undiffuse.metrics import Pixels, load_features

    if features is None:
        return Pixels("pixels" if len(trained.shape) == 3 else "values")
    return load_features(features).to(trained.device)
