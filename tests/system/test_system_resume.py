"""The same command again; signals; full disks; bad numbers."""

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shell import CHAIN, POINTS, good, refused, refused_last, train, tree, undiffuse

import undiffuse as library
from undiffuse.runs import Experiment
from undiffuse.runs import training_run as module
from undiffuse.training import checkpoint, loop, scaling

WORDS = ["train", *POINTS, *CHAIN, "train.steps=6", "--out"]


def bits(run: Path) -> dict[str, bytes]:
    newest = checkpoint.latest(run / "checkpoints")
    return {name: (newest / name).read_bytes() for name in checkpoint.FILES}


def test_the_same_command_goes_on(tmp_path: Path):
    whole, part = train(tmp_path / "whole"), tmp_path / "part"
    good(*WORDS, part, "train.checkpoint_every=4")
    shutil.rmtree(part / "checkpoints/step-00000006")
    assert "continuing after step 4\n" in good(*WORDS, part, "train.checkpoint_every=4")
    a, b = bits(whole), bits(part)
    assert [a[f"{group}.safetensors"] for group in checkpoint.GROUPS] == [
        b[f"{group}.safetensors"] for group in checkpoint.GROUPS
    ]


def test_a_finished_run_says_so(runs: Path, copy: Callable[[str], Path]):
    run = copy("points")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    assert "already trained: 6 of 6 steps\n" in good("train", "--resume", run)
    after = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    assert before == after


def test_another_recipe_is_refused_by_its_keys(runs: Path, copy: Callable[[str], Path]):
    run = train(copy("points").with_name("mine"))
    before = tree(run)
    message = refused(*WORDS, run, "train.lr=0.5", "network.hidden=9")
    assert "a run of another recipe (" in message
    assert "network.hidden=9, was 8" in message
    assert "train.lr=0.5, was " in message
    assert tree(run) == before


def test_a_recipe_that_was_changed_under_a_checkpoint(copy: Callable[[str], Path]):
    run = copy("points")
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(re.sub(r"ema: [\d.]+", "ema: 0.5", text))
    assert re.search(r"changed since step 6 \(train\.ema=0\.5, was ", refused("train", "--resume", run))
    (run / "recipe.yaml").write_text(text.replace("steps: 6", "steps: 8").replace("keep: 2", "keep: 3"))
    assert "continuing after step 6" in good("train", "--resume", run)
    changed = {"step": 6, "event": "recipe", "changed": ["train.steps=8, was 6", "train.keep=3, was 2"]}
    assert events(run, "recipe") == [changed]
    good("train", "--resume", run)
    assert events(run, "recipe") == [changed]


def events(run: Path, kind: str) -> list[dict]:
    found = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [event for event in found if event["event"] == kind]


def test_a_learning_rate_that_falls_on_another_curve_is_told(copy: Callable[[str], Path]):
    run = copy("digits")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("  steps: 6\n", "  steps: 9\n"))
    said = "train.steps=9, was 6: from step 6 on the learning rate falls on another curve"
    assert said in undiffuse("train", "--resume", run).err
    assert [event["changed"] for event in events(run, "recipe")] == [["train.steps=9, was 6"]]
    assert any(event["text"].startswith(said) for event in events(run, "warning"))


def test_another_version_that_goes_on_is_told(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    run = copy("points")
    manifest = json.loads((checkpoint.latest(run / "checkpoints") / "MANIFEST.json").read_text())
    assert manifest["version"] == json.loads((run / "run.json").read_text())["version"] == library.__version__
    for name in ("begin", "experiment"):
        monkeypatch.setattr(f"undiffuse.runs.{name}.__version__", "9.9")
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace("steps: 6", "steps: 7"))
    said = f"undiffuse 9.9 goes on with what {library.__version__} wrote: it may compute otherwise"
    assert said in undiffuse("train", "--resume", run).err
    assert said in [event["text"] for event in events(run, "warning")]
    assert "goes on with" not in undiffuse("train", "--resume", run).err


def test_an_interrupted_start_is_no_obstacle(tmp_path: Path):
    run = train(tmp_path / "run")
    recipe = (run / "recipe.yaml").read_bytes()
    shutil.rmtree(run)
    run.mkdir()
    (run / "recipe.yaml").write_bytes(recipe)
    (run / ".run.json.999999999-0123abcd.tmp").write_bytes(b"{")
    (run / ".lock").write_text("")
    train(run)
    assert not any(".tmp" in name for name in tree(run))


@pytest.mark.parametrize(
    "name", [".notes.tmp", ".recipe.yaml.tmp", ".del-mine", ".lock", "folder", ".run.json.1-a.tmp/"]
)
def test_files_of_the_users_are_no_interrupted_start(tmp_path: Path, name: str):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir()
    if name.endswith("/") or name == "folder":
        mine.mkdir()
        (mine / "thesis.txt").write_text("years")
    else:
        mine.write_text("years")
    before = {path: path.is_file() and path.read_bytes() for path in mine.parent.rglob("*")}
    assert "mine: not an empty folder; choose another" in refused(*WORDS, "mine")
    assert before == {path: path.is_file() and path.read_bytes() for path in mine.parent.rglob("*")}


def test_a_run_in_use(runs: Path, copy: Callable[[str], Path]):
    run = copy("points")
    held = Experiment.open(run)
    for words in (["--resume", run], [*WORDS[1:], run]):
        assert "in use by process" in refused("train", *words, code=75)
    good("sample", run, "-n", 2, "--steps", 2)  # readers take no lock
    del held
    good("train", "--resume", run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int):
    real = module.train

    def signalled(*arguments):
        for progress in real(*arguments):
            if progress.step == 3:
                signal.raise_signal(number)
            yield progress

    monkeypatch.setattr(module, "train", signalled)
    message = refused_last(*WORDS, tmp_path / "run", code=code)
    assert re.search(r"after step 3: saved; go on with: undiffuse train --resume ", message)
    assert checkpoint.latest(tmp_path / "run/checkpoints").name == "step-00000003"
    monkeypatch.setattr(module, "train", real)
    good("train", "--resume", tmp_path / "run")
    assert bits(tmp_path / "run") == bits(train(tmp_path / "whole"))


