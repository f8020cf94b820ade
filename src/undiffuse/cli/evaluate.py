"""undiffuse evaluate."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import Device, RunFolder, Seed, Stop, show, table, ticking
from undiffuse.cli.processes import LONG, Count, sharing

if TYPE_CHECKING:
    from undiffuse.diffusion import Evaluation

EXAMPLES = """
[bold]Examples[/bold]

undiffuse evaluate runs/first

undiffuse evaluate runs/first --examples 1000 --terms 20

undiffuse evaluate runs/first --split train --steps 100

undiffuse evaluate runs/swiss-roll-2015 --entropy

undiffuse evaluate runs/first --progressive

undiffuse evaluate runs/first --optimal-variance --steps 50

undiffuse evaluate runs/mnist-2015 --parzen --steps 100

undiffuse evaluate runs/mnist --parzen --steps 8 --stop 0.6  (Parzen windows prefer means to samples)

undiffuse evaluate runs/first --samples 1000

undiffuse evaluate runs/fashion --samples 10000 --features fashion.safetensors --sampler ddim --steps 50
"""


def command(
    run: RunFolder,
    split: Annotated[str, typer.Option("--split", help="test or train.")] = "test",
    examples: Annotated[
        int | None, typer.Option("--examples", help="Only the first so many. Default: all.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Evaluate a sub-chain of so many steps. Default: all."),
    ] = None,
    terms: Annotated[
        int | None,
        typer.Option(
            "--terms",
            help="Steps computed for each example, drawn at random (unbiased); 0 for all. "
            "Default: the recipe's.",
        ),
    ] = None,
    entropy: Annotated[
        bool,
        typer.Option(
            "--entropy", help="Also the entropy of every reverse step, between its bounds (2015, eq. 24)."
        ),
    ] = False,
    progressive: Annotated[
        bool,
        typer.Option(
            "--progressive", help="Also rate and distortion after so many of the bits (Ho et al. 2020)."
        ),
    ] = False,
    optimal_variance: Annotated[
        bool,
        typer.Option(
            "--optimal-variance",
            help="Instead: the bound with the best fixed variance of every step, found on training examples "
            "(as many as --examples, or 256), beside the model's own.",
        ),
    ] = False,
    parzen: Annotated[
        bool,
        typer.Option(
            "--parzen", help="Instead: the Parzen window score of samples (2015, table 2), in nats and bits."
        ),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            help="Instead: draw so many, on --steps of the chain, and print their distances from the test "
            "data (Fréchet, kernel, precision and recall). With --parzen: how many it draws (10,000).",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            metavar="FILE",
            help="Compare --samples in the features of this .safetensors file: a classifier, or Inception's "
            "weights for FID. Default: pixels.",
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="What draws --samples. Default: the recipe's.")
    ] = None,
    stop: Stop = None,
    out: Annotated[
        str | None,
        typer.Option("--out", help="New folder for the files. Default: the run's, which may be read-only."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the bound as JSON, no more.")] = False,
    seed: Seed = 0,
    processes: Count = None,
    device: Device = "auto",
) -> None:
    """The bound on -log2 p of held-out data: mean, standard error, and every step's part.

    Files of a part, with fewer examples, steps or terms, say so in their names and leave those of the whole.
    """
    from undiffuse.cli.evaluating import Results, report_entropy, report_progressive, report_variance, warn
    from undiffuse.cli.scoring import print_distances, print_parzen
    from undiffuse.diffusion import evaluate, plan_calls
    from undiffuse.reports import note_of, part_of, save_evaluation
    from undiffuse.runs import hash_of, load, resumed

    with sharing(processes, device, LONG) as (where, group):
        trained = load(run, where).replace(processes=group).stopped(stop or 0.0)
        results = Results.of(trained, out, quiet=as_json)
        more = entropy or progressive or optimal_variance or split != "test"
        _check_samples(samples, parzen, more or (examples, terms) != (None, None))
        if as_json and (entropy or progressive or optimal_variance or parzen or samples is not None):
            raise ValueError("--json prints the bound alone: leave out what prints more")
        if (features or sampler) and (parzen or samples is None):
            raise ValueError("--features and --sampler go with --samples N, without --parzen")
        if parzen:
            print_parzen(trained, 10_000 if samples is None else samples, seed, steps, results)
            return
        if samples is not None:
            print_distances(trained, samples, seed, steps, features, sampler, results)
            return
        if entropy and len(trained.thinned(steps)) < 2:
            raise ValueError(f"--steps {steps}: --entropy needs a chain of at least two steps")
        if terms is None:
            terms = trained.terms
        elif terms < 0:
            raise ValueError(f"--terms {terms}: the number of steps for each example, or 0 for all")
        terms = terms or None
        data, labels = _split(trained.recipe, split, examples)
        trained.check(data)
        name, trained = part_of(trained, split, len(data), steps, terms), trained.told(labels)
        if optimal_variance:
            if entropy or progressive:
                raise ValueError(
                    "--optimal-variance compares two bounds; --entropy and --progressive go without"
                )
            if group.leads:
                report_variance(trained, data, name, examples, seed, steps, terms, results)
            return
        key = (split, len(data), hash_of(data, labels), seed, str(steps), str(terms), str(stop))
        with resumed(trained, *key) as resume:
            left = len(data) - (resume["partial"].done if resume["partial"] else 0)
            with ticking("evaluate", plan_calls(trained, left, steps, terms)) as tick:
                result = evaluate(trained, data, seed, steps=steps, terms=terms, tick=tick, **resume)
            if not group.leads:
                return
            if as_json:
                typer.echo(json.dumps(result.summary()))
            else:
                _print(result, note_of(trained))
            warn(result.warnings)
            results.write(lambda folder: save_evaluation(result, folder, name))
        if entropy:
            report_entropy(trained, data, name, seed, steps, results)
        if progressive:
            report_progressive(trained, data, name, seed, steps, terms, results)


def _split(recipe: Any, split: str, examples: int | None) -> tuple[Any, Any]:
    """The examples that are evaluated, and their labels if they have any."""
    from undiffuse.recipes import load_data

    if split not in ("test", "train"):
        raise ValueError(f"--split {split}: choose test or train")
    if examples is not None and examples < 2:
        raise ValueError(f"--examples {examples}: a standard error needs at least two")
    splits = load_data(recipe)
    labels = getattr(splits, f"{split}_labels")
    return getattr(splits, split)[:examples], labels if labels is None else labels[:examples]


def _check_samples(samples: int | None, parzen: bool, more: bool) -> None:
    if more and parzen:
        raise ValueError("--parzen scores samples on all test data; it goes with --samples, --steps, --seed")
    if more and samples is not None:
        raise ValueError(
            "--samples compares with all test data; it goes with --features, --steps, --sampler, --seed"
        )
    if samples is not None and samples < 1:
        raise ValueError(f"--samples {samples}: draw at least one")


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
