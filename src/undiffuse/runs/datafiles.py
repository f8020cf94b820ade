"""Whether a run's data are those it began with: run.json has the hash of their values and of their files.

run/  data.json     name, size and sample hash of every file
      skipped.txt   pictures that could not be read, one a line, with data.skip_bad
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from undiffuse.data import Fingerprint, Source, Splits, changes, fingerprint_of, summary
from undiffuse.enclosure import LinkError
from undiffuse.files import read_bytes, write_json, write_text
from undiffuse.jsonfile import read_json
from undiffuse.recipes.recipe import Recipe, load_data, source_of
from undiffuse.runs.facts import content

LIST = "data.json"
LARGEST = 2**28  # bytes of a list of files


def files_of(source: Source) -> Fingerprint:
    """The fingerprint of a source's files; empty if it has none."""
    return fingerprint_of(source.files(), source.root)


def save_files(folder: Path, files: Fingerprint) -> None:
    """data.json, if the data are files."""
    if files:
        write_json(folder / LIST, files)


def load_same(
    folder: Path, plan: Recipe, facts: dict[str, Any], other: bool
) -> tuple[Splits, Fingerprint, str]:
    """The data of a run that goes on, their files, and how they changed ("": not at all).

    Raises ValueError, saying how, if they changed, unless `other` data are allowed and as many, of the same
    shape and levels.
    """
    splits, files = load_data(plan), files_of(source_of(plan))
    what = difference(folder, facts, splits, files)
    if what and not other:
        raise ValueError(f"{_changed(folder)}: {what}; restore them, or accept that: --allow-data-change")
    return splits, files, what


def difference(folder: Path, facts: Mapping[str, Any], splits: Splits, files: Fingerprint) -> str:
    """How the data differ from those of run.json: by which files, or in some values; "" if in nothing.

    Raises ValueError if there are other numbers of them, or of another shape or levels: no run goes on with
    these, since how many there are decides which of them are for testing.
    """
    now = content(splits, files)
    named = summary(changes(_listed(folder), files)) if facts.get("files") != now["files"] else ""
    _check_kind(folder, facts, splits, named)
    if facts.get("files") != now["files"]:
        return named or f"{LIST} does not say which files"
    return "" if facts.get("sha256") == now["sha256"] else "some of their values differ"


def accept(folder: Path, facts: Mapping[str, Any], files: Fingerprint) -> None:
    """run.json and data.json of the changed data, so that the next resume finds them unchanged."""
    save_files(folder, files)
    write_json(folder / "run.json", facts)


def save_skipped(folder: Path, skipped: Mapping[str, str]) -> int:
    """skipped.txt: what it had, and what was skipped since; returns how many were."""
    path = folder / "skipped.txt"
    try:
        before = read_bytes(path, LARGEST).decode(errors="replace").splitlines()
    except FileNotFoundError:
        before = []
    write_text(path, "".join(f"{line}\n" for line in sorted({*before, *skipped.values()})))
    return len(skipped)


def _listed(folder: Path) -> Fingerprint:
    """What data.json lists; nothing if it cannot be read."""
    try:
        found = read_json(folder / LIST, {}, LARGEST)
    except LinkError:
        raise
    except (OSError, ValueError):
        return {}
    return {str(name): str(entry) for name, entry in found.items()}


def _check_kind(folder: Path, facts: Mapping[str, Any], splits: Splits, named: str) -> None:
    """Raise ValueError unless numbers, shape and levels are those of run.json."""
    examples = {"train": len(splits.train), "test": len(splits.test)}
    then = (facts["examples"], tuple(facts["shape"]), facts["levels"])
    now = (examples, splits.shape, splits.levels)
    if then != now:
        words = "{0[train]:,} + {0[test]:,} examples of shape {1}, levels {2}"
        files = f" ({named})" if named else ""
        raise ValueError(
            f"{_changed(folder)}: {words.format(*now)}, not {words.format(*then)}{files}; restore them, or "
            "start a new run"
        )


def _changed(folder: Path) -> str:
    return f"{folder}: the data are no longer those the run began with"
