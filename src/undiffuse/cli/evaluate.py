"""undiffuse evaluate."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import show, table, tracked
from undiffuse.cli.options import (
    DataDir,
    Device,
    Examples,
    ResultsFolder,
    RunFolder,
    Seed,
    Split,
    Steps,
    Stop,
    Terms,
)
from undiffuse.cli.processes import LONG, Count, sharing

if TYPE_CHECKING:
    from undiffuse.diffusion import Evaluation

EXAMPLES = """
[bold]Examples[/bold]

undiffuse evaluate runs/first

undiffuse evaluate runs/first --examples 1000 --terms 20

undiffuse evaluate runs/first --examples 1000 --error 0.01

undiffuse evaluate runs/first --split train --steps 100

undiffuse evaluate runs/first --steps 20 --best

undiffuse evaluate runs/swiss-roll-2015 --entropy

undiffuse evaluate runs/first --progressive

undiffuse evaluate runs/first --exact --examples 100

undiffuse evaluate runs/swiss-roll --trajectories 16 --examples 200 --steps 100

Of samples: undiffuse distances, undiffuse parzen. Of the variances: undiffuse optimal-variance.
"""


Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="With --steps: not times at even distances, but those that cost some training examples least.",
    ),
]
Entropy = Annotated[
    bool,
    typer.Option(
        "--entropy", help="Also the entropy of every reverse step, between its bounds (2015, eq. 24)."
    ),
]
Progressive = Annotated[
    bool,
    typer.Option(
        "--progressive", help="Also rate and distortion after so many of the bits (Ho et al. 2020)."
    ),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Also the log-likelihood by the probability-flow ODE, beside the bound (data of numbers).",
    ),
]
Calls = Annotated[
    int, typer.Option("--calls", help="With --exact: network calls for each example, at least 8.")
]
Error = Annotated[
    float | None,
    typer.Option(
        "--error",
        help="Instead of --terms: the standard error (bits/dim) that random terms may leave in the bound of "
        "these examples. As few as that takes are computed.",
    ),
]
Trajectories = Annotated[
    int | None,
    typer.Option(
        "--trajectories",
        help="Also the bound that so many trajectories tighten, each of all steps (importance-weighted).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the bound as JSON, no more.")]


def command(
    run: RunFolder,
    split: Split = "test",
    examples: Examples = None,
    steps: Steps = None,
    best: Best = False,
    terms: Terms = None,
    error: Error = None,
    entropy: Entropy = False,
    progressive: Progressive = False,
    exact: Exact = False,
    calls: Calls = 50,
    trajectories: Trajectories = None,
    stop: Stop = None,
    out: ResultsFolder = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    seed: Seed = 0,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """Negative log-likelihood of held-out data (bits/dim): the bound, its standard error, every step's part.

    Files of a part, with fewer examples, steps or terms, and those of another seed, say so in their names and
    leave those of the whole.
    """
    from undiffuse.cli.evaluating import (
        Results,
        knows_none,
        on_best,
        report_curve,
        report_entropy,
        report_exact,
        report_progressive,
        report_weighted,
        split_of,
        terms_of,
        warn,
    )

    if as_json and (entropy or progressive or exact or trajectories is not None):
        raise ValueError("--json prints the bound alone: leave out what prints more")
    with sharing(processes, device, LONG) as (where, group):
        from undiffuse.diffusion import check_calls, evaluate
        from undiffuse.reports import note_of, part_of, save_evaluation
        from undiffuse.runs import hash_of, load, resumed

        trained = load(run, where, data=data_dir).replace(processes=group).stopped(stop or 0.0)
        results = Results.of(trained, out, quiet=as_json)
        if entropy and len(trained.thinned(steps)) < 2:
            raise ValueError(f"--steps {steps}: --entropy needs a chain of at least two steps")
        if exact:
            check_calls(trained, calls)
        if trajectories is not None and trajectories < 1:
            raise ValueError(f"--trajectories {trajectories}: at least one")
        if error is not None and terms is not None:
            raise ValueError(f"--error {error:g}: decides how many terms there are; leave out --terms")
        terms = terms_of(trained, terms)
        data, given = split_of(trained, split, examples)
        less: list[str] = [f"{steps}-best-steps"] if best else []
        less += [] if error is None else [f"error-{error:g}"]
        if best:
            (trained, curve), steps = on_best(trained, steps, seed), None
        name = "-".join([part_of(trained, split, len(data), steps, terms, seed), *less])
        trained = trained.told(given)
        hashed = hash_of(data, *(given.values.values() if given is not None else ()))
        key = (split, len(data), hashed, seed, str(steps), str(terms), str(stop), "-".join(less))
        with resumed(trained, *key) as resume:
            with tracked("evaluate") as track:
                how: dict[str, Any] = {"steps": steps, "worth": knows_none(trained, given), **resume}
                how |= {"terms": terms} if error is None else {"error": error}
                result = evaluate(trained, data, seed, track=track, **how)
            if not group.leads:
                return
            if as_json:
                typer.echo(json.dumps(result.summary()))
            else:
                _print(result, note_of(trained))
            warn(result.warnings)
            results.write(lambda folder: save_evaluation(result, folder, name))
        if best and not as_json:
            report_curve(curve, trained, name, results)
        if entropy:
            report_entropy(trained, data, name, seed, steps, results)
        if progressive:
            report_progressive(trained, data, name, seed, steps, terms, results)
        if exact:
            report_exact(trained, data, name, seed, calls, terms, results)
        if trajectories is not None:
            report_weighted(trained, data, name, seed, trajectories, steps, results)


def _print(result: "Evaluation", note: str | None) -> None:
    """The bound in every unit that fits the data, where it comes from, and what stands beside it."""
    from undiffuse.diffusion.evaluation import NAMED

    main = table("", ">mean", ">s.e.", "unit", title=note)
    for row in result.rows():
        main.add_row(row.name, f"{row.mean:.4f}", f"{row.se:.4f}", row.unit)
    show(main)
    stretches = table(">t from", ">to", ">bits/dim", title="Steps of the chain")
    for t, s, bits in result.stretches(10):
        stretches.add_row(f"{t:.3f}", f"{s:.3f}", f"{bits:.4f}")
    if len(result.report.grid) > 1:
        show(stretches)
    if result.beside:
        simple = table("", ">bits/dim", ">this less that", ">s.e.", title="Models in closed form, beside")
        for name, (own, more) in result.beside.items():
            simple.add_row(NAMED[name], f"{own.mean:.4f}", f"{more.mean:+.4f}", f"{more.se:.4f}")
        show(simple)
    typer.echo(
        f"bits per dimension: {result.bits} "
        f"({result.report.examples:,} examples, chain of {len(result.report.grid)} steps)"
    )
    if result.report.noise is not None:
        typer.echo(
            f"of these very examples: {result.bits.mean:.4f} +- {result.report.noise:.4f}, by "
            f"{result.report.calls:,} network calls for each"
        )
