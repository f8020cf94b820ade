"""Figures of a run while it trains: samples of three kinds, weights, gradients, and numbers over the steps.

run/figures/  monitors.png  step-N/  plain.png  inpainted.png  denoised.png
                                     parameters.png  gradients.png  fields.png

Samples are ancestral draws of the averaged model on a thinned chain: of the model itself; with the right half
of the last axis known from a test example; and times a noisy observation of one, at a signal-to-noise ratio
of 1, which is also where that walk starts, as in the reference implementation of the 2015 paper. Parameters
and gradients are those that the optimizer has, not averaged.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from undiffuse import plots
from undiffuse.data import Splits
from undiffuse.diffusion.output import stage_name, stage_times, to_bytes
from undiffuse.model import ReverseProcess
from undiffuse.networks.embed import TimeEmbedding
from undiffuse.posteriors import Constant, Known, Noisy
from undiffuse.random import Streams, normal
from undiffuse.runs.log import read_metrics
from undiffuse.runs.measuring import Leaving
from undiffuse.runs.run import Run
from undiffuse.samplers import Ancestral, reverse, start
from undiffuse.tensors import dims
from undiffuse.training import State

SHOWN, POINTS, FIELDS = 12, 1000, 64  # examples, points of 2-D data, filters
MONITORS = {"loss": "loss", "gradient norm": "grad_norm", "learning rate": "lr", "test bits": "test_bits"}

States = dict[float, Tensor]  # x_t by t, from 1 to 0


def save_samples(run: Run, state: State, splits: Splits, leaving: Leaving) -> list[Path]:
    """Draw samples of all kinds, as they are after a step, inside `leaving`; returns the files.

    They are given what the test examples are that they stand beside.
    """
    run.model.eval()
    raw, given = splits.examples("test", slice(POINTS if _planar(run) else SHOWN))
    with state.ema.applied(), leaving():
        return _save_samples(run.told(given), raw, state, _folder(run, state.step))


def _folder(run: Run, step: int) -> Path:
    return run.folder / "figures" / f"step-{step:08d}"


@torch.no_grad()
def _save_samples(run: Run, raw: Tensor, state: State, folder: Path) -> list[Path]:
    x_0 = run.space.encode(raw).to(next(run.model.parameters()).device)
    grid = run.thinned(min(state.settings.sample_steps, len(run.grid)))
    draw, files = _save_points if _planar(run) else _save_stages, []
    for name, model, x_1 in _kinds(run, x_0):
        streams = Streams(run.recipe["seed"], "progress", name, rows=range(len(x_0)))
        x_1 = start(model, x_0, streams) if x_1 is None else x_1
        walk = reverse(model, x_1, sampler=Ancestral(), grid=grid, generator=streams)
        files.append(draw(run, raw, _stages(walk, grid), folder / f"{name}.png"))
    return files


def _kinds(run: Run, x_0: Tensor) -> Iterator[tuple[str, ReverseProcess, Tensor | None]]:
    """Name, model, and where the walk starts (None: a draw of the model's prior)."""
    yield "plain", run.model, None
    mask = torch.zeros_like(x_0, dtype=torch.bool)
    mask[..., -(x_0.shape[-1] // 2) or x_0.shape[-1] :] = True
    yield "inpainted", Constant(run.model, Known(x_0, mask)), None
    if run.model.kernel.symbols is None:
        streams = Streams(run.recipe["seed"], "observation", rows=range(len(x_0)))
        seen = x_0 + normal(tuple(x_0.shape), streams, x_0.dtype, x_0.device)
        yield "denoised", Constant(run.model, Noisy(seen, 1.0)), seen


def _stages(walk: Iterator[tuple[float, Tensor]], grid: Tensor) -> States:
    """The states at the times of stages."""
    wanted = stage_times(grid)
    return {t: x.cpu() for t, x in walk if t in wanted}


def _save_stages(run: Run, raw: Tensor, states: States, path: Path) -> Path:
    """A row of pictures a stage."""
    rows = [("true", raw)]
    rows += [(stage_name(t), run.space.decode(x)) for t, x in states.items()]
    plots.save_stages([(name, _pictures(to_bytes(run, x))) for name, x in rows], path)
    return path


def _pictures(grey: Tensor) -> Tensor:
    """Images (N, C, H, W) as they are; anything else as two pictures (2, 1, N / 2, D), a row an example."""
    rows, half = grey.flatten(1), len(grey) // 2 or 1
    return grey if grey.ndim == 4 else rows[: 2 * half].reshape(-1, 1, half, rows.shape[1])


def _save_points(run: Run, raw: Tensor, states: States, path: Path) -> Path:
    """The test points on their way to noise, above the states on their way back; in x_0's coordinates."""
    x_0, kernel = run.space.encode(raw), run.model.kernel
    streams = Streams(run.recipe["seed"], "forward", rows=range(len(x_0)))
    times = [torch.tensor(t, dtype=torch.float64) for t in states]
    forward = [kernel.marginal(x_0, t).sample(streams) if t else x_0 for t in times]
    plots.save_trajectories(list(states), forward, list(states.values()), path)
    return path


def _planar(run: Run) -> bool:
    return run.shape == (2,) and run.levels is None


def save_weights(run: Run, step: int) -> list[Path]:
    """Draw parameters, gradients (of a run that has just taken the step) and filters; returns the files."""
    folder = _folder(run, step)
    files = [folder / "parameters.png"]
    named = {
        name.removeprefix("network.").removesuffix(".weight"): p for name, p in run.model.named_parameters()
    }
    gradients = {name: p.grad for name, p in named.items() if p.grad is not None}
    plots.save_histograms(named, files[0], f"parameters after step {step:,}")
    if gradients:
        files.append(folder / "gradients.png")
        plots.save_histograms(gradients, files[1], f"gradients of step {step:,}, clipped")
    fields = _fields(run)
    if fields is not None:
        files.append(folder / "fields.png")
        plots.save_fields(
            fields[:FIELDS], files[-1], f"first layer after step {step:,}, {len(fields)} filters"
        )
    return files


def _fields(run: Run) -> Tensor | None:
    """Weights (N, C, h, w) of the first layer that sees an image or its patches; None if there is none."""
    network, shape = run.denoiser.network, (run.model.kernel.channels * run.shape[0], *run.shape[1:])
    clocks = {id(part) for e in network.modules() if isinstance(e, TimeEmbedding) for part in e.modules()}
    for part in network.modules():
        if isinstance(part, nn.Conv2d) and max(part.kernel_size) > 1:
            return part.weight
        sees = isinstance(part, nn.Linear) and part.in_features == dims(shape) and id(part) not in clocks
        if sees and len(shape) == 3:
            return part.weight.view(-1, *shape)  # type: ignore[operator]
    return None


def save_monitors(run: Run) -> Path:
    """Draw the numbers of the log over the steps."""
    path, rows = run.folder / "figures" / "monitors.png", read_metrics(run.folder)
    series = {}
    for name, key in MONITORS.items():
        measured = [row for row in rows if key in row]
        if measured:
            series[name] = [row["step"] for row in measured], [row[key] for row in measured]
    plots.save_monitors(series, path)
    return path
