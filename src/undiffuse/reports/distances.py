"""Distances of a run's samples from its test data, in the features of any extractor, beside a yardstick.

The yardstick is as many training examples in the place of the samples: what perfect samples would have, since
all of these measures depend on how many examples there are. Levels become numbers in [0, 1], and so do
continuous images, from the darkest to the brightest value of the data; other continuous data stay as they
are.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse.data import Splits, ends
from undiffuse.estimate import Estimate
from undiffuse.files import write_json
from undiffuse.metrics import Extractor, Neighbours, extract, frechet, kernel_distance, neighbours
from undiffuse.random import keyed
from undiffuse.recipes.recipe import source_of
from undiffuse.runs.run import Run
from undiffuse.samplers import Sampler
from undiffuse.tensors import cpu_block
from undiffuse.track import SILENT, Track

K = 5  # which neighbour the balls reach to
BATCH = 100  # images drawn and turned into features together


@dataclass(frozen=True, eq=False)
class Contest:
    """Raw `test` data, as many raw training examples as samples, and how raw data reach the extractor."""

    extractor: Extractor
    test: Tensor
    training: Tensor
    ends: tuple[float, float]  # raw values that become 0 and 1
    noisy: bool  # whether the run's samples are levels plus uniform noise

    def unit(self, raw: Tensor) -> Tensor:
        """Raw data as floats for the extractor."""
        low, high = self.ends
        return ((raw.double() - low) / (high - low)).float()

    def unit_samples(self, raw: Tensor) -> Tensor:
        """The run's raw samples likewise; of noisy levels those that data would have had."""
        return self.unit(raw.floor().clamp(*self.ends)) if self.noisy else self.unit(raw)


@dataclass(frozen=True)
class Distances:
    """How far so many examples are from the test data."""

    examples: int
    frechet: Estimate
    kernel: Estimate
    neighbours: Neighbours

    def rows(self, names: tuple[str, str]) -> list[tuple[str, str]]:
        """Name and value of each; `names` are those of the Fréchet and the kernel distance."""
        shares = [(name, f"{share:.4f}") for name, share in asdict(self.neighbours).items()]
        gaussians = f"{self.frechet.mean:.5g} +- {self.frechet.se:.2g}"
        kernel = f"{self.kernel.mean:.3g} +- {self.kernel.se:.1g}"
        return [(names[0], gaussians), (names[1], kernel), *shares]


@dataclass(frozen=True)
class Comparison:
    """`names` of the Fréchet and the kernel distance; those of samples, and of training data for them."""

    names: tuple[str, str]
    title: str
    test: int
    samples: Distances
    training: Distances

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, value for samples, value for training data: a line of a table each."""
        for ours, theirs in zip(self.samples.rows(self.names), self.training.rows(self.names), strict=True):
            yield *ours, theirs[1]


def contest(run: Run, extractor: Extractor, count: int, seed: int = 0) -> Contest:
    """What `count` samples of the run are compared with.

    Raises ValueError for fewer than K + 1 samples or examples, or data that the extractor is not for.
    """
    splits: Splits = source_of(run.recipe).load()
    extractor.check(splits.shape)
    sizes = {"samples": count, "training examples": len(splits.train), "test examples": len(splits.test)}
    for name, size in sizes.items():
        if size <= K:
            raise ValueError(f"{size} {name}: distances need at least {K + 1}, better thousands")
    order = torch.randperm(len(splits.train), generator=keyed(seed, "distances", "training"))
    return Contest(
        extractor, splits.test[:], splits.train[order[:count]], _ends(splits), run.recipe["dequantize"]
    )


def distances_of(
    run: Run,
    fixed: Contest,
    count: int,
    seed: int = 0,
    *,
    steps: int | None = None,
    sampler: Sampler | None = None,
    track: Track = SILENT,
) -> Comparison:
    """The distances of `count` samples on a chain thinned to `steps`, and of the training data.

    Only features are kept of the samples. The track has stages `sample` and `compare`.
    """
    (sampler or run.sampler).check(run.model)
    raw = drawn(run, count, seed, steps, sampler, track.stage("sample"))
    samples = extract(fixed.extractor, (fixed.unit_samples(x) for x in raw))
    comparing = track.stage("compare").split(2, 2, 1, 1)
    test, training = (
        extract(fixed.extractor, unit_batches(fixed, x, part))
        for x, part in zip((fixed.test, fixed.training), comparing, strict=False)
    )
    pairs = zip((samples, training), comparing[2:], strict=True)
    found = [_compare(x, test, seed, part) for x, part in pairs]
    return Comparison(fixed.extractor.distances, fixed.extractor.title, len(test), *found)


def save_distances(found: Comparison, folder: Path, drawn: str, **facts: object) -> Path:
    """distances-EXTRACTOR-DRAWN.json in the folder (`drawn_of` has DRAWN); `facts` are written too."""
    path = folder / f"distances-{found.title.partition(' ')[0].lower()}-{drawn}.json"
    head = {"features": found.title, "frechet": found.names[0], "kernel": found.names[1], "k": K}
    both = {name: asdict(each) for name, each in (("samples", found.samples), ("training", found.training))}
    write_json(path, {**head, "test_examples": found.test, **facts, **both})
    return path


def drawn(
    run: Run,
    count: int,
    seed: int,
    steps: int | str | None = None,
    sampler: Sampler | None = None,
    track: Track = SILENT,
) -> Iterator[Tensor]:
    """Raw samples, batch by batch."""
    size = max(BATCH, cpu_block(run.shape))
    how: dict[str, Any] = {"steps": steps, "sampler": sampler, "block": size}
    for first, inner in track.over(range(0, count, size * run.processes.size)):
        number = min(size * run.processes.size, count - first)
        yield run.in_tensors.sample(number, seed, first=first, track=inner, **how)


def unit_batches(fixed: Contest, raw: Tensor, track: Track) -> Iterator[Tensor]:
    """Raw data as floats for the extractor, batch by batch."""
    for rows in track.each(torch.split(raw, BATCH)):
        yield fixed.unit(rows)


def _compare(features: Tensor, test: Tensor, seed: int, track: Track) -> Distances:
    gaussians = frechet(features, test)
    track.at(1, 3)
    kernel = kernel_distance(features, test, generator=keyed(seed, "distances", "subsets"))
    track.at(2, 3)
    near = neighbours(features, test, K)
    track.at(1)
    return Distances(len(features), gaussians, kernel, near)


def _ends(splits: Splits) -> tuple[float, float]:
    """Raw values that become 0 and 1."""
    if splits.levels is not None:
        return 0.0, float(splits.levels - 1)
    if len(splits.shape) != 3:
        return 0.0, 1.0
    low, high = ends(splits.train)
    return low, max(high, low + 1e-12)
