"""An evaluation as files, and what files of results are called: by what they have less of than the whole."""

from pathlib import Path

from undiffuse import plots
from undiffuse.diffusion import Evaluation
from undiffuse.files import write_csv, write_json
from undiffuse.runs.facts import read_facts
from undiffuse.runs.run import Run

OVERLAP = "overlapping patches: errors as of independent examples, so too small"


def part_of(run: Run, split: str, examples: int, steps: int | None, terms: int | None, seed: int = 0) -> str:
    """What the files of an evaluation are called: by its split, and by what is other than in the whole.

    All examples of the split, on the run's chain, with the recipe's number of terms or more and seed 0 are
    the whole, which no part replaces.
    """
    every, chain = read_facts(run.folder)["examples"][split], len(run.thinned(steps))
    usual = run.terms or chain - 1
    parts = {f"{examples}-examples": examples < every, **_shortened(run, steps)}
    parts |= {f"{terms}-terms": terms is not None and terms < min(usual, chain - 1)}
    parts |= {f"seed-{seed}": seed != 0}
    return "-".join([split, *(name for name, less in parts.items() if less)])


def drawn_of(run: Run, samples: int, steps: int | None, sampler: str | None = None, seed: int = 0) -> str:
    """What the files about samples are called by: their number, and what they were not drawn by as usual."""
    less = [name for name, there in _shortened(run, steps).items() if there]
    less += [] if seed == 0 else [f"seed-{seed}"]
    return "-".join([f"{samples}-samples", *less, *(sampler or "").split()])


def _shortened(run: Run, steps: int | None) -> dict[str, bool]:
    """What may be less of the run's chain than the whole, and whether it is."""
    return {f"{steps}-steps": steps not in (None, len(run.grid)), f"stop-{run.first:g}": run.first > 0}


def save_evaluation(result: Evaluation, folder: Path, split: str) -> list[Path]:
    """evaluation-SPLIT.json, terms-SPLIT.csv and terms-SPLIT.png in the folder (`part_of` has SPLIT)."""
    report = result.report
    numbers, steps, figure = (
        folder / name for name in (f"evaluation-{split}.json", f"terms-{split}.csv", f"terms-{split}.png")
    )
    write_json(numbers, result.summary())
    grid = report.grid.tolist()
    columns = (grid[1:], grid[:-1], report.per_step.tolist(), report.per_step_se.tolist())
    write_csv(steps, ("t", "s", "bits_per_dim", "standard_error"), zip(*columns, strict=True))
    if len(report.grid) == 1:
        return [numbers, steps]
    plots.save_terms(
        report.grid[1:],
        report.per_step,
        figure,
        prior=report.prior.mean,
        decode=result.decode.mean,
        steps_se=report.per_step_se,
    )
    return [numbers, steps, figure]


def note_of(run: Run) -> str | None:
    """What a table has to say of its errors; nothing if the examples are independent."""
    return OVERLAP if run.overlapping else None
