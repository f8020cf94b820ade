"""What a start does with what it finds."""

import os
from pathlib import Path

import pytest
import torch

from undiffuse.files import folder
from undiffuse.training import checkpoint, recover
from undiffuse.training.checkpoint import Checkpoint


def saved(root: Path, *steps: int) -> list[Path]:
    groups = {name: {"a": torch.ones(3)} for name in checkpoint.GROUPS}
    return [checkpoint.save(root, Checkpoint(step, **groups, state={}), keep=9) for step in steps]


def test_the_newest_whole_one(tmp_path: Path):
    _, middle, newest = saved(tmp_path, 9, 10, 100)
    assert recover(tmp_path)[0].step == 100
    assert recover(tmp_path, until=99)[0].step == 10
    (newest / "state.json").write_text("{}")
    (middle / "weights.safetensors").unlink()
    found, reasons = recover(tmp_path)
    assert found.step == 9
    assert ["state.json" in reasons[0], "weights" in reasons[1]] == [True, True]
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "bad-step-00000010",
        "bad-step-00000100",
        "step-00000009",
    ]
    assert "state.json" in (tmp_path / "bad-step-00000100" / "REASON.txt").read_text()


def test_none_whole_is_an_error_again_and_again(tmp_path: Path):
    (only,) = saved(tmp_path, 5)
    (only / "MANIFEST.json").write_text("")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"nothing was started over \(bad-step-00000005: .*MANIFEST"):
            recover(tmp_path)


def test_none_at_all_is_a_start(tmp_path: Path):
    assert recover(tmp_path / "none") == (None, [])


def test_another_version_is_not_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saved(tmp_path, 5)
    monkeypatch.setattr("undiffuse.manifest.FORMAT", 4)
    with pytest.raises(checkpoint.FormatError, match="format 3, this version reads 4"):
        recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]


def test_leftovers_go_and_what_is_being_written_stays(tmp_path: Path):
    for name in (".step-7.0123abcd.tmp", f".step-7.{os.getpid()}-0123abcd.tmp", ".del-step-00000001"):
        path = tmp_path / name
        path.mkdir()
        (path / "weights.safetensors").write_bytes(b"")
    with folder(tmp_path / "step-00000008") as alive:
        assert recover(tmp_path) == (None, [])
        assert list(tmp_path.iterdir()) == [alive]


def test_what_is_not_finite_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saved(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "first_bad", lambda groups: None)
        groups = {name: {"a": torch.tensor([torch.nan])} for name in checkpoint.GROUPS}
        checkpoint.save(tmp_path, Checkpoint(2, **groups, state={}), keep=9)
    found, (reason,) = recover(tmp_path)
    assert found.step == 1
    assert "weights: a is not finite" in reason


def test_retention_keeps_by_step_and_after_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order = []
    for name in ("folder", "remove"):
        real = getattr(checkpoint, name)
        monkeypatch.setattr(
            checkpoint, name, lambda path, n=name, f=real: (order.append((n, path.name)), f(path))[1]
        )
    groups = {name: {"a": torch.ones(3)} for name in checkpoint.GROUPS}
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, Checkpoint(step, **groups, state={}), keep=1)
    assert order[-2:] == [("folder", "step-00000030"), ("remove", "step-00000002")]
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000030"]
