"""undiffuse evaluate."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import (
    Device,
    RunFolder,
    Seed,
    device_of,
    printable,
    show,
    table,
    ticking,
)

if TYPE_CHECKING:
    from undiffuse.recipes import Evaluation

EXAMPLES = """
[bold]Examples[/bold]

undiffuse evaluate runs/first

undiffuse evaluate runs/first --examples 1000 --terms 20

undiffuse evaluate runs/first --split train --steps 100
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
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """The bound on -log2 p of held-out data: mean, standard error, and every step's part."""
    from undiffuse.recipes import evaluate, load, plan_calls, save_evaluation

    trained = load(run, device_of(device))
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
    for path in save_evaluation(result, trained.folder, split):
        typer.echo(printable(str(path)))


def _split(recipe: Any, split: str, examples: int | None) -> Any:
    from undiffuse.recipes import load_data

    if split not in ("test", "train"):
        raise ValueError(f"--split {split}: choose test or train")
    if examples is not None and examples < 2:
        raise ValueError(f"--examples {examples}: a standard error needs at least two")
    return getattr(load_data(recipe), split)[:examples]


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
