"""The walks of a run that `undiffuse solvers` measured: solvers.json in its folder, for its weights alone."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from undiffuse.diffusion.walks import Walk, Walks
from undiffuse.estimate import Estimate
from undiffuse.recipes.recipe import sampler_of
from undiffuse.runs.noted import note, note_in, noted
from undiffuse.schedules.grids import check_grid

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

LOG = logging.getLogger(__name__)
FILE = "solvers.json"
PAIR = [0.0]
WALK = {"sampler": "", "times": [0.0], "frechet": PAIR, "sliced": PAIR}
LIKE = {
    "samples": 0,
    "seed": 0,
    "features": "",
    "chain": (WALK, None),  # which is measured last
    "training": {"frechet": PAIR, "sliced": PAIR},
    "walks": [{**WALK, "asked": 0}],
}


def read_walks(run: "Run") -> Walks | None:
    """Those in the run's folder; None if there are none, or not all yet, of other weights, or damaged."""
    found = stored(run)
    try:
        return None if found is None or found["chain"] is None else walks_of(found)
    except ValueError as error:
        LOG.warning("%s: damaged, left alone: %s", run.folder / FILE, error)
        return None


def stored(run: "Run") -> dict[str, Any] | None:
    """What the file says, of these weights."""
    return noted(run, FILE, LIKE)


def keep(run: "Run", found: Mapping[str, Any]) -> None:
    """What there is so far, in the run's folder, if that may be written to."""
    note(run, FILE, found)


def store(run: "Run", folder: Path, found: Mapping[str, Any]) -> Path:
    """Write it into a folder, with the key of the run's weights."""
    return note_in(run, folder, FILE, found)


def walks_of(found: Mapping[str, Any]) -> Walks:
    """The file's walks. Raises ValueError for times, samplers or numbers that are none."""
    training = found["training"]
    return Walks(
        [_walk(each) for each in found["walks"]],
        _walk(found["chain"]),
        (_estimate(training["frechet"]), _estimate(training["sliced"])),
        found["samples"],
        found["features"],
    )


def _walk(said: Mapping[str, Any]) -> Walk:
    return Walk(
        said["sampler"],
        sampler_of(said["sampler"]),
        check_grid(torch.tensor(said["times"], dtype=torch.float64)),
        _estimate(said["frechet"]),
        _estimate(said["sliced"]),
    )


def _estimate(pair: list[float]) -> Estimate:
    if len(pair) != 2 or pair[1] < 0:
        raise ValueError(f"{pair}: a mean and its standard error")
    return Estimate(*pair)
