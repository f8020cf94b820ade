"""What a finished training leaves to be looked at: samples, and examples beside them."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from undiffuse import plots
from undiffuse.conditions import Given, Image
from undiffuse.data import CellSpace, Splits
from undiffuse.diffusion.output import has_picture, save_npy, save_rows, save_table
from undiffuse.runs.run import Run

SHOWN, POINTS = 24, 500  # pictures, and points or rows of a table
NAME = "samples"


def count(run: Run, splits: Splits) -> int:
    """How many samples are drawn, of as many examples."""
    most = SHOWN if len(run.shape) == 3 or (has_picture(run) and run.shape != (2,)) else POINTS
    return min(most, len(splits.test) + (0 if splits.conditions else len(splits.train)))


def save_final(run: Run, drawn: Tensor, splits: Splits, given: Given | None = None) -> list[Path]:
    """samples.npy, of a table .csv, and samples.png of what can be drawn: pictures, bits, points, columns.

    Samples that were given something are beside the examples that it belongs to, and pictures of it.
    """
    stem = run.folder / NAME
    table = isinstance(run.space, CellSpace)
    save = partial(save_table, run, drawn) if table else partial(save_npy, drawn)
    files = [save(stem.with_suffix(".csv" if table else ".npy"))]
    real, path = splits.test[: len(drawn)], stem.with_suffix(".png")
    if len(real) < len(drawn):
        real = torch.cat([real, splits.train[: len(drawn) - len(real)]])
    if has_picture(run):
        files.append(save_rows(run, [*_given(run, given), ("samples", drawn), ("data", real)], path))
    elif len(run.shape) == 1:
        names = splits.names or tuple(f"column {number}" for number in range(run.shape[0]))
        plots.save_columns(names, real, drawn, path, [column.categories for column in splits.cells])
        files.append(path)
    return files


def _given(run: Run, given: Given | None) -> list[tuple[str, Tensor]]:
    """Pictures of what samples were given, in the data's own size, colours and values."""
    rows = []
    for name, kind in run.denoiser.conditions.items():
        if given is None or not isinstance(kind, Image) or kind.shape[0] not in (1, run.shape[0]):
            continue
        value = interpolate(_shaded(run, name, given.values[name]), run.shape[1:], mode="nearest")
        rows.append(
            (name, value.expand(-1, *run.shape).round() if run.levels else value.expand(-1, *run.shape))
        )
    return rows


def _shaded(run: Run, name: str, value: Tensor) -> Tensor:
    """A condition's values in the data's, from their own least to their own largest if they are others'."""
    (black, white), part = run.shades, (run.recipe["condition"] or {}).get(name)
    value = value.nan_to_num(float(value[~value.isnan()].min()) if not bool(value.isnan().all()) else black)
    if part is not None and part.build().of_data:
        return value.clamp(black, white)
    low, high = value.aminmax()
    return black + (value - low) * ((white - black) / float((high - low).clamp(min=1e-12)))
