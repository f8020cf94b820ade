"""Parzen windows of a run's samples: the 2015 paper's measure for MNIST, by its protocol.

Pixels are levels divided by the largest, in [0, 1]. The width is chosen on the first 1,000 examples of the
last sixth of the training data (MNIST's images 50,000 to 50,999), the score is the mean over the test data.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from undiffuse.data import Splits
from undiffuse.files import write_json
from undiffuse.metrics import Parzen, parzen
from undiffuse.recipes.recipe import source_of
from undiffuse.runs.run import Run
from undiffuse.track import SILENT, Track

VALIDATION = 1000
BATCH = 100  # samples drawn together: more do not fit into a CPU's cache


@dataclass(frozen=True, eq=False)
class Protocol:
    """What is compared: `validation` and `test` in [0, 1], and how samples get there."""

    validation: Tensor
    test: Tensor
    top: int  # the largest level
    noisy: bool  # whether the run's raw samples are levels plus uniform noise

    def unit(self, raw: Tensor) -> Tensor:
        """Raw samples as floats in [0, 1]."""
        return ((raw.float() - (0.5 if self.noisy else 0.0)) / self.top).clamp(0, 1)


def protocol(run: Run) -> Protocol:
    """The data of the run for a comparison by Parzen windows. Raises ValueError unless they have levels."""
    splits: Splits = source_of(run.recipe).load()
    if splits.levels is None:
        raise ValueError("Parzen windows compare levels as numbers in [0, 1]; these data are continuous")
    top, begin = splits.levels - 1, len(splits.train) * 5 // 6
    validation, test = (x.float() / top for x in (splits.train[begin : begin + VALIDATION], splits.test[:]))
    return Protocol(validation, test, top, run.recipe["dequantize"])


def parzen_of(
    run: Run,
    fixed: Protocol,
    count: int,
    seed: int = 0,
    *,
    steps: int | None = None,
    track: Track = SILENT,
) -> Parzen:
    """The score of `count` samples on a chain thinned to `steps`, in stages `sample` and `score`."""
    run, parts, together = run.in_tensors.replace(walks=None), [], BATCH * run.processes.size
    for first, inner in track.stage("sample").over(range(0, count, together)):
        number = min(together, count - first)
        drawn = run.sample(number, seed, steps=steps, first=first, block=BATCH, track=inner)
        parts.append(fixed.unit(drawn))
    return parzen(torch.cat(parts), fixed.validation, fixed.test, track=track.stage("score"))


def save_parzen(found: Parzen, folder: Path, drawn: str, first: float) -> Path:
    """parzen-DRAWN.json in the folder (`drawn_of` has DRAWN); `first` is where the samples' chain stopped."""
    path = folder / f"parzen-{drawn}.json"
    names = {"nats": found.nats, "bits": found.bits}
    numbers = {name: {"mean": e.mean, "standard_error": e.se} for name, e in names.items()}
    facts = {"width": found.width, "samples": found.samples, "examples": found.examples, "first": first}
    write_json(path, facts | numbers)
    return path
