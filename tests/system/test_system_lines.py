"""Progress where no bar can be drawn: plain lines from time to time, in a slow step too."""

import re
import time

import pytest
from rich.console import Console
from shell import CHAIN, POINTS, undiffuse

from undiffuse.cli import bars


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "SOON", 0.02)
    monkeypatch.setattr(bars, "LATER", 0.02)


def test_lines_come_in_a_slow_step_and_at_the_end(capsys: pytest.CaptureFixture[str]):
    with bars.bar_of("loss") as bar:
        assert isinstance(bar, bars.Lines)
        task = bar.add_task("train", total=2_000, completed=1_000, loss="")
        time.sleep(0.2)
        slow = capsys.readouterr().err.splitlines()
        bar.update(task, completed=1_250, loss="loss 0.5000")
        time.sleep(0.2)
        seen = capsys.readouterr().err.splitlines()
        bar.update(task, completed=2_000)
        bar.add_task("never begun", total=3, loss="")
    assert len(slow) > 2 and set(slow) == {"train: 1,000 of 2,000, 0:00:00"}
    assert re.fullmatch(r"train: 1,250 of 2,000, loss 0\.5000, 0:00:0\d, 0:00:0\d left", seen[-1])
    assert capsys.readouterr().err.splitlines()[-1] == "train: 2,000 of 2,000, loss 0.5000, 0:00:00"


def test_what_is_left_goes_by_what_it_did_since_it_began():
    """A run that was gone on with at 900 of 1,000, and has done 25 in 100 seconds, has 300 left."""
    lines, now = bars.Lines(console=Console(quiet=True)), [5.0]
    lines.get_time = lambda: now[0]
    lines.add_task("train", total=1_000, completed=900)
    (task,) = lines.tasks
    now[0] = 105.0
    lines.update(task.id, completed=925)
    assert bars._times(task, 900) == ["0:01:40", "0:05:00 left"]


def test_a_bar_at_a_terminal_and_nothing_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with bars.bar_of(quiet=True) as bar:
        bar.advance(bar.add_task("train", total=2))
        time.sleep(0.1)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    assert not isinstance(bars.bar_of(), bars.Lines)


def test_every_verb_that_takes_long_says_where_it_is(tmp_path):
    result = undiffuse("train", *POINTS, *CHAIN, "train.steps=60", "train.evaluate_every=0", "--out", "run")
    assert re.search(r"^train: \d+ of 60, loss \d\.\d+, 0:00:0\d, 0:00:0\d left$", result.err, re.M)
    assert re.search(r"^train: 60 of 60, loss ", result.err, re.M)
    for verb, *words in (("sample", "-n", 3), ("evaluate", "--examples", 9)):
        err = undiffuse(verb, "run", *words).err
        assert re.search(rf"^{verb}: +\d+%, 0:00:0\d", err, re.M), err
