"""Whether what a run is given can be meant: examples of its shape, with the noise that its data have."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from undiffuse.data import bare, check_width

if TYPE_CHECKING:
    from undiffuse.recipes.run import Run


def check_range(n: int, first: int) -> None:
    """Raise ValueError unless there are samples first .. first + n - 1."""
    if n < 1:
        raise ValueError(f"n={n}: draw at least one sample")
    if first < 0:
        raise ValueError(f"first={first}: samples are numbered from 0")


def check(run: "Run", raw: Tensor) -> None:
    """Raise ValueError unless raw (B, *shape) has examples of the run's shape."""
    if tuple(raw.shape[1:]) != run.shape:
        raise ValueError(f"examples of shape {tuple(raw.shape[1:])}: this run has {run.shape}")


def check_density(run: "Run", raw: Tensor) -> None:
    """Raise ValueError unless a density at these raw examples means what the run's data say it does.

    Where noise makes steps continuous, the density at a step itself bounds nothing: it may be higher than the
    average over the noise.
    """
    check(run, raw)
    source = run.recipe["data"]
    if run.recipe["dequantize"] and bare(raw, torch.ones(())):
        raise ValueError(
            "raw: without its noise; this run is of levels with noise (dequantize=true): give it raw + u, "
            "with u uniform in [0, 1)"
        )
    spacing = None if source is None else source.arguments.get("spacing")
    if spacing is not None and bare(raw, check_width(spacing)):
        raise ValueError(
            f"raw: without its noise; this run is of steps with noise (data.spacing={spacing}): give it "
            "raw + spacing * (u - 1/2), with u uniform in [0, 1)"
        )
