"""Checkpoints: exact, verified, never half-written."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from toy import new_state, same, steps, tensors

from undiffuse.training import checkpoint, restore, state_of
from undiffuse.training.checkpoint import Checkpoint

FILES = (
    "MANIFEST.json",
    "average.safetensors",
    "best.safetensors",
    "optimizer.safetensors",
    "state.json",
    "weights.safetensors",
)
GROUPS = ("weights", "average", "optimizer", "best")


def example(step: int = 3, **changes: dict[str, torch.Tensor]) -> Checkpoint:
    odd = torch.tensor([-0.0, 1e-42, 1 / 3, 3e38])
    groups = {
        "weights": {"a.b": odd, "c": torch.eye(3).T},
        "average": {"a.b": odd * 0.5},
        "optimizer": {"step/a.b": torch.tensor(7.0), "exp_avg/a.b": odd.double() / 3},
    }
    return Checkpoint(step, **(groups | changes), state={"settings": {"lr": 0.1}})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return checkpoint.save(tmp_path, example(), keep=2)


def test_a_round_trip_is_exact(saved: Path):
    loaded, first = checkpoint.load(saved), example()
    assert saved.name == "step-00000003"
    assert sorted(f.name for f in saved.iterdir()) == sorted(FILES)
    assert loaded.step == 3
    assert loaded.state["settings"] == {"lr": 0.1}
    for group in GROUPS:
        a, b = getattr(loaded, group), getattr(first, group)
        assert same(a, b)
        assert all(a[name].dtype == b[name].dtype for name in a)
    assert same(checkpoint.load_best(saved)[0], first.average)
    assert torch.signbit(loaded.weights["a.b"][0])


def test_the_best_weights_are_those_that_are_used(tmp_path: Path):
    best = {"a.b": torch.tensor([1.0, -2.0])}
    now = Checkpoint(9, best, best, {}, {"watch": {"best": 4}}, best={"a.b": torch.tensor([0.5, 0.25])})
    weights, step = checkpoint.load_best(checkpoint.save(tmp_path, now, keep=1))
    assert step == 4 and weights["a.b"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_training_goes_on_bit_for_bit(tmp_path: Path, dropout: float):
    whole, first, second = (new_state(dropout, seed) for seed in (0, 0, 1))
    steps(whole)
    steps(first, count=3)
    parameters = {name: p.detach() for name, p in first.model.named_parameters()}
    now = Checkpoint(3, parameters, first.ema.average, state_of(first.optimizer, first.model), {})
    loaded = checkpoint.load(checkpoint.save(tmp_path, now, 1))
    second.model.load_state_dict(loaded.weights)
    second.ema.average.update(loaded.average)
    restore(second.optimizer, second.model, loaded.optimizer)
    second.step = loaded.step
    steps(second)
    assert same(tensors(whole), tensors(second))


def damage(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    elif how == "empty":
        file.write_bytes(b"")
    else:
        data = bytearray(file.read_bytes())
        data[{"first": 0, "middle": len(data) // 2, "last": -1}[how]] ^= 1
        file.write_bytes(data)


@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "first", "middle", "last"])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_and_named(saved: Path, name: str, how: str):
    damage(saved / name, how)
    with pytest.raises(ValueError, match=name):
        checkpoint.load(saved)
    if name in ("average.safetensors", "state.json", "MANIFEST.json"):
        with pytest.raises(ValueError, match=name):
            checkpoint.load_best(saved)


def test_every_bit_of_the_manifest_counts(saved: Path):
    file = saved / "MANIFEST.json"
    data = file.read_bytes()
    for place in range(len(data)):
        bit = 1 << place % 8
        file.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
        with pytest.raises(ValueError, match="MANIFEST"):
            checkpoint.load(saved)


def test_a_file_too_many_is_found(saved: Path):
    (saved / "more.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"more\.safetensors: not a file of a checkpoint"):
        checkpoint.load(saved)


def seal(path: Path, **changes: object) -> None:
    """A manifest with changes that agrees with itself."""
    manifest = json.loads((path / "MANIFEST.json").read_text()) | changes
    del manifest["seal"]
    text = json.dumps(manifest | {"seal": checkpoint.seal(manifest)}, indent=2)
    (path / "MANIFEST.json").write_text(text + "\n")


def rewrite(path: Path, name: str, text: str) -> None:
    """Another file with a manifest that agrees."""
    (path / name).write_text(text)
    files = json.loads((path / "MANIFEST.json").read_text())["files"]
    files[name] = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    seal(path, files=files)


@pytest.mark.parametrize("load", [checkpoint.load, checkpoint.load_best])
def test_another_format_is_refused(saved: Path, load):
    seal(saved, format=99)
    with pytest.raises(checkpoint.FormatError, match="format 99, this version reads 3"):
        load(saved)
    (saved / "MANIFEST.json").write_text('{"sha256": {"state.json": "a"}}')
    with pytest.raises(checkpoint.FormatError, match="format 1, this version reads 3"):
        load(saved)


def test_a_manifest_that_agrees_does_not_make_a_weight_file(saved: Path):
    rewrite(saved, "weights.safetensors", "no tensors")
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a safetensors file"):
        checkpoint.load(saved)


@pytest.mark.parametrize("text", ["[]", "{}", '{"seal": 3}', '{"files": {}}', "[" * 99_999])
def test_a_manifest_must_be_one(saved: Path, text: str):
    (saved / "MANIFEST.json").write_text(text)
    for load in (checkpoint.load, checkpoint.load_best):
        with pytest.raises(ValueError, match="step-00000003"):
            load(saved)


@pytest.mark.parametrize("name", checkpoint.FILES)
def test_a_file_that_the_manifest_forgot(saved: Path, name: str):
    files = json.loads((saved / "MANIFEST.json").read_text())["files"]
    del files[name]
    seal(saved, files=files)
    for load in (checkpoint.load, checkpoint.load_best):
        with pytest.raises(ValueError, match="lists other files"):
            load(saved)


def test_the_newest_are_kept(tmp_path: Path):
    for step in (5, 90, 100, 1000):
        checkpoint.save(tmp_path, example(step), keep=2)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-00000100", "step-00001000"]
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoint.latest(tmp_path).name == "step-00001000"


def test_other_folders_are_no_checkpoints(saved: Path):
    shutil.copytree(saved, saved.with_name("step-00000003-backup"))
    shutil.copytree(saved, saved.with_name(".step-00000009.tmp"))
    saved.with_name("step-00000004").write_text("a file")
    assert checkpoint.steps(saved.parent) == [saved]


def test_there_may_be_none_yet(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoint.latest(tmp_path / "checkpoints")


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_never_saved(tmp_path: Path, group: str, value: float):
    bad = {"x": torch.tensor([1.0, value])}
    with pytest.raises(ValueError, match=f"{group}: x is not finite"):
        checkpoint.save(tmp_path, example(**{group: bad}), keep=1)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_json", full)
    with pytest.raises(OSError, match=r"step-00000009: No space.* bytes were needed, .* are free"):
        checkpoint.save(saved.parent, example(9), keep=1)
    assert list(saved.parent.iterdir()) == [saved]
    checkpoint.verify(saved)
