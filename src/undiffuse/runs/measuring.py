"""What is measured while a run trains: the bound of test examples, and samples, by the averaged weights."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from undiffuse.data import Splits
from undiffuse.diffusion.evaluation import Evaluation, evaluate
from undiffuse.diffusion.output import save_npy, save_picture
from undiffuse.runs.log import Event
from undiffuse.runs.run import Run
from undiffuse.training import Progress, State

SHOWN = 64  # samples in a picture made while training
NOTED = ("step", "loss", "grad_norm", "lr", "seconds", "taken", "loss_scale", "overflows")
Leaving = Callable[[], AbstractContextManager[object]]


def due(step: int, every: int) -> bool:
    """Whether what happens every so many steps (0: never) happens after this one."""
    return every > 0 and step % every == 0


def noted(progress: Progress) -> dict[str, Any]:
    """What the log and the figures need to know of a step, as JSON; None for what is not finite."""
    values = {name: getattr(progress, name) for name in NOTED}
    return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in values.items()}


def recalled(note: dict[str, Any]) -> Progress:
    """The step that was noted."""
    lost = {name: math.inf for name in ("loss", "grad_norm") if note[name] is None}
    return Progress(**(note | lost))


def measured(run: Run, state: State, splits: Splits, progress: Progress, leaving: Leaving) -> Event:
    """A step with the test bound and the samples that are due after it, computed inside `leaving`."""
    event, settings = Event(progress), state.settings
    if due(progress.step, settings.evaluate_every):
        event = replace(event, test=_evaluate(run, state, splits, leaving))
    if due(progress.step, settings.sample_every):
        event = event.with_files(*_sample(run, state, splits, leaving))
    return event


def _evaluate(run: Run, state: State, splits: Splits, leaving: Leaving) -> Evaluation:
    raw, given = splits.examples("test", slice(state.settings.evaluate_examples))
    with averaged(state), leaving():
        return evaluate(run.told(given), raw, terms=state.settings.evaluate_terms)


def _sample(run: Run, state: State, splits: Splits, leaving: Leaving) -> list[Path]:
    """The file, of the process that writes; samples are given what test examples are."""
    examples, given = splits.examples("test", slice(SHOWN))
    with averaged(state), leaving():
        steps = min(state.settings.sample_steps, len(run.grid))
        count = SHOWN if given is None else len(examples)
        raw = run.told(given).sample(count, seed=run.recipe["seed"], steps=steps)
    if not run.processes.leads:
        return []
    stem = run.folder / "samples" / f"step-{state.step:08d}"
    return [save_picture(run, raw, stem) or save_npy(raw, stem.with_suffix(".npy"))]


@contextmanager
def averaged(state: State) -> Iterator[None]:
    """Inside, the model evaluates with the averaged weights."""
    state.model.eval()
    with state.ema.applied():
        yield


@contextmanager
def kept(state: State) -> Iterator[None]:
    """Inside, the model has the weights that a loaded run will have: the best seen, or the averaged."""
    own, watch = state.ema.average, state.watch
    state.ema.average = (watch.weights if watch is not None else {}) or own
    try:
        with averaged(state):
            yield
    finally:
        state.ema.average = own
