"""Several processes make the result of one, and one of them writes and speaks."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from several import QUIET, WORDS, close, equal, resume, rows, run, start, wait, workers
from shell import good, refused, tree


def test_two_processes_make_the_run_of_one(single: Path, double: Path):
    close(single, double)
    assert tree(single) == tree(double)


def test_weights_split_over_processes(single: Path, tmp_path: Path):
    """FSDP2: the same run, and a checkpoint that any number of processes can go on from."""
    split = tmp_path / "split"
    run(*WORDS, "train.shard=true", "train.accumulate=3", "--out", split, "--processes", 2)
    close(single, split)
    resume(split, 10)
    close(single, split)


def test_what_is_given_is_divided_too(tmp_path: Path):
    """A class and an image, on one process and split over two."""
    words = [*WORDS, *QUIET, "condition={digit: labels, low: smaller}", "train.checkpoint_every=20"]
    good(*words, "--out", tmp_path / "one")
    run(*words, "train.shard=true", "--out", tmp_path / "two", "--processes", 2)
    close(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("others", [1, 3])
def test_saved_by_two_and_gone_on_by_others(double: Path, tmp_path: Path, others: int):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", double, folder], check=True)
    said = resume(folder, 10, others)
    if others == 1:
        assert "--exact: from step 20" in refused("train", "--resume", double, "--exact")
    assert f"rounds otherwise (processes {others}, was 2)" in said
    close(double, folder)


def test_samples_and_bounds_are_those_of_one_process(single: Path, tmp_path: Path):
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    good("sample", single, "-n", 150, "--out", a)
    run("sample", single, "-n", 150, "--out", b, "--processes", 2)
    assert a.read_bytes() == b.read_bytes()
    run("sample", single, "-n", 3, "--stages", "--processes", 2)  # which one of them draws
    name = single / "evaluation-test-150-examples.json"
    found = []
    for command, more in ((good, []), (run, ["--processes", 2])):
        command("evaluate", single, "--examples", 150, *more)
        found.append(name.read_bytes())
        name.unlink()
    assert found[0] == found[1]


def shared(*words: object) -> str:
    """What a command on several processes printed."""
    return run(*words)[0]


def test_shards_are_those_of_one_process(double: Path, tmp_path: Path):
    digests = []
    for command, more in ((good, []), (shared, ["--processes", 2])):
        manifest = Path(command("sample", double, "-n", 4200, "--steps", 1, *more).strip())
        digests.append(json.loads(manifest.read_text()))
        for path in manifest.parent.iterdir():
            path.unlink()
        manifest.parent.rmdir()
    assert digests[0] == digests[1] and len(digests[0]["sha256"]) == 5


def test_they_stop_together_and_go_on(double: Path, tmp_path: Path):
    """At a signal to one of them, sent twice, as a launcher and a cluster would; and when one is killed."""
    folder = tmp_path / "run"
    process = start(*WORDS, *QUIET, "--out", folder, "--processes", 2)
    wait(folder)
    for _ in range(2):
        os.kill(workers(process.pid)[1], signal.SIGTERM)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saved; go on with" in err and "gone" not in err
    process = start("train", "--resume", folder, "--processes", 2)
    wait(folder, len(rows(folder)))
    os.kill(workers(process.pid)[1], signal.SIGKILL)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 75, err
    assert "process 1 was killed by signal 9" in err
    assert f"go on with: undiffuse train --resume {folder}" in err
    assert "Traceback" not in err
    run("train", "--resume", folder, "--processes", 2)
    assert equal(double, folder)


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
    evaluate.averaged = slow
"""


def test_the_error_of_one_process_is_the_one_that_is_shown(tmp_path: Path):
    """Not only that it is gone, which is all that the first knows; and its exit code counts."""
    (tmp_path / "sitecustomize.py").write_text(FAILING)
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    _, err = run(*WORDS, "--out", tmp_path / "run", "--processes", 2, code=71, env=env)
    assert "undiffuse: out of memory; train with train.accumulate=2" in err and "Traceback" not in err


FAILING = """
import os
if os.environ.get("RANK") == "1":
    from undiffuse.training import loop
    backward = loop._backward
    def failing(parallel, x_0, labels, key, state):
        if state.step == 3:
            raise MemoryError
        return backward(parallel, x_0, labels, key, state)
    loop._backward = failing
"""


def test_errors_are_said_once(tmp_path: Path):
    assert "--processes 0: at least one" in refused(
        "train", "digits", "--out", tmp_path / "x", "--processes", 0
    )
    _, err = run(*WORDS, "train.batch=1", "--out", tmp_path / "run", "--processes", 2, code=2)
    assert err.count("train.batch=1: 2 processes") == 1, err


SPIKY = ["train", "swiss-roll", "data.train=200", "data.test=40", "network.hidden=8", "network.layers=1"]
SPIKY += ["grid.steps=12", "train.batch=16", "train.warmup=2", "train.steps=130", "train.checkpoint_every=16"]
SPIKY += ["seed=6", "train.lr=0.1", "train.spike=1", "train.on_spike=rewind", "train.rewind_limit=50"]


@pytest.mark.parametrize("shard", ["false", "true"])
def test_all_go_back_together(tmp_path: Path, shard: str):
    """With records of the loss as spikes, a few in a run: the same ways back as of one process."""
    quiet = [*QUIET, f"train.shard={shard}", "--out"]
    good(*SPIKY, *quiet, tmp_path / "one")
    run(*SPIKY, *quiet, tmp_path / "two", "--processes", 2)
    one, two = ((tmp_path / name / "events.jsonl").read_text().splitlines() for name in ("one", "two"))
    ways = [line for line in one if '"rewind",' in line]
    assert len(ways) > 2
    assert [json.loads(line)["detour"] for line in ways] == [
        json.loads(line)["detour"] for line in two if '"rewind",' in line
    ]
    for x, y in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert x["loss"] == pytest.approx(y["loss"], rel=1e-5)


def test_no_process_halves_its_batch_alone(tmp_path: Path):
    _, err = run(*WORDS, "train.halve_on_oom=true", "--out", tmp_path / "run", "--processes", 2, code=2)
    assert "train.halve_on_oom=true: one of 2 processes cannot repeat a step without the others" in err
