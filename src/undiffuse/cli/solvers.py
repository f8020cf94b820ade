"""undiffuse solvers."""

from typing import TYPE_CHECKING, Annotated

import typer

from undiffuse.cli.console import printable, show, table, tracked
from undiffuse.cli.distances import extractor_of
from undiffuse.cli.options import DataDir, Device, Features, ResultsFolder, RunFolder, Seed
from undiffuse.cli.processes import LONG, Count, sharing

if TYPE_CHECKING:
    from typing import Any

EXAMPLES = """
[bold]Examples[/bold]

undiffuse solvers runs/first

undiffuse solvers runs/first --sampler "deis order=3" --sampler ddim --steps 5 --steps 10

undiffuse solvers runs/fashion -n 2000 --features fashion.safetensors
"""

Samplers = Annotated[
    list[str] | None,
    typer.Option(
        "--sampler",
        help="A sampler, with its arguments; may be repeated. Default: unipc order=3, dpm-solver++ order=2 "
        "tau=1 and ddim; of masks counted and ancestral, of other symbols ancestral.",
    ),
]
Numbers = Annotated[
    list[int] | None,
    typer.Option("--steps", help="Sampling steps; may be repeated. Default: 8, 10, 15, 20, 30 and 50."),
]


def command(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many samples of each.")] = 500,
    sampler: Samplers = None,
    steps: Numbers = None,
    features: Features = None,
    out: ResultsFolder = None,
    data_dir: DataDir = None,
    seed: Seed = 0,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """How few steps are enough: distance from held-out data against calls, as a table and a plot.

    The times that suit each solver are kept in the run's folder, with what was measured. From then on
    `sample` takes the fewest steps that are not worse than the whole chain; --steps all is the chain.
    """
    from undiffuse.cli.evaluating import Results

    with sharing(processes, device, LONG) as (where, group):
        from undiffuse.diffusion import check_range
        from undiffuse.reports import contest, note_of
        from undiffuse.reports.solvers import STEPS, Job, save_solvers, solver_rows, usual_samplers
        from undiffuse.runs import load
        from undiffuse.runs.walking import keep

        check_range(n, 0)
        trained = load(run, where, data=data_dir).replace(processes=group, walks=None)
        results = Results.of(trained, out)
        fixed = contest(trained, extractor_of(trained, features), n, seed)
        numbers = [each for each in steps or STEPS if steps or each < len(trained.grid)]

        def kept(found: "dict[str, Any]") -> None:
            if group.leads and out is None:
                keep(trained, found)

        job = Job(trained, fixed, n, seed, sampler or usual_samplers(trained), numbers, kept)
        with tracked("solvers") as track:
            found = job.measure(track)
        if not group.leads:
            return
        notes = [f"{n:,} samples, {fixed.extractor.title}", *filter(None, [note_of(trained)])]
        rows = table(">steps", "sampler", ">Fréchet distance", ">sliced W2, squared", title="; ".join(notes))
        for row in solver_rows(found):
            rows.add_row(*(printable(cell) for cell in row))
        show(rows)
        typer.echo(printable(found.said(found.shortest)))
        results.write(lambda folder: save_solvers(trained, job, found, folder))
