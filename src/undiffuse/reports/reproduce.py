"""The numbers of a paper beside ours: rows that say what to train, what to measure, and what differs.

Every row has a run of its own, trained within a time budget: a few steps are timed, and the recipe's number
of steps is cut to what fits. A complete run is not trained again.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from undiffuse.diffusion.evaluation import evaluate
from undiffuse.enclosure import enclose
from undiffuse.estimate import Estimate
from undiffuse.files import write_json
from undiffuse.recipes.parts import nearest
from undiffuse.recipes.reading import override, read
from undiffuse.recipes.recipe import load_data
from undiffuse.reports.parzen import parzen_of, protocol
from undiffuse.runs.begin import begun
from undiffuse.runs.experiment import Experiment
from undiffuse.runs.loading import load
from undiffuse.runs.log import Event
from undiffuse.signals import Signals
from undiffuse.track import SILENT, Track

TIMED = 12  # steps, the first two of which warm up
EXAMPLES = 1000  # test examples that a row is measured on, at most
SAMPLES, SAMPLE_STEPS = 10_000, 25  # for Parzen windows, and the steps their chain is thinned to


@dataclass(frozen=True)
class PaperRow:
    """One number of the paper: `recipe` is what to train, `quantity` what to measure."""

    name: str
    recipe: str
    quantity: str  # the name of an evaluation's row, or "Parzen"
    paper: str
    unit: str
    caveat: str
    external: bool = False  # whether the data have to be given


@dataclass(frozen=True)
class Reproduced:
    """A row with our number."""

    row: PaperRow
    ours: Estimate
    steps: int  # of training


def _both(name: str, recipes: tuple[str, str], *rest: Any) -> tuple[PaperRow, PaperRow]:
    """The row with the paper's own parts, and with modern ones."""
    return PaperRow(name, recipes[0], *rest), PaperRow(f"{name}, modern", recipes[1], *rest)


OVER = "K - L_null"
ROLL = (OVER, "6.45", "bits/point", "the noise of its roll is not stated; ours has 0.5")
BEAT = ("K by eq. 14", "-2.414", "bits/sequence", "same data, p0 = 0.2")
LEAVES = (OVER, "3.536", "bits/pixel", "other images, dequantised bytes")
BARK = (OVER, "1.5", "bits/pixel", "brick, grass and gravel, overlapping patches, dequantised bytes")
DIGITS = ("Parzen", "317 +- 2.7", "bits/image", "same data and protocol", True)
PHOTOS = (OVER, "11.5 +- 0.2", "bits/pixel", "same data", True)
PAPERS: dict[str, tuple[PaperRow, ...]] = {
    "2015": (
        *_both("swiss roll", ("swiss-roll-2015", "swiss-roll-40"), *ROLL),
        *_both("heartbeat", ("heartbeat", "heartbeat-fast"), *BEAT),
        *_both("dead leaves", ("dead-leaves", "dead-leaves-fast"), *LEAVES),
        *_both("bark", ("textures", "textures-fast"), *BARK),
        *_both("MNIST", ("mnist-2015", "mnist-fast"), *DIGITS),
        PaperRow("CIFAR-10", "cifar10-2015", *PHOTOS),
    )
}


def budgeted(
    row: PaperRow, folder: Path, data: str | None, seconds: float, device: torch.device
) -> Experiment:
    """The row's run, as it stands or begun anew for as many steps of its recipe as fit into the time.

    Raises FileNotFoundError for a row whose data have to be given, without `data`, their folder.
    """
    path = folder / Path(row.recipe).stem
    enclose(folder)
    if begun(path):
        return Experiment.open(path, device)
    if row.external and data is None:
        raise FileNotFoundError("its data are not part of the package: give --data-dir FOLDER")
    changes = [f"data.path={json.dumps(data)}"] if row.external else []
    node = override(read(row.recipe), changes)
    with TemporaryDirectory() as trial:
        fits = seconds / _seconds_a_step(Experiment.create(trial, node, device))
    steps = int(min(node["train"]["steps"], max(fits, TIMED)))
    return Experiment.create(path, override(node, [f"train.steps={steps}"]), device)


def finish(experiment: Experiment, signals: Signals | None = None) -> Iterator[Event]:
    """The events of training a run to its end; none if it is complete."""
    done = experiment.state.step >= experiment.settings.steps
    return iter(()) if done else experiment.train(signals)


def measure(
    row: PaperRow, path: Path, device: torch.device, samples: int = SAMPLES, *, track: Track = SILENT
) -> Reproduced:
    """Our number for the row, of a complete run."""
    run = load(path, device)
    if row.quantity == "Parzen":
        steps = min(SAMPLE_STEPS, len(run.grid))
        return Reproduced(
            row, parzen_of(run, protocol(run), samples, steps=steps, track=track).bits, run.step
        )
    data, terms = load_data(run.recipe).test[:EXAMPLES], run.recipe["evaluate_terms"]
    found = evaluate(run, data, terms=terms, track=track)
    (number,) = (each for each in found.rows() if each.name == row.quantity)
    return Reproduced(row, Estimate(number.mean, number.se), run.step)


def chosen(paper: str, names: list[str] | None) -> list[PaperRow]:
    """The rows of a paper, or those of these recipes. Raises ValueError for what there is not."""
    if paper not in PAPERS:
        raise ValueError(f"{paper}: {nearest(paper, list(PAPERS))}")
    rows = {row.recipe: row for row in PAPERS[paper]}
    for name in names or ():
        if name not in rows:
            raise ValueError(f"--rows {name}: {nearest(name, list(rows))}")
    return [row for name, row in rows.items() if not names or name in names]


def save_reproduced(found: list[Reproduced], path: Path) -> Path:
    """The table as JSON."""
    write_json(path, [asdict(each) for each in found])
    return path


def _seconds_a_step(experiment: Experiment) -> float:
    """Of the median of a few, after the first two."""
    events = islice(experiment.train(), TIMED)
    return median([event.progress.seconds for event in events][2:])
