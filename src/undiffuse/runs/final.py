"""What a finished training leaves to be looked at: samples, and examples beside them."""

from pathlib import Path

import torch
from torch import Tensor

from undiffuse import plots
from undiffuse.data import Splits
from undiffuse.diffusion.output import has_picture, save_npy, save_rows
from undiffuse.runs.run import Run

SHOWN, POINTS = 24, 500  # pictures, and points or rows of a table
NAME = "samples"


def count(run: Run, splits: Splits) -> int:
    """How many samples are drawn, of as many examples."""
    most = SHOWN if len(run.shape) == 3 or (has_picture(run) and run.shape != (2,)) else POINTS
    return min(most, len(splits.test) + len(splits.train))


def save_final(run: Run, drawn: Tensor, splits: Splits) -> list[Path]:
    """samples.npy, and samples.png of what can be drawn: pictures, sequences of bits, points, columns."""
    stem = run.folder / NAME
    files = [save_npy(drawn, stem.with_suffix(".npy"))]
    real, path = splits.test[: len(drawn)], stem.with_suffix(".png")
    if len(real) < len(drawn):
        real = torch.cat([real, splits.train[: len(drawn) - len(real)]])
    if has_picture(run):
        files.append(save_rows(run, [("samples", drawn), ("data", real)], path))
    elif len(run.shape) == 1:
        names = splits.names or tuple(f"column {number}" for number in range(run.shape[0]))
        plots.save_columns(names, real, drawn, path)
        files.append(path)
    return files
