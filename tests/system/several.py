"""Commands on several processes: starting them, waiting, what they leave behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shell import undiffuse

from undiffuse.training import checkpoint

NET = ["network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: [1]}"]
CHAIN = ["grid.steps=20", "train.batch=15", "train.warmup=2", "train.checkpoint_every=5", "train.keep=9"]
DRAWN = ["train.log_every=1", "train.evaluate_every=10", "train.evaluate_examples=9"]
DRAWN += ["train.sample_every=10", "train.sample_steps=4"]
WATCH = ["train.watch=0.005", "train.evaluate_terms=3"]
ADAM = ["train.optimizer=adamw", "train.lr=1e-3", "train.precision=fp32", "train.steps=20"]
WORDS = ["train", "digits", *NET, *CHAIN, *DRAWN, *WATCH, *ADAM]
QUIET = ["train.evaluate_every=0", "train.sample_every=0"]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
SPARED = os.pathsep.join([str(Path(__file__).parent / "spared"), *filter(None, [ENV.get("PYTHONPATH")])])
STARTED: list[subprocess.Popen[str]] = []


def start(*words: object, torchrun: int = 0, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """`undiffuse WORDS` in processes of its own, whose trainings draw no figures unless `env` has a path."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"]
    command = [sys.executable, *(launcher if torchrun else []), "-m", "undiffuse", *map(str, words)]
    pipe = subprocess.PIPE
    env = ENV | {"PYTHONPATH": SPARED} | (env or {})
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


def resume(folder: Path, step: int, torchrun: int = 1) -> str:
    """Go on from that step, on one process, here, or on several; what was said."""
    for path in checkpoint.steps(folder / "checkpoints"):
        if path > checkpoint.path_of(folder / "checkpoints", step):
            shutil.rmtree(path)
    if torchrun > 1:
        return run("train", "--resume", folder, torchrun=torchrun)[1]
    here = undiffuse("train", "--resume", folder)
    assert here.code == 0, here.err
    return here.err


def tensors(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    path = checkpoint.path_of(folder / "checkpoints", 20)
    return {group: load_file(path / f"{group}.safetensors") for group in checkpoint.GROUPS}


def close(a: Path, b: Path) -> None:
    """The same training up to rounding: weights within 1e-4 of their size, losses, gradients and bounds.

    Not weight by weight: a bias before a normalisation has no gradient but rounding, which AdamW enlarges.
    """
    one, other = tensors(a), tensors(b)
    for group in ("weights", "average", "best"):
        away = sum((other[group][name] - t).square().sum() for name, t in one[group].items())
        assert away < 1e-8 * sum(t.square().sum() for t in one[group].values())
    for x, y in zip(rows(a), rows(b), strict=True):
        assert x["loss"] == pytest.approx(y["loss"], rel=2e-5)
        assert x["grad_norm"] == pytest.approx(y["grad_norm"], rel=2e-4)
        for key in ("test_bits", "watched_bits"):
            assert x.get(key, 0.0) == pytest.approx(y.get(key, 0.0), rel=2e-5)


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def equal(a: Path, b: Path) -> bool:
    """Bit for bit."""
    names = [f"{group}.safetensors" for group in checkpoint.GROUPS]
    ends = [checkpoint.path_of(folder / "checkpoints", 20) for folder in (a, b)]
    return all((ends[0] / name).read_bytes() == (ends[1] / name).read_bytes() for name in names)


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


def wait(folder: Path, done: int = 0) -> None:
    """Until a few steps more than those are done."""
    for _ in range(2400):
        if (folder / "metrics.jsonl").exists() and len(rows(folder)) >= done + 2:
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
