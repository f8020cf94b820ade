"""The densities in closed form that a run begins at and is compared with: fitted once, kept in its folder.

bases.safetensors has the tensors of each, `name/tensor`; run.json says of what kind each is, and which of
them, if any, the model begins at. Their coordinates are x_0's; levels that are numbers have uniform noise, as
wide as they are, where a density of numbers is meant.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import tensorfile
from undiffuse.bases import Base, ColumnsBase, MixtureBase, base_from, fit_columns, tensors_of
from undiffuse.bases.fitting import fit_frequencies, fit_independent, fit_numbers
from undiffuse.bases.saved import KINDS
from undiffuse.data import CellSpace, Space, Splits, sample_of
from undiffuse.devices import fetched
from undiffuse.enclosure import names
from undiffuse.files import discard, read_bytes
from undiffuse.random import Generator, Streams, uniform
from undiffuse.tensors import dims

FILE = "bases.safetensors"
LARGEST = 2**31  # bytes of it
CHUNK = 2**20  # values encoded at a time
COUNTED, MEASURED = 2**25, 2**23  # values that frequencies and normal densities are fitted to, at most
READ = 2**22  # and of examples that have to be read
TABLE = 2**22  # entries of a table of frequencies that is only to be compared with
INDEPENDENT, NORMAL, MIXTURE, COLUMNS = "independent", "normal", "mixture", "columns"


@dataclass(frozen=True)
class Bases:
    """Densities by name, and the name of that which the model begins at, if any."""

    found: Mapping[str, Base] = field(default_factory=dict)
    begins: str | None = None

    @property
    def model(self) -> Base | None:
        """What the model begins at."""
        return None if self.begins is None else self.found[self.begins]


def fit_bases(kind: str, splits: Splits, space: Space, symbols: bool, seed: int) -> Bases:
    """What the data are compared with, among them that which a model of this kind of base begins at.

    The kinds are those of `Recipe.base_kind`. Of fewer than two examples of numbers there is none.
    """
    found: dict[str, Base] = {}
    if isinstance(space, CellSpace):
        rows = space.encode(_sample(splits, MEASURED))
        found[COLUMNS] = fit_columns(rows, space.counts, space.marginals)
        return Bases(found, COLUMNS)
    levels, begins = splits.levels, None
    if levels is not None and (levels * dims(splits.shape) <= TABLE or (symbols and kind != "none")):
        found[INDEPENDENT] = fit_frequencies(_in_parts(_sample(splits, COUNTED)), levels)
    if symbols:
        return Bases(found, None if kind == "none" else INDEPENDENT)
    raw = _sample(splits, MEASURED)
    if len(raw) < 2:
        return Bases(found)
    x_0 = torch.cat(list(_encoded(raw, space, levels)))
    best = fit_numbers(x_0, seed, mixture=kind == "auto")
    found.setdefault(INDEPENDENT, fit_independent(x_0))
    found[NORMAL] = best.normal if isinstance(best, MixtureBase) else best
    if isinstance(best, MixtureBase):
        found[MIXTURE] = best
    if kind != "none":
        begins = MIXTURE if MIXTURE in found else NORMAL
    return Bases(found, begins)


def _sample(splits: Splits, most: int) -> Tensor:
    """All training examples, or as many at even distances as have so many values.

    If all, then also those that are watched, up to as many again: a base is too plain to learn examples by
    heart, and few rows are worth more to it than to a network.
    """
    examples = splits.train
    found = sample_of(examples, most if isinstance(examples, Tensor) else min(most, READ))
    if splits.watched is None or len(found) < len(examples):
        return found
    return torch.cat([found, sample_of(splits.watched, most)])


def _in_parts(raw: Tensor) -> tuple[Tensor, ...]:
    """The examples, so many at a time that they take little memory as numbers."""
    return torch.split(raw, CHUNK // dims(tuple(raw.shape[1:])) + 1)


def _encoded(raw: Tensor, space: Space, levels: int | None) -> Iterator[Tensor]:
    """x_0 of raw examples, part by part; of levels with their noise."""
    for number, part in enumerate(_in_parts(raw)):
        x_0 = space.encode(part)
        yield x_0 if levels is None else _noisy(x_0, levels, Streams("bases", number, rows=range(len(x_0))))


def _noisy(x_0: Tensor, levels: int, generator: Generator) -> Tensor:
    """Levels in [-1, 1] with uniform noise as wide as one, float64."""
    noise = uniform(tuple(x_0.shape), generator, torch.float64)
    return x_0.double() + (2 * noise - 1) / (levels - 1)


def save_bases(folder: Path, bases: Bases) -> dict[str, Any]:
    """Write the file, if there are any; returns what run.json has to know of it."""
    kinds = {name: _kind(base) for name, base in bases.found.items()}
    if not kinds:
        return {"kinds": kinds, "model": None, "sha256": ""}
    named = {name: tensors_of(base) for name, base in bases.found.items()}
    tensors = {f"{name}/{key}": t for name, own in named.items() for key, t in own.items()}
    discard(folder / FILE)  # of a start that was interrupted
    digest = tensorfile.write(folder / FILE, tensors)
    return {"kinds": kinds, "model": bases.begins, "sha256": digest}


def read_bases(folder: Path, facts: Mapping[str, Any]) -> Bases:
    """The bases of a run, every byte as it was written. Raises ValueError for a damaged file."""
    said, shape, path = facts["bases"], tuple(facts["shape"]), folder / FILE
    kinds, begins = said["kinds"], said["model"]
    if begins is not None and begins not in kinds:
        raise ValueError(f"{folder / 'run.json'}: damaged, the model begins at {begins!r}, which is none")
    if not kinds:
        return Bases()
    if FILE not in names(folder):
        raise ValueError(f"{path}: missing, run.json says that the run has one")
    if hashlib.sha256(read_bytes(path, LARGEST)).hexdigest() != said["sha256"]:
        raise ValueError(f"{path}: damaged, its SHA-256 is not that in run.json")
    tensors = tensorfile.read(path)
    found = {}
    for name, kind in kinds.items():
        own = {key.removeprefix(f"{name}/"): t for key, t in tensors.items() if key.startswith(f"{name}/")}
        try:
            found[name] = base_from(kind, own, shape)
        except ValueError as error:
            raise ValueError(f"{path}: damaged, {error}") from error
    return Bases(found, begins)


def _kind(base: Base) -> str:
    return next(name for name, kind in KINDS.items() if type(base) is kind)


class Simple:
    """What models in closed form make of examples, by name; in nats, of raw levels or of x_0."""

    def __init__(self, bases: Bases, levels: int | None, symbols: bool) -> None:
        self.found, self.levels, self.symbols = bases.found, levels, symbols
        self.names = [*(["uniform"] if levels is not None else []), *bases.found]
        self.columns = bases.found.get(COLUMNS)
        if self.columns is not None:
            self.names = ["columns", "copula"]

    def __call__(self, x_0: Tensor, generator: Generator) -> Tensor:
        """-log p of x_0 (B, *shape), (B, names); by densities of levels with noise as wide as a level."""
        x, size = fetched(x_0), x_0[0].numel()
        if isinstance(self.columns, ColumnsBase):
            alone = self.columns.log_prob(x)
            return -torch.stack([alone, alone + self.columns.log_copula(x, generator)], 1)
        found = [] if self.levels is None else [torch.full((len(x),), size * math.log(self.levels)).double()]
        found += [-self._log_prob(base, x, generator) for base in self.found.values()]
        return torch.stack(found, 1) if found else x.new_zeros(len(x), 0)

    def mean(self, raw: Tensor, space: Space) -> dict[str, float]:
        """-log p of raw examples on average, in nats, by name; part by part."""
        total = torch.zeros(len(self.names), dtype=torch.float64)
        for number, part in enumerate(_in_parts(raw)):
            total += self(space.encode(part), Streams("beside", number, rows=range(len(part)))).sum(0)
        return dict(zip(self.names, (total / len(raw)).tolist(), strict=True))

    def _log_prob(self, base: Base, x_0: Tensor, generator: Generator) -> Tensor:
        if self.levels is None or self.symbols:
            return base.log_prob(x_0)
        if _kind(base) == "frequencies":
            return base.log_prob(((x_0 + 1) * (self.levels - 1) / 2).round())
        width = 2 / (self.levels - 1)
        return base.log_prob(_noisy(x_0, self.levels, generator)) + x_0[0].numel() * math.log(width)
