"""What `undiffuse evaluate` reports beyond the bound itself; imported only by a command that runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from undiffuse.cli.console import printable, show, table, ticking

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.runs import Run

ROWS = 10  # of a table
FITTED = 256  # training examples behind an optimal variance, unless told


@dataclass(frozen=True)
class Results:
    """Where what was printed is written: to the run's folder, or to a new one that was asked for."""

    folder: Path
    asked: bool = False
    quiet: bool = False  # whether the files are not told

    @classmethod
    def of(cls, trained: "Run", out: str | None, quiet: bool = False) -> "Results":
        """Those of a run. Raises FileExistsError if there is `out`, FileNotFoundError without its parent."""
        from undiffuse.runs import archive

        if out is None:
            return cls(trained.folder, quiet=quiet)
        target = archive.check_target(out)
        if not target.parent.is_dir():
            raise FileNotFoundError(f"--out {out}: the folder {target.parent} does not exist")
        return cls(target, True, quiet)

    def write(self, save: "Callable[[Path], list[Path]]") -> None:
        """Save into the folder and say where; of a run that may only be read, that nothing was written."""
        from undiffuse.files import is_read_only

        try:
            paths = save(self.folder)
        except OSError as error:
            if self.asked or not is_read_only(error):
                raise
            said = "cannot be written to, so this is printed only; --out FOLDER keeps it elsewhere"
            typer.echo(f"warning: {printable(str(self.folder))}: {said}", err=True)
        else:
            for path in () if self.quiet else paths:
                typer.echo(printable(str(path)))


def report_entropy(
    trained: "Run", data: "Tensor", split: str, seed: int, steps: int | None, results: Results
) -> None:
    """The steps' entropies between their bounds."""
    from undiffuse.bounds import count_entropy_calls
    from undiffuse.reports import entropy_stretches, save_entropies

    grid = trained.thinned(steps)
    with ticking("entropy", count_entropy_calls(len(data), trained.shape, grid)) as tick:
        found = trained.step_entropies(data, seed, steps=steps, tick=tick)
    unit = "bits/dim" if trained.levels else "bits/dim of x_t"
    title = f"Entropy of a reverse step, {unit}: bounds on the exact one, and the model's"
    rows = table(">t from", ">to", ">at least", ">model", ">at most", title=title)
    for stretch in entropy_stretches(found, ROWS):
        rows.add_row(*(f"{value:.3f}" for value in stretch[:2]), *(f"{value:.4f}" for value in stretch[2:]))
    show(rows)
    if not trained.model.kernel.reversible:
        warn(["a chain that ends in certainty: 'at most' does not hold, since x_t loses entropy"])
    results.write(lambda folder: save_entropies(found, folder, split))


def warn(warnings: list[str]) -> None:
    """Print them to standard error."""
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def report_progressive(
    trained: "Run",
    data: "Tensor",
    split: str,
    seed: int,
    steps: int | None,
    terms: int | None,
    results: Results,
) -> None:
    """Rate and distortion after so many received latents, and their files."""
    from undiffuse.reports import (
        measure_of,
        plan_progressive,
        progressive_of,
        progressive_rows,
        save_progressive,
    )

    calls = plan_progressive(trained, len(data), steps, terms)
    with ticking("progressive", calls) as tick:
        found = progressive_of(trained, data, seed, steps=steps, terms=terms, tick=tick)
    title = f"Progressive: x_0-hat after so many of {found.steps} latents"
    rows = table(">received", ">t", ">rate, bits/dim", f">{measure_of(trained)}", title=title)
    for received, t, rate, distortion in progressive_rows(found, ROWS):
        rows.add_row(str(received), f"{t:.3f}", f"{rate:.5f}", f"{distortion:.5f}")
    show(rows)
    results.write(lambda folder: save_progressive(trained, found, data, folder, split, seed))


def report_variance(
    trained: "Run",
    data: "Tensor",
    split: str,
    examples: int | None,
    seed: int,
    steps: int | None,
    terms: int | None,
    results: Results,
) -> None:
    """The bound with the best fixed variances for training examples, beside the run's own."""
    from undiffuse.recipes import load_data
    from undiffuse.reports import (
        check_variance,
        compare_variance,
        fit_variance,
        note_of,
        plan_variance,
        save_variance,
        variance_name,
    )

    check_variance(trained, steps)
    splits, count = load_data(trained.recipe), examples or FITTED
    fit, labels = splits.train[:count], splits.train_labels
    fitted = trained.told(labels if labels is None else labels[:count])
    fitting, comparing = plan_variance(trained, len(fit), len(data), steps, terms)
    with ticking("variance", fitting) as tick:
        best = fit_variance(fitted, fit, seed, steps=steps, tick=tick)
    with ticking("evaluate", comparing) as tick:
        found = compare_variance(trained, best, len(fit), data, seed, terms=terms, tick=tick)
    rows = table("bound on -log2 p", ">mean", ">s.e.", "unit", title=note_of(trained))
    for row in found.rows(variance_name(trained)):
        rows.add_row(row.name, f"{row.mean:.4f}", f"{row.se:.4f}", row.unit)
    show(rows)
    typer.echo(
        f"variances of {found.fitted:,} training examples, bounds of {found.examples:,} "
        f"{split.partition('-')[0]} examples, "
        f"chain of {len(best.grid)} steps"
    )
    results.write(lambda folder: save_variance(trained, found, folder, split))
