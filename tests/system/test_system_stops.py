"""A stop signal in the middle of something: it is left at once, and whoever goes on makes the same run."""

import json
import os
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from shell import CHAIN, POINTS, good, refused_last

from undiffuse import plots
from undiffuse.runs import progress
from undiffuse.runs.run import Run
from undiffuse.training import Batches, checkpoint, loop

measuring = import_module("undiffuse.runs.measuring")  # not the function of this name

EVERY = ["train.steps=6", "train.log_every=4", "train.evaluate_every=3", "train.sample_every=2"]
EVERY += ["train.figures_every=3", "train.sample_steps=4", "train.accumulate=2", "train.evaluate_examples=9"]
WORDS = ["train", *POINTS, *CHAIN, *EVERY, "objective.times=importance", "--out"]
MET = "the signal was not obeyed"
PLACES = {
    "a batch": (Batches, "__call__", 4, 3),
    "the second part of a step": (loop, "_backward", 3, 2),
    "an evaluation": (measuring, "evaluate", 2, 6),
    "samples": (Run, "sample", 2, 4),
    "figures": (progress, "_save_samples", 1, 3),
}


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """Figures are empty files, quickly."""

    def touch(*words: object, **_: object) -> None:
        path = next(word for word in words if isinstance(word, Path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    with pytest.MonkeyPatch.context() as patch:
        for name in ("histograms", "trajectories", "monitors", "training", "schedules"):
            patch.setattr(plots, f"save_{name}", touch)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    good(*WORDS, folder)
    return folder


def stopping(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """SIGTERM in the middle of a call: its work is done, nobody has got it."""
    real, calls = getattr(owner, name), []

    def stopped(*arguments, **named):
        result = real(*arguments, **named)
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError(MET)
        return result

    monkeypatch.setattr(owner, name, stopped)


def rows(run: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def files(run: Path) -> set[str]:
    """All but checkpoints, of which a signal asks for more, and the figures that `conftest` leaves out."""
    names = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    return {name for name in names if not name.startswith(("checkpoints/", "curves", "schedule"))}


def same(a: Path, b: Path, last: bool = False) -> None:
    """All that a run is, but for times; of one that was left after its last step not what it says it owes."""
    assert rows(a) == rows(b)
    assert files(a) == files(b)
    for name in checkpoint.FILES[: 3 if last else 4]:
        newest = [checkpoint.latest(run / "checkpoints") / name for run in (a, b)]
        assert newest[0].read_bytes() == newest[1].read_bytes(), name
    for path in (a / "samples").iterdir():
        assert path.read_bytes() == (b / "samples" / path.name).read_bytes()


@pytest.mark.parametrize("place", PLACES)
def test_whatever_is_left_is_done_by_who_goes_on(
    place: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    owner, name, call, step = PLACES[place]
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopping(patch, owner, name, call)
        message = refused_last(*WORDS, run, code=143)
    assert f"SIGTERM after step {step}: saved; go on with: undiffuse train --resume" in message
    assert checkpoint.latest(run / "checkpoints").name == f"step-{step:08d}"
    with monkeypatch.context() as patch:  # and again at the same place, where the checkpoint is there already
        stopping(patch, owner, name, 1)
        message = refused_last("train", "--resume", run, code=143)
        assert f"SIGTERM after step {step}: saved" in message
    good("train", "--resume", run)
    same(run, whole, last=step == 6)
    before = rows(run)
    assert step < 6 or "already trained" in good("train", "--resume", run)
    assert rows(run) == before


def test_what_was_measured_again_is_not_forgotten(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Left in an evaluation, then in the step after it, before another checkpoint."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopping(patch, measuring, "evaluate", 1)
        refused_last(*WORDS, run, code=143)
    with monkeypatch.context() as patch:
        stopping(patch, loop, "_backward", 1)
        assert "after step 3: saved" in refused_last("train", "--resume", run, code=143)
    assert [row["step"] for row in rows(run)] == [3]
    good("train", "--resume", run)
    same(run, whole)


def test_a_hang_up_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stopping(monkeypatch, loop, "_backward", 2)
    monkeypatch.setattr(os, "kill", lambda _, __: signal.raise_signal(signal.SIGHUP))
    assert "SIGHUP after step 1: saved" in refused_last(*WORDS, tmp_path / "run", code=129)
