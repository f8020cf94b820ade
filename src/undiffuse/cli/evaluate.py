"""undiffuse evaluate."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import (
    Device,
    RunFolder,
    Seed,
    device_of,
    printable,
    progress,
    show,
    table,
    ticking,
)

if TYPE_CHECKING:
    from pathlib import Path

    from undiffuse.recipes import Evaluation, Run

EXAMPLES = """
[bold]Examples[/bold]

undiffuse evaluate runs/first

undiffuse evaluate runs/first --examples 1000 --terms 20

undiffuse evaluate runs/first --split train --steps 100

undiffuse evaluate runs/swiss-roll-2015 --entropy

undiffuse evaluate runs/mnist-2015 --parzen --steps 100
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
    parzen: Annotated[
        bool,
        typer.Option(
            "--parzen", help="Instead: the Parzen window score of samples (2015, table 2), in nats and bits."
        ),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option("--samples", help="How many samples --parzen draws, on --steps of the chain (10,000)."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """The bound on -log2 p of held-out data: mean, standard error, and every step's part."""
    from undiffuse.recipes import evaluate, load, plan_calls, save_evaluation

    trained = load(run, device_of(device))
    if parzen:
        _check_parzen(samples, entropy or split != "test" or (examples, terms) != (None, None))
        _parzen(trained, 10_000 if samples is None else samples, seed, steps)
        return
    if samples is not None:
        raise ValueError(f"--samples {samples}: only --parzen draws samples")
    if entropy and len(trained.thinned(steps)) < 2:
        raise ValueError(f"--steps {steps}: --entropy needs a chain of at least two steps")
    if terms is None:
        terms = trained.recipe["evaluate_terms"]
    elif terms < 0:
        raise ValueError(f"--terms {terms}: the number of steps for each example, or 0 for all")
    terms = terms or None
    data = _split(trained.recipe, split, examples)
    trained.check(data)
    with ticking("evaluate", plan_calls(trained, len(data), steps, terms)) as tick:
        result = evaluate(trained, data, seed, steps=steps, terms=terms, tick=tick)
    _print(result)
    paths = save_evaluation(result, trained.folder, split)
    if entropy:
        paths += _entropy(trained, data, seed, steps, split)
    for path in paths:
        typer.echo(printable(str(path)))
    _warn(result.warnings)


def _split(recipe: Any, split: str, examples: int | None) -> Any:
    from undiffuse.recipes import load_data

    if split not in ("test", "train"):
        raise ValueError(f"--split {split}: choose test or train")
    if examples is not None and examples < 2:
        raise ValueError(f"--examples {examples}: a standard error needs at least two")
    return getattr(load_data(recipe), split)[:examples]


def _entropy(trained: "Run", data: Any, seed: int, steps: int | None, split: str) -> "list[Path]":
    """The table and the files of the steps' entropies."""
    from undiffuse.bounds import count_entropy_calls
    from undiffuse.recipes import entropy_stretches, save_entropies

    grid = trained.thinned(steps)
    with ticking("entropy", count_entropy_calls(len(data), trained.shape, grid)) as tick:
        found = trained.step_entropies(data, seed, steps=steps, tick=tick)
    title = "Entropy of a reverse step, bits/dim: bounds on the exact one, and the model's"
    rows = table(">t from", ">to", ">at least", ">model", ">at most", title=title)
    for stretch in entropy_stretches(found, 10):
        rows.add_row(*(f"{value:.3f}" for value in stretch[:2]), *(f"{value:.4f}" for value in stretch[2:]))
    show(rows)
    if not trained.model.kernel.reversible:
        _warn(["a chain that ends in certainty: 'at most' does not hold, since x_t loses entropy"])
    return save_entropies(found, trained.folder, split)


def _check_parzen(samples: int | None, more: bool) -> None:
    if more:
        raise ValueError("--parzen scores samples on all test data; it goes with --samples, --steps, --seed")
    if samples is not None and samples < 1:
        raise ValueError(f"--samples {samples}: draw at least one")


def _parzen(trained: "Run", count: int, seed: int, steps: int | None) -> None:
    """The score of samples under the protocol of the 2015 paper."""
    from undiffuse.recipes import parzen_of, plan_ticks, protocol, save_parzen

    trained.thinned(steps)
    fixed = protocol(trained)
    with progress() as bar:
        draw, score = (bar.add_task(*task) for task in (("sample", True, count), ("score", True, None)))
        bar.update(score, total=plan_ticks(fixed, count))
        found = parzen_of(
            trained,
            fixed,
            count,
            seed,
            steps=steps,
            sampled=lambda n: bar.advance(draw, n),
            tick=lambda: bar.advance(score),
        )
    rows = table("log-likelihood by Parzen windows", ">mean", ">s.e.", "unit")
    for unit, each in (("nats", found.nats), ("bits", found.bits)):
        rows.add_row("", f"{each.mean:.1f}", f"{each.se:.1f}", f"{unit}/example")
    show(rows)
    edge = ": an end of the list, another may be better" if found.at_edge else ""
    typer.echo(f"width {found.width:.4f}{edge}; {found.samples:,} samples, {found.examples:,} test examples")
    typer.echo(printable(str(save_parzen(found, trained.folder))))


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _print(result: "Evaluation") -> None:
    """The bound in every unit that fits the data, and where along the chain it comes from."""
    main = table("", ">mean", ">s.e.", "unit")
    for row in result.rows():
        main.add_row(row.name, f"{row.mean:.4f}", f"{row.se:.4f}", row.unit)
    show(main)
    stretches = table(">t from", ">to", ">bits/dim", title="Steps of the chain")
    for t, s, bits in result.stretches(10):
        stretches.add_row(f"{t:.3f}", f"{s:.3f}", f"{bits:.4f}")
    if len(result.report.grid) > 1:
        show(stretches)
    typer.echo(
        f"bits per dimension: {result.bits} "
        f"({result.report.examples:,} examples, chain of {len(result.report.grid)} steps)"
    )
