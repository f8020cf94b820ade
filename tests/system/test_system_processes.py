"""Several processes: one result, one writer; the death of one, signals, and going on with more or fewer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from shell import refused

from undiffuse.training import Lock, checkpoint

NET = ["network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: [1]}"]
CHAIN = ["grid.steps=20", "train.batch=15", "train.warmup=2", "train.checkpoint_every=5", "train.keep=9"]
DRAWN = ["train.log_every=1", "train.evaluate_every=10", "train.evaluate_examples=9", "train.sample_every=10"]
ADAM = ["train.optimizer=adamw", "train.lr=1e-3", "train.precision=fp32", "train.steps=20"]
WORDS = ["train", "digits", *NET, *CHAIN, *DRAWN, *ADAM]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """A test that fails leaves no process behind: the others end with the one that is killed here."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


def start(*words: object, torchrun: int = 0, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"]
    command = [sys.executable, *(launcher if torchrun else []), "-m", "undiffuse", *map(str, words)]
    pipe = subprocess.PIPE
    env = ENV | (env or {})
    made = subprocess.Popen(command, env=env, text=True, stdout=pipe, stderr=pipe, start_new_session=True)
    STARTED.append(made)
    return made


def run(
    *words: object, torchrun: int = 0, code: int = 0, env: dict[str, str] | None = None
) -> tuple[str, str]:
    process = start(*words, torchrun=torchrun, env=env)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


def tensors(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    path = checkpoint.path_of(folder / "checkpoints", 20)
    return {group: load_file(path / f"{group}.safetensors") for group in checkpoint.GROUPS}


def close(a: Path, b: Path) -> None:
    """The same training up to rounding: weights within 1e-4 of their size, losses, gradients and bounds.

    Not weight by weight: a bias before a normalisation has no gradient but rounding, which AdamW enlarges.
    """
    one, other = tensors(a), tensors(b)
    for group in ("weights", "average"):
        away = sum((other[group][name] - t).square().sum() for name, t in one[group].items())
        assert away < 1e-8 * sum(t.square().sum() for t in one[group].values())
    for x, y in zip(rows(a), rows(b), strict=True):
        assert x["loss"] == pytest.approx(y["loss"], rel=2e-5)
        assert x["grad_norm"] == pytest.approx(y["grad_norm"], rel=2e-4)
        assert x.get("test_bits", 0.0) == pytest.approx(y.get("test_bits", 0.0), rel=2e-5)


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def equal(a: Path, b: Path) -> bool:
    """Bit for bit."""
    names = [f"{group}.safetensors" for group in checkpoint.GROUPS]
    ends = [checkpoint.path_of(folder / "checkpoints", 20) for folder in (a, b)]
    return all((ends[0] / name).read_bytes() == (ends[1] / name).read_bytes() for name in names)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` and `two`: the same command on as many processes."""
    folder = tmp_path_factory.mktemp("processes")
    run(*WORDS, "--out", folder / "one")
    out, err = run(*WORDS, "--out", folder / "two", "--processes", 2)
    assert "on 2 processes" in out
    assert out.count("done: ") == 1 and err.count("step 20: bound") == 1
    return folder


def test_two_processes_make_the_run_of_one(runs: Path):
    close(runs / "one", runs / "two")
    files = [{p.relative_to(runs / n).as_posix() for p in (runs / n).rglob("*")} for n in ("one", "two")]
    assert files[0] == files[1]


def test_weights_split_over_processes(runs: Path, tmp_path: Path):
    """FSDP2: the same run, and a checkpoint that any number of processes can go on from."""
    split = tmp_path / "split"
    run(*WORDS, "train.shard=true", "train.accumulate=3", "--out", split, "--processes", 2)
    close(runs / "one", split)
    resume(split, 10)
    close(runs / "one", split)
    message = run(
        *WORDS, "train.shard=true", "train.optimizer=muon", "--out", tmp_path / "no", "--processes", 2, code=2
    )[1]
    assert "Muon needs whole matrices" in message


def resume(folder: Path, step: int, torchrun: int = 0) -> str:
    """Go on from that step, on one process or on some."""
    for path in checkpoint.steps(folder / "checkpoints"):
        if path > checkpoint.path_of(folder / "checkpoints", step):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    return run("train", "--resume", folder, torchrun=torchrun)[1]


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


def test_a_signal_to_one_of_them_saves_everywhere(runs: Path, tmp_path: Path):
    """Sent twice, as a launcher and a cluster would."""
    folder = tmp_path / "run"
    process = start(*WORDS, "--out", folder, "--processes", 2)
    wait(folder)
    for _ in range(2):
        os.kill(workers(process.pid)[1], signal.SIGTERM)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saved; go on with" in err and "gone" not in err
    run("train", "--resume", folder, "--processes", 2)
    assert equal(runs / "two", folder)


@pytest.mark.parametrize("others", [1, 3])
def test_saved_by_two_and_gone_on_by_others(runs: Path, tmp_path: Path, others: int):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", runs / "two", folder], check=True)
    said = resume(folder, 10, others)
    if others == 1:
        _, err = run("train", "--resume", runs / "two", "--exact", code=2)
        assert "--exact: from step 20" in err
    assert f"rounds otherwise (processes {others}, was 2)" in said
    close(runs / "two", folder)


def test_a_dead_process_ends_the_run_and_the_next_start_goes_on(runs: Path, tmp_path: Path):
    folder = tmp_path / "run"
    process = start(*WORDS, "--out", folder, "--processes", 2)
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
    assert equal(runs / "two", folder)


def test_a_signal_to_the_launcher_saves_everywhere(runs: Path, tmp_path: Path):
    folder = tmp_path / "run"
    process = start(*WORDS, "--out", folder, "--processes", 2)
    wait(folder)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saved; go on with" in err and "Traceback" not in err
    run("train", "--resume", folder, "--processes", 2)
    assert equal(runs / "two", folder)


def test_a_test_bound_is_left_by_all(runs: Path, tmp_path: Path):
    """A signal to one of them, while it works on the bound after step 10."""
    folder = tmp_path / "run"
    (tmp_path / "sitecustomize.py").write_text(BOUND)
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    _, err = run(*WORDS, "--out", folder, "--processes", 2, code=143, env=env)
    assert "SIGTERM after step 10: saved; go on with" in err
    assert [row["step"] for row in rows(folder)] == list(range(1, 10))
    run("train", "--resume", folder, "--processes", 2)
    assert equal(runs / "two", folder)
    bounds = [[row.get("test_bits") for row in rows(each)] for each in (folder, runs / "two")]
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
    quiet = ["train.evaluate_every=0", "train.sample_every=0", "train.steps=100000"]
    process = start(*WORDS, *quiet, "--out", folder, "--processes", 2)
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
    process = start(*WORDS, "--out", tmp_path / "run", "--processes", 2)
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


def started(parent: int, word: str = "undiffuse", count: int = 2) -> list[int]:
    """The children of a process, once there are so many with this word in their command."""
    for _ in range(2400):
        found = [pid for pid in children(parent) if word in command_of(pid)]
        if len(found) == count:
            return found
        time.sleep(0.025)
    raise AssertionError("none within a minute")


def command_of(pid: int) -> str:
    """What it runs; nothing, if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def children(parent: int) -> list[int]:
    """By /proc."""
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in tasks.read_text().split()] if tasks.exists() else []


def gone(orphans: list[int]) -> None:
    """Within half a minute; and if not, not for ever."""
    for _ in range(600):
        if not any(alive(pid) for pid in orphans):
            return
        time.sleep(0.05)
    for pid in filter(alive, orphans):
        os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"still there: {orphans}")


def alive(pid: int) -> bool:
    """And no zombie that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait(folder: Path) -> None:
    """Until a few steps are done."""
    for _ in range(2400):
        if (folder / "metrics.jsonl").exists() and len(rows(folder)) >= 2:
            return
        time.sleep(0.05)
    raise AssertionError("no step within two minutes")


def workers(parent: int) -> list[int]:
    """The processes that a launcher started, by rank."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            environ = dict(e.partition("=")[::2] for e in (path / "environ").read_text().split("\0"))
        except (OSError, ValueError):
            continue
        if ppid == parent and "RANK" in environ:
            found[int(environ["RANK"])] = int(path.name)
    return [found[rank] for rank in sorted(found)]


def test_samples_and_bounds_are_those_of_one_process(runs: Path, tmp_path: Path):
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    run("sample", runs / "one", "-n", 150, "--out", a)
    run("sample", runs / "one", "-n", 150, "--out", b, "--processes", 2)
    assert a.read_bytes() == b.read_bytes()
    run("sample", runs / "one", "-n", 3, "--stages", "--processes", 2)  # which one of them draws
    name = runs / "one/evaluation-test-150-examples.json"
    found = []
    for more in ([], ["--processes", 2]):
        run("evaluate", runs / "one", "--examples", 150, *more)
        found.append(name.read_bytes())
        name.unlink()
    assert found[0] == found[1]


def test_shards_are_those_of_one_process(runs: Path, tmp_path: Path):
    digests = []
    for more in ([], ["--processes", 2]):
        out, _ = run("sample", runs / "two", "-n", 4200, "--steps", 1, *more)
        manifest = Path(out.strip())
        digests.append(json.loads(manifest.read_text()))
        for path in manifest.parent.iterdir():
            path.unlink()
        manifest.parent.rmdir()
    assert digests[0] == digests[1] and len(digests[0]["sha256"]) == 5


def test_errors_are_said_once(tmp_path: Path):
    assert "--processes 0: at least one" in refused(
        "train", "digits", "--out", tmp_path / "x", "--processes", 0
    )
    _, err = run(*WORDS, "train.lr=-1", "--out", tmp_path / "run", "--processes", 2, code=2)
    assert err.count("train.lr=-1") == 1, err
    assert not (tmp_path / "run").exists()
    _, err = run(*WORDS, "train.batch=1", "--out", tmp_path / "run", "--processes", 2, code=2)
    assert err.count("train.batch=1: 2 processes") == 1, err


SPIKY = ["train", "swiss-roll", "data.train=200", "data.test=40", "network.hidden=8", "network.layers=1"]
SPIKY += ["grid.steps=12", "train.batch=16", "train.warmup=2", "train.steps=400", "train.checkpoint_every=16"]
SPIKY += ["train.spike=1", "train.on_spike=rewind", "train.rewind_limit=50"]


@pytest.mark.parametrize("shard", ["false", "true"])
def test_all_go_back_together(tmp_path: Path, shard: str):
    """With records of the loss as spikes, a few in a run: the same ways back as of one process."""
    quiet = ["train.evaluate_every=0", "train.sample_every=0", f"train.shard={shard}", "--out"]
    run(*SPIKY, *quiet, tmp_path / "one")
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
