"""Several processes end with the one that started them, or at a signal to it, from their first moment on."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from several import ADAM, QUIET, WORDS, gone, start, started, wait, workers

from undiffuse.training import Lock


def test_a_signal_to_the_launcher_saves_everywhere(tmp_path: Path):
    folder = tmp_path / "run"
    process = start(*WORDS, *QUIET, "--out", folder, "--processes", 2)
    wait(folder)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saved; go on with" in err and "Traceback" not in err


def test_they_end_with_the_launcher_and_save(tmp_path: Path):
    """Killed, so that it cannot tell them."""
    folder = tmp_path / "run"
    process = start(*WORDS, *QUIET, "train.steps=100000", "--out", folder, "--processes", 2)
    wait(folder)
    orphans = workers(process.pid)
    process.kill()
    gone(orphans)
    assert "SIGTERM after step" in process.communicate(timeout=10)[1]
    held = Lock(folder)
    held.release()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted_leaves_nobody(tmp_path: Path, number: signal.Signals):
    """Before they have met; without a word too many, or a hang."""
    process = start(*WORDS, *QUIET, "--out", tmp_path / "run", "--processes", 2)
    orphans = started(process.pid)
    process.send_signal(number)
    gone(orphans)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert err in ("", "undiffuse: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_start_of_workers(tmp_path: Path, number: signal.Signals):
    """Ctrl-C goes to all of them: those that read data start up while it comes, and leave with the training.

    So they do if it is killed alone.
    """
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(9):
        Image.fromarray(np.full((8, 8, 3), i, dtype=np.uint8)).save(pictures / f"{i}.png")
    words = ["images", f"data.path={pictures}", "data.workers=2", "data.memory=0", "train.steps=1000000"]
    small = ["network={kind: mlp, hidden: 8, layers: 1}", "train.batch=4", "train.flips=false", *ADAM[:-1]]
    process = start("train", *words, *small, "train.evaluate_every=0", "--out", tmp_path / "run")
    orphans = started(process.pid, "spawn_main", 2)
    (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    gone(orphans)
    _, err = process.communicate(timeout=30)
    if number == signal.SIGKILL:
        return
    assert process.returncode == 130 and "Traceback" not in err, err
    assert "SIGINT: saving, then stopping; once more to end at once" in err
    assert "SIGINT after step" in err