def test_a_bad_number_stops_and_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = loop._backward

    def bad(model, objective, x_0, generator, to):
        loss = real(model, objective, x_0, generator, to)
        seen.append(loss)
        return loss * torch.inf if len(seen) == 3 else loss

    seen: list[torch.Tensor] = []
    monkeypatch.setattr(loop, "_backward", bad)
    message = refused_last(*WORDS, "run", code=1)
    assert re.search(r"step 2: loss inf, .*undiffuse train --resume run --replay 2$", message)
    monkeypatch.setattr(loop, "_backward", real)
    assert checkpoint.latest(Path("run/checkpoints")).name == "step-00000002"
    found = good("train", "--resume", "run", "--replay", 2)
    assert "step 2, from the checkpoint of step 2: loss " in found
    assert "everything is finite" in found
    assert "steps 0 to 5" in refused("train", "--resume", "run", "--replay", 6)
    assert "give --resume RUN" in refused(*WORDS, "new", "--replay", 1)


def test_replay_names_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good(*WORDS, "run", "train.checkpoint_every=3")
    real = Experiment.steps

    def poisoned(self):
        with torch.no_grad():
            next(self.run.model.parameters()).view(-1)[0] = torch.nan
        return real(self)

    monkeypatch.setattr(Experiment, "steps", poisoned)
    found = good("train", "--resume", "run", "--replay", 3)
    assert "first bad tensor: weights: network." in found
    assert re.search(r"first module whose output is not finite: \w+", found)


def test_skipped_steps_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = loop._backward
    seen: list[torch.Tensor] = []

    def bad(*given):
        seen.append(real(*given))
        return seen[-1] * torch.nan if len(seen) == 2 else seen[-1]

    monkeypatch.setattr(loop, "_backward", bad)
    good(*WORDS, "run", "train.non_finite=skip", "train.log_every=1")
    (event,) = (json.loads(line) for line in Path("run/events.jsonl").read_text().splitlines())
    assert (event["step"], event["event"], event["in_a_row"]) == (2, "skipped", 1)
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 3, 4, 5, 6]


def test_the_loss_scale_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped among overflows, and between two doublings of the scale."""
    monkeypatch.setattr(scaling, "FIRST", 2.0**26)
    monkeypatch.setattr(scaling, "GROWTH", 3)
    words = [*WORDS[:-1], "train.steps=24", "train.precision=fp16", "train.log_every=1", "--out"]
    good(*words, "whole")
    rows = [json.loads(line) for line in Path("whole/metrics.jsonl").read_text().splitlines()]
    first, last = rows[0], rows[-1]
    assert 1 < first["overflows"] < last["overflows"] == 24 - len(rows)
    assert first["step"] == first["overflows"] + 1
    assert len({row["loss_scale"] for row in rows}) > 1
    state = json.loads((checkpoint.latest(Path("whole/checkpoints")) / "state.json").read_text())["scaling"]
    assert (state["scale"], state["overflows"]) == (last["loss_scale"], last["overflows"])
    real = module.train
    for stop in (2, first["overflows"] + 1, 3):

        def signalled(*arguments, stop=stop):
            for number, progress in enumerate(real(*arguments), 1):
                if number == stop:
                    signal.raise_signal(signal.SIGTERM)
                yield progress

        monkeypatch.setattr(module, "train", signalled)
        refused_last(*words, "part", code=143)
    monkeypatch.setattr(module, "train", real)
    good(*words, "part")
    assert bits(Path("part")) == bits(Path("whole"))


def test_no_memory_says_what_to_try(monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123456 bytes.")

    monkeypatch.setattr(loop, "_backward", full)
    message = refused_last(*WORDS, "run", code=71)
    assert message.startswith("out of memory: 123456 bytes could not be had; train with train.accumulate=2")


def test_a_batch_is_halved_until_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = loop._backward

    def small(parallel, x_0, labels, key, state):
        if len(x_0) > 4 * state.parts:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(parallel, x_0, labels, key, state)

    monkeypatch.setattr(loop, "_backward", small)
    message = refused_last(*WORDS, "run", code=71)
    assert "2.00 GiB could not be had" in message and "train.halve_on_oom=true" in message
    result = undiffuse(*WORDS, "halved", "train.halve_on_oom=true")
    assert result.code == 0
    assert "out of memory: from step 1 on in 4 parts, as by train.accumulate=4" in result.err
    assert json.loads(Path("halved/events.jsonl").read_text()) == {
        "step": 1,
        "event": "out of memory",
        "parts": 4,
    }
    good(*WORDS, "parts", "train.accumulate=4")
    halved, parts = bits(Path("halved")), bits(Path("parts"))
    assert all(halved[f"{group}.safetensors"] == parts[f"{group}.safetensors"] for group in checkpoint.GROUPS)


def test_threads_are_taken_over_and_another_canary_is_told(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    run, threads = copy("points"), torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        Experiment.open(run)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr("undiffuse.runs.rounding.canary", lambda device: "another song")
    assert "--exact: from step 6 on not bit for bit" in refused("train", "--resume", run, "--exact")
    assert "warning: from step 6 on not bit for bit" in undiffuse("train", "--resume", run).err
    assert json.loads((run / "events.jsonl").read_text())["event"] == "warning"
