"""Several processes end together: signals, the death of one or of the one that started them; and go on."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from several import ADAM, QUIET, WORDS, equal, gone, rows, run, start, started, wait, workers

from undiffuse.training import Lock


def test_a_signal_to_one_of_them_saves_everywhere(double: Path, tmp_path: Path):
    """Sent twice, as a launcher and a cluster would."""
    folder = tmp_path / "run"
    process = start(*WORDS, *QUIET, "--out", folder, "--processes", 2)
    wait(folder)
    for _ in range(2):
        os.kill(workers(process.pid)[1], signal.SIGTERM)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saved; go on with" in err and "gone" not in err
    run("train", "--resume", folder, "--processes", 2)
    assert equal(double, folder)


def test_a_dead_process_ends_the_run_and_the_next_start_goes_on(double: Path, tmp_path: Path):
    folder = tmp_path / "run"
    process = start(*WORDS, *QUIET, "--out", folder, "--processes", 2)
    wait(folder)
    victim = workers(process.pid)[1]
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 75, err
    assert "process 1 was killed by signal 9" in err
    assert f"go on with: undiffuse train --resume {folder}" in err
    assert "Traceback" not in err
    run("train", "--resume", folder, "--processes", 2)
    assert equal(double, folder)


def test_a_signal_to_the_launcher_saves_everywhere(tmp_path: Path):
    folder = tmp_path / "run"
    process = start(*WORDS, *QUIET, "--out", folder, "--processes", 2)
    wait(folder)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saved; go on with" in err and "Traceback" not in err


def test_a_test_bound_is_left_by_all(double: Path, tmp_path: Path):
    """A signal to one of them, while it works on the bound after step 10."""
    folder = tmp_path / "run"
    (tmp_path / "sitecustomize.py").write_text(BOUND)
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    _, err = run(*WORDS, "--out", folder, "--processes", 2, code=143, env=env)
    assert "SIGTERM after step 10: saved; go on with" in err
    assert [row["step"] for row in rows(folder)] == list(range(1, 10))
    run("train", "--resume", folder, "--processes", 2)
    assert equal(double, folder)
    bounds = [[row.get("test_bits") for row in rows(each)] for each in (folder, double)]
    assert bounds[0] == bounds[1]


BOUND = """
import os, signal, sys, time
if os.environ.get("RANK") == "1":
    import undiffuse.bounds
    evaluate = sys.modules["undiffuse.bounds.evaluate"]
    def slow(*words, **named):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        raise AssertionError("it was not left")
    evaluate.nelbo = slow
"""


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
