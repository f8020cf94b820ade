"""What is measured while a run trains: the bound of test examples, and samples, by the averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from undiffuse.data import Splits
from undiffuse.recipes.evaluation import Evaluation, evaluate
from undiffuse.recipes.log import Event
from undiffuse.recipes.output import save_npy, save_picture
from undiffuse.recipes.run import Run
from undiffuse.training import Progress, State

SHOWN = 64  # samples in a picture made while training


def due(step: int, every: int) -> bool:
    """Whether what happens every so many steps (0: never) happens after this one."""
    return every > 0 and step % every == 0


def measured(run: Run, state: State, splits: Splits, progress: Progress) -> Event:
    """A step with the test bound and the samples that are due after it."""
    event, settings = Event(progress), state.settings
    if due(progress.step, settings.evaluate_every):
        event = replace(event, test=_evaluate(run, state, splits))
    if due(progress.step, settings.sample_every):
        event = event.with_files(*_sample(run, state))
    return event


def _evaluate(run: Run, state: State, splits: Splits) -> Evaluation:
    count, labels = state.settings.evaluate_examples, splits.test_labels
    run = run.told(None if labels is None else labels[:count])
    with _averaged(state):
        return evaluate(run, splits.test[:count], terms=state.settings.evaluate_terms)


def _sample(run: Run, state: State) -> list[Path]:
    """The file, of the process that writes."""
    with _averaged(state):
        steps = min(state.settings.sample_steps, len(run.grid))
        raw = run.sample(SHOWN, seed=run.recipe["seed"], steps=steps)
    if not run.processes.leads:
        return []
    folder = run.folder / "samples"
    folder.mkdir(exist_ok=True)
    stem = folder / f"step-{state.step:08d}"
    return [save_picture(run, raw, stem) or save_npy(raw, stem.with_suffix(".npy"))]


@contextmanager
def _averaged(state: State) -> Iterator[None]:
    state.model.eval()
    with state.ema.applied():
        yield
