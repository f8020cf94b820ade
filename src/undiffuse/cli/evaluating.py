"""What `undiffuse evaluate` reports beyond the bound itself; imported only by a command that runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from undiffuse.cli.console import LOG, printable, show, table, tracked

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.bounds import Curve
    from undiffuse.conditions import Given
    from undiffuse.runs import Run

ROWS = 10  # of a table
CHOOSING = 256  # training examples that a chain is chosen by


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
            LOG.warning("%s: %s", self.folder, said)
        else:
            for path in () if self.quiet else paths:
                typer.echo(printable(str(path)))


def report_entropy(
    trained: "Run", data: "Tensor", split: str, seed: int, steps: int | None, results: Results
) -> None:
    """The steps' entropies between their bounds."""
    from undiffuse.reports import entropy_stretches, save_entropies

    with tracked("entropy") as track:
        found = trained.step_entropies(data, seed, steps=steps, track=track)
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
        LOG.warning(warning)


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
        progressive_of,
        progressive_rows,
        save_progressive,
    )

    with tracked("progressive") as track:
        found = progressive_of(trained, data, seed, steps=steps, terms=terms, track=track)
    title = f"Progressive: x_0-hat after so many of {found.steps} latents"
    rows = table(">received", ">t", ">rate, bits/dim", f">{measure_of(trained)}", title=title)
    for received, t, rate, distortion in progressive_rows(found, ROWS):
        rows.add_row(str(received), f"{t:.3f}", f"{rate:.5f}", f"{distortion:.5f}")
    show(rows)
    results.write(lambda folder: save_progressive(trained, found, data, folder, split, seed))


def report_exact(
    trained: "Run", data: "Tensor", split: str, seed: int, calls: int, terms: int | None, results: Results
) -> None:
    """The likelihood by the probability flow, beside the bound of the same examples."""
    import torch

    from undiffuse.files import write_json

    with tracked("flow") as track:
        found = trained.likelihood(data, seed, calls=calls, beside=True, terms=terms, track=track)
    assert found.less is not None
    kind = "density" if found.levels is None else "probability, at most"
    rows = table("", ">bits/dim", ">s.e.", title=f"By the probability-flow ODE, {calls} calls an example")
    rows.add_row(f"-log2 {kind}", f"{found.bits.mean:.4f}", f"{found.bits.se:.4f}")
    rows.add_row("  what its steps may be off by", f"{found.grid_error:.4f}", "")
    few = torch.arange(min(ROWS, len(data)))
    away = trained.replace(model=trained.model.rows(few)).round_trip(data[few], calls=calls)
    rows.add_row("the bound, less that", f"{found.less.mean:+.4f}", f"{found.less.se:.4f}")
    show(rows)
    typer.echo(f"{len(few)} examples to their latents and back: off by {away:.2g} (rms, raw units)")
    if found.levels is None:
        wide = f"{found.width:.2g} standard deviations"
        typer.echo(f"(the density of the data with noise of {wide}: as much as the chain's first time has)")

    def save(folder: Path) -> list[Path]:
        path = folder / f"likelihood-{split}-{calls}-calls.json"
        write_json(path, found.summary())
        return [path]

    results.write(save)


def report_weighted(
    trained: "Run",
    data: "Tensor",
    split: str,
    seed: int,
    trajectories: int,
    steps: int | None,
    results: Results,
) -> None:
    """The bound that so many trajectories tighten, beside that of the same ones alone."""
    from undiffuse.files import write_json

    with tracked("trajectories") as track:
        found = trained.weighted(data, seed, trajectories=trajectories, steps=steps, track=track)
    title = f"Importance-weighted, {trajectories:,} trajectories of {found.steps:,} steps an example"
    rows = table("", ">bits/dim", ">s.e.", title=title)
    kind = "density" if trained.levels is None else "probability"
    named = {f"-log2 {kind}, at most": found.bits, "the trajectories one by one": found.bound}
    for name, each in {**named, "gain": found.gain}.items():
        rows.add_row(name, f"{each.mean:.4f}", f"{each.se:.4f}")
    show(rows)
    typer.echo(f"(the weights are worth {found.effective:.1f} trajectories of {trajectories:,})")

    def save(folder: Path) -> list[Path]:
        path = folder / f"weighted-{split}-{trajectories}-trajectories.json"
        write_json(path, found.summary())
        return [path]

    results.write(save)


def on_best(trained: "Run", steps: int | None, seed: int) -> "tuple[Run, Curve]":
    """The run on the chain of so many steps that costs training examples least, by a curve that is kept."""
    from undiffuse.data import sample_of
    from undiffuse.recipes import load_data
    from undiffuse.runs import curve_noted
    from undiffuse.tensors import dims

    if steps is None:
        raise ValueError("--best: of how many steps? Say --steps, such as --steps 20")
    trained.thinned(steps)
    raw = sample_of(load_data(trained.recipe).train, CHOOSING * dims(trained.shape))
    with tracked("choose steps") as track:
        curve = curve_noted(trained, raw, seed, track=track)
    return trained.chained(steps, curve), curve


def report_curve(curve: "Curve", chosen: "Run", name: str, results: Results) -> None:
    """A picture of the curve of mean squared errors, and of the times that were chosen by it."""
    from undiffuse import plots

    def save(folder: Path) -> list[Path]:
        path = folder / f"curve-{name}.png"
        places = curve.logsnr[(curve.grid.unsqueeze(0) == chosen.grid.unsqueeze(1)).any(0)]
        chains = {f"best chain of {len(chosen.grid)} steps": places}
        mse, se = (each / curve.size for each in (curve.mse, curve.se))
        plots.save_squared(curve.logsnr, mse, se, path, chains)
        return [path]

    results.write(save)


def split_of(trained: "Run", split: str, examples: int | None) -> "tuple[Any, Given | None]":
    """The examples that are evaluated, and what they are given, if anything. Raises ValueError for none."""
    from undiffuse.recipes import load_data

    if split not in ("test", "train"):
        raise ValueError(f"--split {split}: choose test or train")
    if examples is not None and examples < 2:
        raise ValueError(f"--examples {examples}: a standard error needs at least two")
    splits = load_data(trained.recipe)
    data, given = splits.examples(split, slice(examples))
    trained.check(data)
    return data, given


def knows_none(trained: "Run", given: "Given | None") -> bool:
    """Whether the run has learned to do without what it is given."""
    return given is not None and trained.recipe["train"].build().condition_dropout > 0


def terms_of(trained: "Run", terms: int | None) -> int | None:
    """How many steps of each example are computed: those asked for, or the run's; None for all."""
    if terms is None:
        return trained.terms or None
    if terms < 0:
        raise ValueError(f"--terms {terms}: the number of steps for each example, or 0 for all")
    return terms or None
