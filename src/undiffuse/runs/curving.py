"""The curve of mean squared errors, as `undiffuse evaluate --best` measured it: curve.json in a run."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from undiffuse.bounds import Curve
from undiffuse.runs.noted import note, noted
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

FILE = "curve.json"
NUMBERS = [0.0]
LIKE = {"examples": 0, "seed": 0, "times": NUMBERS, "logsnr": NUMBERS, "mse": NUMBERS, "se": NUMBERS}


def curve_noted(run: "Run", raw: Tensor, seed: int = 0, *, track: Track = SILENT) -> Curve:
    """The run's curve by these raw training examples: as it was noted for its weights, or measured and noted.

    In x_0's units, summed over an example's values. Raises ValueError as `Run.curve` does.
    """
    head = {"examples": len(raw), "seed": seed, "times": run.curve_times().tolist()}
    found = noted(run, FILE, LIKE)
    if found is not None and all(found[name] == value for name, value in head.items()):
        lengths = {len(found[name]) for name in ("times", "logsnr", "mse", "se")}
        if len(lengths) == 1 and min(found["se"]) >= 0:
            return _curve(found, dims(run.shape))
    curve = run.curve(raw, seed, track=track)
    values = {name: getattr(curve, name).tolist() for name in ("logsnr", "mse", "se")}
    note(run, FILE, {**head, **values})
    return curve


def _curve(found: dict[str, Any], size: int) -> Curve:
    times, logsnr, mse, se = (
        torch.tensor(found[name], dtype=torch.float64) for name in ("times", "logsnr", "mse", "se")
    )
    return Curve(check_grid(times), logsnr, mse, se, size)
