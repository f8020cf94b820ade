"""Going back after a loss spike: the bits of a run that never met the batches it left out."""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import torch
from shell import CHAIN, POINTS, good, refused_last
from test_system_resume import bits

from undiffuse.runs import Experiment
from undiffuse.runs import training_run as module
from undiffuse.runs.begin import put_back
from undiffuse.training import NonFiniteError, checkpoint, loop

RULE = ("train.spike=3", "train.on_spike=rewind", "train.log_every=3", "train.keep=1")
WORDS = ("train", *POINTS, *CHAIN, "train.steps=40", "train.checkpoint_every=8", *RULE, "--out")


@contextmanager
def spikes(*at: int) -> Iterator[None]:
    """Inside, the loss of the batches of these numbers is a thousand times as large."""
    real = loop._backward

    def spiky(parallel, x_0, told, noise, state):
        return real(parallel, x_0, told, noise, state) * (1000 if state.batch in at else 1)

    with mock.patch.object(loop, "_backward", spiky):
        yield


@contextmanager
def stopped(after: int) -> Iterator[None]:
    """Inside, a training gets SIGTERM when it has given so many reports."""
    real = module.train

    def signalled(*arguments):
        for number, progress in enumerate(real(*arguments), 1):
            if number == after:
                signal.raise_signal(signal.SIGTERM)
            yield progress

    with mock.patch.object(module, "train", signalled):
        yield


def told(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def assert_ends_like(plain: Experiment, rewinds: int) -> None:
    """Every bit of `run` is that of this one, which took the same detour at once."""
    saved, state = checkpoint.load(checkpoint.latest(Path("run/checkpoints"))), plain.state
    assert (saved.step, saved.state["detour"], saved.state["rewinds"]) == (40, state.detour, rewinds)
    assert saved.state["losses"] == state.spikes.recent
    for name, tensors in state.groups().items():
        other = getattr(saved, name)
        assert tensors.keys() == other.keys() and all(bool((t == other[k]).all()) for k, t in tensors.items())


def test_a_run_goes_back_and_leaves_the_batches_out():
    """27 is met at step 27; after that 30 is met at step 26, and the next batch at step 24 is 31."""
    with spikes(27, 30):
        good(*WORDS, "run")
    events = [(e["step"], e["event"], e.get("to")) for e in told(Path("run"))]
    assert events == [(28, "spike", None), (28, "rewind", 24), (27, "spike", None), (27, "rewind", 24)]
    with stopped(24):
        refused_last(*WORDS, "part", code=143)
    plain = Experiment.open(shutil.copytree("part", "plain"))
    plain.state.detour = 31 - 24
    assert len(list(plain.steps())) == 16
    assert_ends_like(plain, rewinds=2)
    assert [step for step, _ in losses(Path("run"))] == [*range(3, 40, 3), 40]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went back twice, and was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with spikes(27, 30):
        good(*WORDS, folder)
    return folder


@pytest.mark.parametrize("stops", [(5,), (27,), (27, 1), (28,), (28, 3), (28, 4), (30,), (30, 1, 2), (31, 9)])
def test_signals_in_between_change_nothing(stops: tuple[int, ...], whole: Path):
    """Stopped after so many reports, anew at each start: before, at and after each of the ways back."""
    with spikes(27, 30):
        for stop in stops:
            with stopped(stop):
                assert "saved; go on" in refused_last(*WORDS, "part", code=143)
        good(*WORDS, "part")
    assert bits(Path("part")) == bits(whole)
    assert losses(Path("part")) == losses(whole)


def test_a_checkpoint_of_the_lost_future_is_not_taken_for_a_new_one():
    with spikes(27):
        for stop in (27, 4):  # after step 27; then again, on the way around
            with stopped(stop):
                assert "after step 27: saved" in refused_last(*WORDS, "run", code=143)
    assert checkpoint.load(Path("run/checkpoints/step-00000027")).state["detour"] == 4


def test_a_run_that_goes_back_too_often_ends():
    with spikes(*range(27, 40)):
        message = refused_last(*WORDS, "run", "train.rewind_limit=2", code=1)
    assert "gone back 2 times already (train.rewind_limit); try a smaller train.lr" in message
    assert [e["event"] for e in told(Path("run"))].count("rewind") == 2


def test_before_the_first_checkpoint_it_begins_again():
    with spikes(22):
        good(*WORDS, "run", "train.checkpoint_every=30")
    assert [(e["step"], e["to"]) for e in told(Path("run")) if e["event"] == "rewind"] == [(23, 0)]
    with stopped(1):
        refused_last(*WORDS, "part", "train.checkpoint_every=30", code=143)
    plain = Experiment.open(shutil.copytree("part", "plain"), until=0)
    plain.state.detour = 23
    assert len(list(plain.steps())) == 40
    assert_ends_like(plain, rewinds=1)


def test_what_was_put_back_is_watched():
    """The optimizer's tensors after going back are others than before."""
    with stopped(30):
        refused_last(*WORDS, "part", code=143)
    experiment = Experiment.open(shutil.copytree("part", "run"), until=24)
    training = experiment.steps()
    next(training)
    put_back(experiment.state, checkpoint.load(Path("run/checkpoints/step-00000024")), experiment.objective)
    with torch.no_grad():
        experiment.state.groups()["optimizer"]["exp_avg/network.layers.0.weight"].view(-1)[0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"step 24: .*optimizer: exp_avg/network"):
        next(training)


def test_skipped_ones_are_told():
    with spikes(27):
        good(*WORDS, "run", "train.on_spike=skip")
    (event,) = told(Path("run"))
    assert (event["step"], event["event"], event["done"]) == (28, "spike", "skip")
    assert event["loss"] > event["limit"] > event["median"] > 0
