"""Training on data that stay on the disk, and what happens when they are damaged or changed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import UNET, good, refused, train, undiffuse

from undiffuse.recipes import load, load_data, read_metrics
from undiffuse.training import checkpoint

QUIET = ["train.evaluate_every=0", "train.sample_every=0"]
MLP = ["network.kind=mlp", "network.hidden=8", "network.layers=1", "train.flips=false"]


@pytest.fixture
def pictures(made: Path, tmp_path: Path) -> Path:
    """Pictures of one's own."""
    return Path(shutil.copytree(made / "pictures", tmp_path / "pictures"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(checkpoint.latest(run / "checkpoints")).weights


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", ["vectors", "levels"])
def test_training_is_the_same_from_memory_and_from_the_file(made: Path, tmp_path: Path, name: str):
    words = ["images", "data.kind=array", f"data.path={made / name}.npy", *MLP, *QUIET]
    kept, mapped = train(tmp_path / "a", words), train(tmp_path / "b", [*words, "data.memory=0"])
    assert same(kept, mapped)
    assert "bits" in good("evaluate", mapped, "--examples", "4")


def test_training_is_the_same_from_memory_and_from_the_pictures(pictures: Path, runs: Path, tmp_path: Path):
    words = ["images", f"data.path={pictures}", *UNET, *QUIET, "data.memory=0"]
    lazy = train(tmp_path / "lazy", words, "train.steps=3")
    assert read_metrics(lazy)
    good("train", "--resume", lazy)
    whole = train(tmp_path / "whole", words, "data.workers=1")
    assert same(whole, runs / "pictures")


def test_a_bad_picture_ends_a_run_or_is_listed(pictures: Path, tmp_path: Path):
    (pictures / "7.png").write_bytes((pictures / "7.png").read_bytes()[:-50])
    words = ["images", f"data.path={pictures}", *UNET, *QUIET, "data.memory=0"]
    assert "7.png cannot be read" in refused("train", *words, "--out", "stopped")
    result = undiffuse("train", *words, "data.skip_bad=true", "train.steps=3", "--out", "run")
    assert result.code == 0, result.err
    assert "1 files could not be read and were skipped" in result.out
    (line,) = Path("run/skipped.txt").read_text().splitlines()
    assert "7.png cannot be read" in line


def add(root: Path) -> str:
    Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(root / "new.png")
    return "new.png was added"


def remove(root: Path) -> str:
    (root / "3.png").unlink()
    return "3.png was removed"


def modify(root: Path) -> str:
    size = (root / "3.png").stat().st_size
    Image.fromarray(np.full((7, 9, 3), 8, np.uint8)).save(root / "3.png", compress_level=0)
    assert (root / "3.png").stat().st_size == size
    return "3.png was changed"


@pytest.mark.parametrize("change", [add, remove, modify])
def test_changed_files_are_named_and_allowed_only_when_told(
    pictures: Path, tmp_path: Path, change
):
    Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(pictures / "3.png", compress_level=0)
    words = ["images", f"data.path={pictures}", *MLP, *QUIET, "train.log_every=1"]
    run = train(tmp_path / "run", words, "train.steps=3")
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("  steps: 3\n", "  steps: 6\n"))
    what = change(pictures)
    assert what in refused("train", "--resume", run)
    result = undiffuse("train", "--resume", run, "--allow-data-change")
    assert result.code == 0, result.err
    marked = [row["step"] for row in read_metrics(run) if row.get("data_changed") == what]
    assert marked == [4]
    facts = json.loads((run / "run.json").read_text())
    assert facts["data_changes"] == [{"step": 3, "files": what}]
    assert facts["examples"]["train"] == len(load_data(load(run).recipe).train)
    good("train", "--resume", run)  # the change is known now


def test_the_flag_is_for_resuming(tmp_path: Path):
    assert "--resume RUN" in refused("train", "digits", "--allow-data-change", "--out", "x")


def test_a_tracker_gets_numbers_and_samples(made: Path, tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = ["images", f"data.path={made / 'pictures'}", *UNET, "train.evaluate_every=0"]
    often = ["train.sample_every=3", "train.sample_steps=2", "train.log_every=2", "train.tracker=tensorboard"]
    run = train(tmp_path / "run", [*words, *often])
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    rows = read_metrics(run)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [
        (row["step"], pytest.approx(row["loss"])) for row in rows
    ]
    assert [e.step for e in events.Images("samples")] == [3, 6]


def test_trackers_are_a_closed_registry(monkeypatch):
    assert "tensorboard, wandb, trackio" in refused("train", "digits", "train.tracker=os", "--out", "x")
    monkeypatch.setitem(sys.modules, "wandb", None)
    message = refused("train", "digits", "train.tracker=wandb", "--out", "x")
    assert message == "train.tracker=wandb needs: pip install 'undiffuse[wandb]'"
    assert not Path("x").exists()
