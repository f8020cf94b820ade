"""What files of a run are coded on, found once for its weights and kept in its folder: plan-METHOD.json.

The chains are fitted to training examples and weighed on test examples, so that what a file is expected to
take is that of new data; which of them a file is coded on is written into it. A plan of other weights, or one
that cannot be read, is found again.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undiffuse import codec
from undiffuse.data import CellSpace, Examples
from undiffuse.data.rows import sample_of
from undiffuse.diffusion.coded import LOSSLESS, LOSSY
from undiffuse.files import WriteError, write_text
from undiffuse.jsonfile import read_json
from undiffuse.random import digest
from undiffuse.recipes.recipe import load_data
from undiffuse.runs.jobs import weights_of
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

FORMAT = 1  # of the file
LOOKED = 2**20  # values of a table's rows that a plan may be of


@dataclass(frozen=True)
class Chosen:
    """A way of coding some examples: its trade, and what of it is taken."""

    method: str
    trade: codec.Trade
    option: codec.Option
    count: int  # of examples

    @property
    def size(self) -> float:
        """Bytes expected of the file; of a chain that nobody has weighed, infinitely many."""
        size = self.trade.size(self.option, self.count)
        return math.inf if math.isnan(size) else size


def ways(run: "Run", method: str | None, lossy: bool, steps: int | None) -> list[str]:
    """The methods that may be the smallest: the one that is named, or those of either kind that fit the run.

    Raises ValueError for a run that cannot be coded so.
    """
    first, *more = [method] if method else LOSSY if lossy else LOSSLESS
    codec.prepared(run.model, first)
    run.thinned(steps)
    wide = steps is None or steps <= codec.MANY  # beyond, no widths are planned that universal steps need
    return [first, *(each for each in more if wide and _fits(run, each))]


class Planner:
    """Finds the plans of a run, or the examples' own where the run's data are not at hand."""

    def __init__(self, run: "Run", raw: Examples, methods: Sequence[str], steps: int | None) -> None:
        self.run, self.raw, self.steps, self.missing = run, raw, steps, ""
        self.found = {name: _stored(run, name, steps) for name in methods}
        self.data: tuple[Examples, Examples | None] | None = None
        if all(self.found.values()):
            return
        if run.denoiser.examples is not None:
            self.data, self.missing = (raw, None), "training examples are given something else than these"
        else:
            try:
                splits = load_data(run.recipe)
                run.check(splits.train[:1])
                self.data = _whole(run, splits.train), _whole(run, splits.test)
            except (OSError, ValueError, ImportError) as error:
                self.data, self.missing = (_whole(run, raw), None), str(error)

    def choose(self, track: Track = SILENT) -> list[Chosen]:
        """What to code the examples on by each method, the smallest file first."""
        for name, part in track.over(self._unknown()):
            assert self.data is not None
            fit, new = self.data
            found = codec.choose(
                self.run.model, fit, new=new, method=name, grid=self.run.grid, steps=self.steps, track=part
            )
            self.found[name] = found
            if not self.missing:
                _store(self.run, name, self.steps, found)
        known = {name: trade for name, trade in self.found.items() if trade is not None}
        return sorted((self._chosen(*each) for each in known.items()), key=lambda each: each.size)

    def _unknown(self) -> list[str]:
        return [name for name, trade in self.found.items() if trade is None]

    def _chosen(self, name: str, trade: codec.Trade) -> Chosen:
        return Chosen(name, trade, trade.best(len(self.raw), self.steps), len(self.raw))


def _whole(run: "Run", raw: Examples) -> Examples:
    """The whole numbers that are coded: of a table's rows those of some, at even distances."""
    return run.space.numbered(sample_of(raw, LOOKED)) if isinstance(run.space, CellSpace) else raw


def _fits(run: "Run", method: str) -> bool:
    try:
        codec.prepared(run.model, method)
    except ValueError:
        return False
    return True


def _path(run: "Run", method: str) -> Path:
    return run.folder / f"plan-{method}.json"


def _key(run: "Run", method: str, steps: int | None) -> str:
    looked = codec.candidates(method, run.grid, steps)
    return f"{digest(FORMAT, weights_of(run), method, looked, len(run.grid)):032x}"


def _store(run: "Run", method: str, steps: int | None, trade: codec.Trade) -> None:
    """Keep it, where the folder can be written to."""
    options = [
        {
            "places": each.plan.places,
            "codes": [bytes(row).hex() for row in each.plan.codes],
            **{name: getattr(each, name) for name in ("bits", "se", "beside")},
        }
        for each in trade.options
    ]
    facts = {"coder": trade.coder, "shape": trade.shape, "levels": trade.levels, "base": trade.base}
    facts |= {"key": _key(run, method, steps), "held": trade.held}
    try:
        write_text(_path(run, method), json.dumps(facts | {"options": options}) + "\n")
    except WriteError:
        return  # a run that cannot be written to: it is found again next time


def _stored(run: "Run", method: str, steps: int | None) -> codec.Trade | None:
    """The plan in the folder; None if there is none of these weights, or it is damaged."""
    try:
        facts = read_json(_path(run, method), {"key": ""})
        return _read(facts, run) if facts["key"] == _key(run, method, steps) else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError):
        return None


def _read(facts: dict[str, Any], run: "Run") -> codec.Trade:
    """Raises what is wrong."""
    coder, levels, base, held = (int(facts[name]) for name in ("coder", "levels", "base", "held"))
    options = tuple(_option(each, base) for each in facts["options"])
    trade = codec.Trade(coder, tuple(facts["shape"]), levels, base, held, options)
    if trade.shape != run.shape or trade.base != len(run.grid) or not options:
        raise ValueError("a plan of another run")
    return trade


def _option(each: dict[str, Any], base: int) -> codec.Option:
    places = tuple(int(place) for place in each["places"])
    codes = tuple(tuple(bytes.fromhex(row)) for row in each["codes"])
    if list(places) != sorted({*places}) or places[-1] != base - 1 or places[0] < 0:
        raise ValueError("places that are no chain")
    if codes and (len(codes) != len(places) or len({len(row) for row in codes}) > 1):
        raise ValueError("codes that are not of the chain")
    return codec.Option(codec.Plan(base, places, codes), *(float(each[n]) for n in ("bits", "se", "beside")))
