"""What a receiver of a run's bits knows on the way (Ho et al. 2020, section 4.3): table, figure, pictures."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from undiffuse import plots
from undiffuse.bounds import Progressive, progressive, receive
from undiffuse.data.space import Levels
from undiffuse.diffusion.output import to_images
from undiffuse.files import write_csv, write_json
from undiffuse.kernels import Discrete
from undiffuse.random import Streams
from undiffuse.runs.run import Run
from undiffuse.track import SILENT, Track

POINTS = 50  # of the curve
SHOWN, COLUMNS = 8, 8  # images, and rates at which they are shown, each twice the one before
HEADER = ("received", "t", "bits_per_dim", "bits_per_dim_se", "distortion", "distortion_se")


def progressive_of(
    run: Run,
    raw: Tensor,
    seed: int = 0,
    *,
    steps: int | None = None,
    terms: int | None = None,
    track: Track = SILENT,
) -> Progressive:
    """Rate and distortion of the run on raw examples (N, *shape).

    Images are compared on [0, 255], from the run's black to its white, numbers in raw units, symbols by the
    share of wrong ones. What is predicted beyond the range of levels is cut off first, as a receiver would.
    """
    run.check(raw)
    return progressive(
        run.model,
        raw,
        grid=run.thinned(steps),
        points=POINTS,
        seed=seed,
        terms=terms,
        encode=run.space.encode,
        view=_view(run),
        track=track,
    )


def measure_of(run: Run) -> str:
    """What the distortion is."""
    if run.model.kernel.symbols is not None:
        return "share of wrong symbols"
    return "RMSE on [0, 255]" if _images(run) else "RMSE, raw units"


def progressive_rows(found: Progressive, count: int) -> Iterator[tuple[int, float, float, float]]:
    """(latents received, t, bits/dim, distortion), about `count` of the points: all bits first (table 4)."""
    stride = -(-len(found.t) // count)
    for i in range(len(found.t) - 1, -1, -stride):
        t, rate, distortion = (float(part[i]) for part in (found.t, found.rate, found.distortion))
        yield int(found.received[i]), t, rate, distortion


def save_progressive(
    run: Run, found: Progressive, raw: Tensor, folder: Path, split: str, seed: int = 0
) -> list[Path]:
    """progressive-SPLIT.csv, .json and .png in the folder; of images received-SPLIT.png too."""
    table, numbers, figure = (folder / f"progressive-{split}.{kind}" for kind in ("csv", "json", "png"))
    columns = (found.received, found.t, found.rate, found.rate_se, found.distortion, found.distortion_se)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    write_csv(table, HEADER, rows)
    facts = {"examples": found.examples, "training_steps": run.step, "chain_steps": found.steps}
    end = {"measure": measure_of(run), "decode": found.decode.mean - run.shift, "decode_se": found.decode.se}
    write_json(numbers, facts | end | {"rows": [dict(zip(HEADER, row, strict=True)) for row in rows]})
    plots.save_progressive(
        found.t,
        found.rate,
        found.distortion,
        figure,
        measure=measure_of(run),
        rate_se=found.rate_se,
        distortion_se=found.distortion_se,
        lossless=float(found.rate[-1]) + found.decode.mean if run.levels else None,
    )
    files = [table, numbers, figure]
    if _images(run):
        files.append(_save_received(run, found, raw[:SHOWN], folder / f"received-{split}.png", seed))
    return files


@torch.no_grad()
def _save_received(run: Run, found: Progressive, raw: Tensor, path: Path, seed: int) -> Path:
    """x_0-hat of some images at rates that double, and the truth."""
    chosen = shown_at(found.rate)
    device = next(run.model.parameters()).device
    streams = Streams(seed, "received", rows=range(len(raw)))
    hats = receive(run.model, run.space.encode(raw).to(device), found.t[chosen], streams)
    columns = [
        (f"{rate:.2g}", to_images(run, _raw(run, x.cpu())))
        for rate, x in zip(found.rate[chosen].tolist(), hats, strict=True)
    ]
    title = "x_0-hat after so many bits/dim"
    if run.levels:
        title += f"; the truth after {float(found.rate[-1]) + found.decode.mean:.3g}"
    plots.save_received([*columns, ("truth", to_images(run, raw))], path, title)
    return path


def shown_at(rate: Tensor) -> list[int]:
    """Places (at most 8, increasing) whose rates are nearest to R, R/2, R/4, .., R being the last."""
    wanted = rate[-1] / 2.0 ** torch.arange(COLUMNS)
    return sorted({int((rate - each).abs().argmin()) for each in wanted})


def _view(run: Run) -> Callable[[Tensor], Tensor]:
    """From x_0 to the coordinates of the distortion."""
    black, white = run.shades
    scale, space = 255 / (white - black) if _images(run) else 1.0, run.space
    if isinstance(space, Levels):
        half = scale * (space.levels - 1) / 2
        return lambda x: half * x.clamp(-1, 1)
    return lambda x: scale * space.decode(x)


def _raw(run: Run, x_0: Tensor) -> Tensor:
    """A prediction in raw units: of symbols the mean."""
    kernel = run.model.kernel
    return kernel.law(x_0).mean if isinstance(kernel, Discrete) else run.space.decode(x_0)


def _images(run: Run) -> bool:
    return len(run.shape) == 3
