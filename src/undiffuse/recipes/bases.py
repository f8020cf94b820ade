"""The densities in closed form that a run begins at and is compared with: fitted once, kept in its folder.

bases.safetensors has the tensors of each, `name/tensor`; run.json says of what kind each is, and which of
them, if any, the model begins at. Their coordinates are x_0's.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from undiffuse import tensorfile
from undiffuse.bases import Base, base_from, fit, tensors_of
from undiffuse.bases.fitting import fit_frequencies, fit_numbers
from undiffuse.bases.saved import KINDS
from undiffuse.data import Examples, Space, Splits, sample_of
from undiffuse.enclosure import names
from undiffuse.files import discard, read_bytes
from undiffuse.kernels import Kernel
from undiffuse.random import Generator, Streams, uniform
from undiffuse.tensors import dims

FILE = "bases.safetensors"
CHUNK = 2**20  # values encoded at a time
COUNTED, MEASURED = 2**25, 2**23  # values that frequencies and normal densities are fitted to, at most
READ = 2**22  # and of examples that have to be read
TABLE = 2**22  # entries of a table of frequencies
MODEL, INDEPENDENT, NORMAL = "model", "independent", "normal"
Bases = dict[str, Base]


def fit_bases(kind: str, splits: Splits, space: Space, kernel: Kernel, seed: int) -> Bases:
    """What the data are compared with, and under `MODEL` what the model begins at unless `kind` is none."""
    found: Bases = {}
    levels, shape = splits.levels, splits.shape
    if levels is not None and levels * dims(shape) <= TABLE:
        counted = _sample(splits.train, COUNTED)
        found[INDEPENDENT] = fit_frequencies(torch.split(counted, CHUNK // dims(shape) + 1), levels)
    if kernel.symbols is not None:
        return found | ({MODEL: found[INDEPENDENT]} if kind != "none" else {})
    raw = _sample(splits.train, MEASURED)
    if len(raw) < 2:
        return found
    half = None if levels is None else 1 / (levels - 1)
    found[NORMAL] = fit_numbers(_encoded(raw, space, half), seed, mixture=False)
    if kind != "none":
        found[MODEL] = fit(_encoded(raw, space), kernel, seed, mixture=kind != "gaussian")
    return found


def _sample(examples: Examples, most: int) -> Tensor:
    """All of them, or as many at even distances as have so many values."""
    return sample_of(examples, most if isinstance(examples, Tensor) else min(most, READ))


def _encoded(raw: Tensor, space: Space, half: float | None = None) -> Iterator[Tensor]:
    """x_0 of raw examples, part by part; with uniform noise of this half width, if any."""
    for number, part in enumerate(torch.split(raw, CHUNK // dims(tuple(raw.shape[1:])) + 1)):
        x_0 = space.encode(part)
        if half is not None:
            noise = uniform(tuple(x_0.shape), Streams("bases", number, rows=range(len(x_0))))
            x_0 = x_0 + half * (2 * noise - 1)
        yield x_0


def save_bases(folder: Path, bases: Bases) -> dict[str, Any]:
    """Write the file, if there are any; returns what run.json has to know of it."""
    if not bases:
        return {"kinds": {}, "sha256": ""}
    tensors = {f"{name}/{key}": t for name, base in bases.items() for key, t in tensors_of(base).items()}
    discard(folder / FILE)  # of a start that was interrupted
    digest = tensorfile.write(folder / FILE, tensors)
    return {"kinds": {name: _kind(base) for name, base in bases.items()}, "sha256": digest}


def read_bases(folder: Path, facts: Mapping[str, Any]) -> Bases:
    """The bases of a run, every byte as it was written. Raises ValueError for a damaged file."""
    kinds, shape = facts["bases"]["kinds"], tuple(facts["shape"])
    if not kinds:
        return {}
    path = folder / FILE
    if FILE not in names(folder):
        raise ValueError(f"{path}: missing, run.json says that the run has one")
    if hashlib.sha256(read_bytes(path, 2**31)).hexdigest() != facts["bases"]["sha256"]:
        raise ValueError(f"{path}: damaged, its SHA-256 is not that in run.json")
    tensors = tensorfile.read(path)
    found = {}
    for name, kind in kinds.items():
        own = {key.partition("/")[2]: t for key, t in tensors.items() if key.partition("/")[0] == name}
        try:
            found[name] = base_from(kind, own, shape)
        except ValueError as error:
            raise ValueError(f"{path}: damaged, {error}") from error
    return found


def _kind(base: Base) -> str:
    return next(name for name, kind in KINDS.items() if type(base) is kind)


class Simple:
    """What models in closed form make of examples, by name; in nats, of raw levels or of x_0."""

    def __init__(self, bases: Bases, levels: int | None, symbols: bool) -> None:
        self.levels, self.symbols = levels, symbols
        self.bases = {name: base for name, base in bases.items() if name != MODEL}
        model = bases.get(MODEL)
        if model is not None and _kind(model) == "mixture":
            self.bases["mixture"] = model
        self.names = [*(["uniform"] if levels is not None else []), *self.bases]

    def __call__(self, x_0: Tensor, generator: Generator) -> Tensor:
        """-log p of x_0 (B, *shape), (B, names); by densities of levels with noise as wide as a level."""
        found = []
        if self.levels is not None:
            found.append(torch.full((len(x_0),), x_0[0].numel() * math.log(self.levels)).double())
        for name, base in self.bases.items():
            found.append(-self._log_prob(name, base, x_0.cpu().double(), generator))
        return torch.stack(found, 1) if found else torch.zeros(len(x_0), 0).double()

    def _log_prob(self, name: str, base: Base, x_0: Tensor, generator: Generator) -> Tensor:
        if self.levels is None or self.symbols:
            return base.log_prob(x_0)
        half = 1 / (self.levels - 1)
        if name == INDEPENDENT:
            return base.log_prob(((x_0 + 1) / (2 * half)).round())
        noise = uniform(tuple(x_0.shape), generator, torch.float64)
        return base.log_prob(x_0 + half * (2 * noise - 1)) + x_0[0].numel() * math.log(2 * half)
