"""What was measured of a run's weights, noted in its folder: a JSON file with their key."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undiffuse.enclosure import LinkError, names
from undiffuse.files import write_json
from undiffuse.jsonfile import read_json
from undiffuse.runs.jobs import allowed, weights_of

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

LOG = logging.getLogger(__name__)


def noted(run: "Run", file: str, like: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the file says of these weights, which looks `like` that; None if there is none, or damaged."""
    if file not in names(run.folder):
        return None
    try:
        found: dict[str, Any] = read_json(run.folder / file, {"key": "", **like})
    except LinkError:
        raise
    except (OSError, ValueError) as error:
        LOG.warning("%s", error)
        return None
    return found if found["key"] == weights_of(run) else None


def note(run: "Run", file: str, found: Mapping[str, Any]) -> None:
    """Write it into the run's folder, if that may be written to."""
    with allowed():
        note_in(run, run.folder, file, found)


def note_in(run: "Run", folder: Path, file: str, found: Mapping[str, Any]) -> Path:
    """Write it into a folder, and say where."""
    write_json(folder / file, {"key": weights_of(run), **found})
    return folder / file
