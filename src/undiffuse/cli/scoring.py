"""What `undiffuse evaluate` says of samples: Parzen windows, and distances from the test data."""

from typing import TYPE_CHECKING

import typer

from undiffuse.cli.console import printable, progress, show, table
from undiffuse.cli.evaluating import Results

if TYPE_CHECKING:
    from undiffuse.metrics import Extractor
    from undiffuse.runs import Run
    from undiffuse.samplers import Sampler


def print_parzen(trained: "Run", count: int, seed: int, steps: int | None, results: Results) -> None:
    """The score of samples under the protocol of the 2015 paper."""
    from undiffuse.reports import drawn_of, note_of, parzen_of, plan_ticks, protocol, save_parzen

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
    if not trained.processes.leads:
        return
    rows = table("log-likelihood by Parzen windows", ">mean", ">s.e.", "unit", title=note_of(trained))
    for unit, each in (("nats", found.nats), ("bits", found.bits)):
        rows.add_row("", f"{each.mean:.1f}", f"{each.se:.1f}", f"{unit}/example")
    show(rows)
    edge = ": an end of the list, another may be better" if found.at_edge else ""
    typer.echo(f"width {found.width:.4f}{edge}; {found.samples:,} samples, {found.examples:,} test examples")
    drawn = drawn_of(trained, count, steps)
    results.write(lambda folder: [save_parzen(found, folder, drawn, trained.first)])


def print_distances(
    trained: "Run",
    count: int,
    seed: int,
    steps: int | None,
    features: str | None,
    sampler: str | None,
    results: Results,
) -> None:
    """The distances of samples from the test data, beside those of as many training examples."""
    from undiffuse.reports import contest, distances_of, drawn_of, note_of, save_distances

    chain, walk = len(trained.thinned(steps)), _sampler(trained, sampler)
    fixed = contest(trained, _extractor(trained, features), count, seed)
    with progress() as bar:
        draw, compare = (bar.add_task(*task) for task in (("sample", True, count), ("compare", True, None)))
        bar.update(compare, total=fixed.ticks)
        found = distances_of(
            trained,
            fixed,
            count,
            seed,
            steps=steps,
            sampler=walk,
            sampled=lambda n: bar.advance(draw, n),
            tick=lambda: bar.advance(compare),
        )
    if not trained.processes.leads:
        return
    rows = table("distance from the test data", ">samples", ">training data", title=note_of(trained))
    for row in found.rows():
        rows.add_row(*(printable(cell) for cell in row))
    show(rows)
    typer.echo(
        f"{count:,} samples ({type(walk).__name__}, {chain} steps), {found.training.examples:,} training and "
        f"{found.test:,} test examples"
    )
    facts = {"seed": seed, "steps": chain, "first": trained.first, "sampler": type(walk).__name__}
    facts |= {"overlapping": trained.overlapping}
    drawn = drawn_of(trained, count, steps, sampler)
    results.write(lambda folder: [save_distances(found, folder, drawn, **facts)])


def _sampler(trained: "Run", name: str | None) -> "Sampler":
    """The sampler of this name, or the recipe's; it fits the model."""
    from undiffuse.recipes import parse, words_of
    from undiffuse.samplers import Sampler

    made: Sampler = (
        trained.sampler if name is None else parse(Sampler, words_of(name, "sampler"), "sampler").build()
    )
    made.check(trained.model)
    return made


def _extractor(trained: "Run", features: str | None) -> "Extractor":
    """The extractor in the file, where the model is; without one the values themselves."""
    from undiffuse.metrics import Pixels, load_features

    if features is None:
        return Pixels("pixels" if len(trained.shape) == 3 else "values")
    return load_features(features).to(next(trained.model.parameters()).device)
