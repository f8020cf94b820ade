"""A calibration as files: its numbers, and one figure."""

from collections.abc import Iterable
from pathlib import Path

from undiffuse import plots
from undiffuse.diffusion import Calibration
from undiffuse.estimate import Estimate
from undiffuse.files import write_json
from undiffuse.plots.calibration import Points


def save_calibration(found: Calibration, folder: Path, name: str) -> list[Path]:
    """calibration-NAME.json and calibration-NAME.png in the folder; no figure of too few symbols."""
    numbers, figure = (folder / f"calibration-{name}.{kind}" for kind in ("json", "png"))
    write_json(numbers, found.summary())
    own, symbols = found.numbers, found.symbols
    reliable = symbols is not None and symbols.reliability
    if own is None and not reliable:
        return [numbers]
    plots.save_calibration(
        figure,
        found.task,
        coverage=None
        if own is None
        else {"intervals": _points(own.coverage.items()), "ties by chance": _points(own.fair.items())},
        ranks=None if own is None else ([each.mean for each in own.ranks], [each.se for each in own.ranks]),
        reliability=_points(reliable) if reliable else None,
    )
    return [numbers, figure]


def _points(pairs: Iterable[tuple[float, Estimate]]) -> Points:
    """Shares, what was found for them, and its errors."""
    shares, found = zip(*pairs, strict=True)
    return list(shares), [each.mean for each in found], [each.se for each in found]
