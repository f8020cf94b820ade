"""Samples as files: pictures where they have one, arrays always."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from undiffuse import plots
from undiffuse.data import CellSpace
from undiffuse.data.frame import frame_of
from undiffuse.diffusion.diffusion import Diffusion
from undiffuse.files import atomic
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from pandas import DataFrame

FRAMES = 60  # in an animation, however long the chain
STAGES = (0.75, 0.5, 0.25)  # times shown between start and end


def save_picture(run: Diffusion, raw: Tensor, stem: Path) -> Path | None:
    """A grid of images, a row for each sequence of bits, or a scatter of points, as stem.png; else None."""
    path = stem.with_name(f"{stem.name}.png")
    if not has_picture(run):
        return None
    if run.shape == (2,):
        plots.save_points(raw, path)
    else:
        plots.save_grid(to_images(run, raw), path)
    return path


def save_npy(raw: Tensor, path: Path) -> Path:
    """Raw samples as .npy, in their own type."""
    with atomic(path) as handle:
        np.save(handle, raw.numpy(), allow_pickle=False)
    return path


def save_table(run: Diffusion, raw: Tensor, path: Path) -> Path:
    """Rows of a table as .csv or .parquet, with the columns' names and spellings."""
    assert isinstance(run.space, CellSpace)
    return save_frame(frame_of(raw, run.space.columns), path)


def save_frame(frame: "DataFrame", path: Path) -> Path:
    """A DataFrame as .csv or .parquet, without its index."""
    with atomic(path) as handle:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(handle, index=False)
        else:
            handle.write(frame.to_csv(index=False).encode())
    return path


def save_animation(
    run: Diffusion,
    states: Iterator[tuple[float, Tensor]],
    total: int,
    path: Path,
) -> Path:
    """A film of raw states on their way from noise, `total` of them thinned to about 60 frames.

    The path's ending, .gif, .png or .mp4, decides its format. Raises ValueError for data without a picture.
    """
    kept = _every(states, max(1, total // FRAMES))
    if not has_picture(run):
        raise ValueError(f"samples of shape {run.shape} cannot be animated")
    if run.shape == (2,):
        plots.save_scatter_film(kept, path)
    else:
        plots.save_film((to_images(run, x) for _, x in kept), path)
    return path


def save_forming(
    run: Diffusion,
    n: int,
    seed: int,
    *,
    film: Path | None,
    stages: Path | None,
    track: Track = SILENT,
    **how: Any,
) -> Tensor:
    """n raw samples, and of the same walk a film of how they form, a picture of some stages, or both.

    `how` is as for `Diffusion.trajectory`.
    """
    (grid, _), seen = run.walked(how["steps"], how["sampler"]), dict[float, Tensor]()
    wanted = stage_times(grid)

    def decoded() -> Iterator[tuple[float, Tensor]]:
        for t, x in run.trajectory(n, seed, **how):
            raw = run.space.decode(x)
            if t in wanted:
                seen[t] = raw
            yield t, raw

    states = track.each(decoded(), len(grid) + 1)
    if film is not None:
        save_animation(run, states, len(grid) + 1, film)
    else:
        deque(states, maxlen=0)
    if stages is not None:
        save_rows(run, [(stage_name(t), raw) for t, raw in seen.items()], stages)
    return seen[0.0]


def shared_rows(
    run: Diffusion, n: int, times: Sequence[float], states: int, seed: int, track: Track = SILENT, **how: Any
) -> list[tuple[str, Tensor]]:
    """n raw samples of every shared state at every time, a row each (`sample_shared`)."""
    drawn = [
        run.in_tensors.sample_shared(n, t, states, seed, track=part, **how) for t, part in track.over(times)
    ]
    by_state = zip(*drawn, strict=True)
    return [(f"t = {t:g}", raw) for row in by_state for t, raw in zip(times, row, strict=True)]


def save_rows(
    run: Diffusion, rows: Sequence[tuple[str, Tensor]], path: Path, columns: int | None = None
) -> Path:
    """Batches of raw examples, one labelled row each; points of the plane in one scatter.

    `columns` examples a row, by default no more than 12. Raises ValueError for data that have no picture.
    """
    if not has_picture(run):
        raise ValueError(f"samples of shape {run.shape} are no pictures")
    if run.shape == (2,):
        plots.save_points(torch.cat([raw for _, raw in rows]), path)
    else:
        plots.save_stages([(label, to_images(run, raw)) for label, raw in rows], path, columns)
    return path


def stage_times(grid: Tensor) -> set[float]:
    """Start, end, and the times of the grid nearest to `STAGES`."""
    return {float(grid[(grid - t).abs().argmin()]) for t in STAGES} | {1.0, 0.0}


def stage_name(t: float) -> str:
    """The label of a stage."""
    return {1.0: "start", 0.0: "end"}.get(t, f"t = {t:.2g}")


def has_picture(run: Diffusion) -> bool:
    """Whether the run's examples can be drawn: points, images, sequences of bits."""
    if isinstance(run.space, CellSpace):
        return False
    return run.shape == (2,) or len(run.shape) == 3 or (len(run.shape) == 1 and run.levels == 2)


def to_bytes(run: Diffusion, raw: Tensor) -> Tensor:
    """Raw data as bytes, from the run's black to its white."""
    black, white = run.shades
    return ((raw.double() - black) * (255 / (white - black))).round().clamp(0, 255).to(torch.uint8)


def to_images(run: Diffusion, raw: Tensor) -> Tensor:
    """Raw images as bytes (N, C, H, W); sequences (N, D) as the rows of one picture."""
    grey = to_bytes(run, raw)
    return grey if grey.ndim == 4 else grey[None, None]


def _every(states: Iterator[tuple[float, Tensor]], stride: int) -> Iterator[tuple[float, Tensor]]:
    """Every so many states, and the last."""
    for i, state in enumerate(states):
        if i % stride == 0 or state[0] == 0:
            yield state
