"""A posterior as files: samples, mean and standard deviation as arrays, as pictures, and side by side."""

from pathlib import Path

import torch
from torch import Tensor

from undiffuse import plots
from undiffuse.diffusion.diffusion import Diffusion
from undiffuse.diffusion.observed import Posterior
from undiffuse.diffusion.output import has_picture, save_npy, save_picture, to_bytes

ROWS, SAMPLES = 8, 6  # examples, and samples of each, on a sheet
LARGE = 96  # pixels across an image on it, about


def save_posterior(
    run: Diffusion, found: Posterior, seen: Tensor, truth: Tensor | None, stem: Path
) -> list[Path]:
    """Write stem.npy, -mean.npy and -std.npy; of images and bits also pictures of them, and stem-sheet.png.

    `seen` is raw, (examples, *any shape), NaN where missing; arrays of one example lack the first axis.
    """
    arrays = {"": found.samples, "-mean": found.mean, "-std": found.std}
    paths = [
        save_npy(raw[0] if len(raw) == 1 else raw, stem.with_name(f"{stem.name}{end}.npy"))
        for end, raw in arrays.items()
    ]
    if not has_picture(run):
        return paths
    paths.append(_picture(run, found.samples.flatten(0, 1), stem))
    if run.shape == (2,):
        return paths
    paths.append(_picture(run, found.mean, stem.with_name(f"{stem.name}-mean")))
    paths.append(stem.with_name(f"{stem.name}-std.png"))
    plots.save_grid(_wide(found.std), paths[-1])
    paths.append(stem.with_name(f"{stem.name}-sheet.png"))
    save_sheet(run, found, seen, truth, paths[-1])
    return paths


def save_sheet(run: Diffusion, found: Posterior, seen: Tensor, truth: Tensor | None, path: Path) -> None:
    """The observation, the truth if known, mean, standard deviation and a few samples, a row an example."""
    columns = [("seen", _seen(run, seen[:ROWS]))]
    columns += [] if truth is None else [("truth", to_bytes(run, truth[:ROWS]))]
    columns += [("mean", to_bytes(run, found.mean[:ROWS]))]
    columns += [("std", _bright(found.std[:ROWS]))]
    few = found.samples[:ROWS, :SAMPLES]
    columns += [(str(i), to_bytes(run, few[:, i])) for i in range(few.shape[1])]
    if len(run.shape) == 1:
        plots.save_stages([(name, images[:, None, None]) for name, images in columns], path, columns=1)
        return
    title = f"{found.method}; std: white is {found.std[:ROWS].max():.3g}"
    scale = max(1, round(LARGE / run.shape[-1]))
    plots.save_received(
        [(name, _enlarged(images, scale)) for name, images in columns], path, title, apart=False
    )


def save_surprising(run: Diffusion, raw: Tensor, bits: Tensor, path: Path, title: str) -> None:
    """Pictures (N, C, H, W), and beside each the `bits` of its pixels, white where they are most of all."""
    scale = max(1, round(LARGE / run.shape[-1]))
    heat = _bright(bits.clamp(min=0).mean(1, keepdim=True)).expand(len(raw), *run.shape)
    columns = [("picture", to_bytes(run, raw)), ("bits", heat)]
    plots.save_received([(name, _enlarged(each, scale)) for name, each in columns], path, title, apart=False)


def _seen(run: Diffusion, raw: Tensor) -> Tensor:
    """Bytes of the run's shape: grey where missing; smaller images enlarged, grey ones in all channels."""
    grey = to_bytes(run, torch.where(raw.isnan(), sum(run.shades) / 2, raw))
    if len(run.shape) == 3:
        for axis in (-2, -1):
            grey = grey.repeat_interleave(max(1, run.shape[axis] // grey.shape[axis]), axis)
    return grey.expand(len(raw), *run.shape)


def _enlarged(images: Tensor, scale: int) -> Tensor:
    return images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def _wide(std: Tensor) -> Tensor:
    """Images for a grid: sequences are the rows of one."""
    bright = _bright(std)
    return bright if bright.ndim == 4 else bright[None, None]


def _bright(std: Tensor) -> Tensor:
    """Bytes: 0 is black, the largest is white."""
    return (std * (255 / std.max().clamp(min=1e-30))).round().to(torch.uint8)


def _picture(run: Diffusion, raw: Tensor, stem: Path) -> Path:
    path = save_picture(run, raw, stem)
    assert path is not None
    return path
