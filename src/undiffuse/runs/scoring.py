"""How probable each of some examples is, beside examples that were held out.

An example's bits are an average of `LOOKS` unbiased estimates with noise of their own, whose scatter is
the standard error. The percentile is the share of the held-out examples that take no more bits: of examples
like these it is uniform, and one near 100 is unlike them. Likelihood alone misleads: an example may be
unlike all others and simple, which takes few bits.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse.diffusion import Diffusion
from undiffuse.files import WriteError, is_read_only, write_text
from undiffuse.jsonfile import read_json
from undiffuse.random import digest
from undiffuse.recipes import load_data
from undiffuse.runs.jobs import weights_of
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

LOG = logging.getLogger(__name__)
LOOKS = 4  # estimates of each example
HELD = 1000  # held-out examples that are compared with, at most
SHOWN = 10  # examples in a summary
FILE = "held-out.json"
COLUMNS = ("name", "bits_per_dim", "standard_error", "percentile")
LIKE = {"key": "", "bits": [0.0]}


@dataclass(frozen=True, eq=False)
class Scores:
    """Of each example: `bits` per dimension, their standard error `se`, and the `percentile`, (N,), float64.

    The percentile is that among `held_out` examples, NaN if there are none.
    """

    bits: Tensor
    se: Tensor
    percentile: Tensor
    held_out: int

    def rows(self, names: tuple[str, ...] | None = None) -> list[tuple[str, float, float, float]]:
        """(name, bits/dim, standard error, percentile) of each example."""
        called = names or tuple(map(str, range(len(self.bits))))
        numbers = (self.bits.tolist(), self.se.tolist(), self.percentile.tolist())
        return list(zip(called, *numbers, strict=True))

    def frame(self, names: tuple[str, ...] | None = None) -> Any:
        """A pandas DataFrame of the same, a row for each example."""
        import pandas

        return pandas.DataFrame(self.rows(names), columns=list(COLUMNS)).set_index(COLUMNS[0])

    def _repr_html_(self) -> str:
        highest = sorted(self.rows(), key=lambda row: -row[1])[:SHOWN]
        cells = "".join(f"<tr><td>{n}<td>{b:.4f}<td>{s:.4f}<td>{p:.1f}" for n, b, s, p in highest)
        head = "".join(f"<th>{name.replace('_', ' ')}" for name in COLUMNS)
        return f"<p>{self}<table><tr>{head}{cells}</table>"

    def __str__(self) -> str:
        return (
            f"{len(self.bits):,} examples, {float(self.bits.mean()):.4f} bits/dim on average, the most "
            f"surprising {float(self.bits.max()):.4f} (percentiles among {self.held_out:,} held-out examples)"
        )


def score(run: "Run", raw: Tensor, seed: int = 0, *, track: Track = SILENT) -> Scores:
    """The scores of raw examples (N, *shape). Raises ValueError as `bits` does."""
    bits, se = estimates(run, raw, seed, track=track)
    held = held_out(run, track=track)
    place = torch.searchsorted(held, bits, right=True).double() / max(1, len(held))
    percentile = 100 * place if len(held) else torch.full_like(bits, torch.nan)
    return Scores(bits, se, percentile, len(held))


def estimates(run: Diffusion, raw: Tensor, seed: int, *, track: Track = SILENT) -> tuple[Tensor, Tensor]:
    """Bits per dimension of each example and their standard error, (N,)."""
    terms = None if run.terms is None else max(1, run.terms // LOOKS)
    looks = [
        run.bits(run.with_noise(raw, look), digest(seed, "score", look) % 2**62, terms=terms, track=part)
        for look, part in track.over(range(LOOKS))
    ]
    found = torch.stack(looks).double()
    return found.mean(0), found.std(0) / LOOKS**0.5


def held_out(run: "Run", *, track: Track = SILENT) -> Tensor:
    """Bits of examples that the run was not trained on, increasing; found once for its weights.

    None of them where the run's data are not at hand.
    """
    key = f"{digest(weights_of(run), str(run.terms), LOOKS):032x}"
    path = run.folder / FILE
    try:
        found = read_json(path, LIKE)
        if found["key"] == key:
            LOG.info("held-out examples: their bits are those in %s", path)
            return torch.tensor(found["bits"], dtype=torch.float64)
    except (OSError, ValueError):
        pass
    try:
        splits = load_data(run.recipe)
    except (OSError, ValueError, ImportError) as error:
        LOG.warning("no percentiles, as the run's data are not at hand: %s", error)
        return torch.zeros(0, dtype=torch.float64)
    raw, given = splits.examples("test", slice(HELD))
    found_now, _ = estimates(run.told(given), raw, 0, track=track.stage("held-out examples, once"))
    bits = found_now.sort().values
    _store(path, {"key": key, "bits": bits.tolist()})
    return bits


def _store(path: Path, found: dict[str, Any]) -> None:
    try:
        write_text(path, json.dumps(found) + "\n")
    except (WriteError, OSError) as error:
        if not is_read_only(error):
            raise
