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

from undiffuse.data import SOURCES, Rows
from undiffuse.runs import Experiment, facts, read_metrics
from undiffuse.training import checkpoint

QUIET = ["train.evaluate_every=0", "train.sample_every=0", "train.watch=0"]
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
    assert "warning: 1 files could not be read and were skipped" in result.err
    (line,) = Path("run/skipped.txt").read_text().splitlines()
    assert "7.png cannot be read" in line


def add(root: Path) -> str:
    Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(root / "new.png")
    return "new.png was added"


def remove(root: Path) -> str:
    (root / "3.png").unlink()
    return "3.png was removed"


def exchange(root: Path) -> str:
    add(root)
    remove(root)
    return "3.png was removed, new.png was added"


def modify(root: Path) -> str:
    size = (root / "3.png").stat().st_size
    Image.fromarray(np.full((7, 9, 3), 8, np.uint8)).save(root / "3.png", compress_level=0)
    assert (root / "3.png").stat().st_size == size
    return "3.png was changed"


@pytest.fixture
def interrupted(pictures: Path, tmp_path: Path) -> Path:
    """A run on these pictures with half of its six steps left."""
    Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(pictures / "3.png", compress_level=0)
    words = ["images", f"data.path={pictures}", *MLP, *QUIET, "train.log_every=1"]
    run = train(tmp_path / "run", words, "train.steps=3")
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("  steps: 3\n", "  steps: 6\n"))
    return run


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("change", [exchange, modify])
def test_changed_files_are_named_and_accepted_only_when_told(pictures: Path, interrupted: Path, change):
    run, what = interrupted, change(pictures)
    assert what in refused("train", "--resume", run)
    result = undiffuse("train", "--resume", run, "--allow-data-change")
    assert result.code == 0, result.err
    recipe, event, _ = noted = events(run)  # the third: the rate of a cosine falls otherwise now
    assert recipe["changed"] == ["train.steps=6, was 3"]
    assert event["step"] == 3 and event["text"] == f"the data have changed since the run began: {what}"
    good("train", "--resume", run)  # the change is known now
    assert not [each for each in events(run)[len(noted) :] if "data" in each.get("text", "")]
    (pictures / "4.png").write_bytes((pictures / "5.png").read_bytes())
    assert "began with: 4.png was changed; restore" in refused("train", "--resume", run)


@pytest.mark.parametrize("change", [add, remove])
def test_another_number_of_files_is_named_and_never_accepted(pictures: Path, interrupted: Path, change):
    what = change(pictures)
    for words in ([], ["--allow-data-change"]):
        message = refused("train", "--resume", interrupted, *words)
        assert f"({what}); restore them, or start a new run" in message
    assert not (interrupted / "events.jsonl").exists()


def test_values_that_no_fingerprint_sees(made: Path, tmp_path: Path):
    """Of the same files: here by another key of the recipe, such as one that orders values otherwise."""
    run = train(tmp_path / "run", ["images", f"data.path={made / 'pictures'}", *MLP, *QUIET])
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"sha256": "0" * 64}))
    assert "some of their values differ; restore them" in refused("train", "--resume", run)
    assert undiffuse("train", "--resume", run, "--allow-data-change").code == 0
    assert json.loads((run / "run.json").read_text()) == facts


def test_a_refused_resume_lets_go_of_the_run(pictures: Path, interrupted: Path):
    modify(pictures)
    with pytest.raises(ValueError, match="restore them") as kept:  # with all the frames of its traceback
        Experiment.open(interrupted)
    assert kept and Experiment.open(interrupted, other_data=True).state.step == 3


@pytest.mark.parametrize("key", ["memory: 0", "workers: 1", "skip_bad: true"])
def test_a_run_goes_on_with_its_data_read_otherwise(pictures: Path, interrupted: Path, key: str):
    name = key.partition(":")[0]
    lines = (interrupted / "recipe.yaml").read_text().splitlines()
    lines = [f"  {key}" if line.startswith(f"  {name}:") else line for line in lines]
    assert f"  {key}" in lines
    (interrupted / "recipe.yaml").write_text("\n".join(lines))
    good("train", "--resume", interrupted)
    event = events(interrupted)[0]
    changed = {each.partition("=")[0] for each in event["changed"]}
    assert event["event"] == "recipe" and changed == {"train.steps", f"data.{name}"}


def test_an_interrupted_start_begins_again(made: Path, tmp_path: Path):
    words = ["images", f"data.path={made / 'pictures'}", *MLP, *QUIET]
    run = train(tmp_path / "run", words)
    for path in run.iterdir():
        if path.name not in ("recipe.yaml", "data.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    train(run, words)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.json").write_text("{}")
    assert "not an empty folder" in refused("train", *words, "--out", tmp_path / "other")


def test_values_hash_the_same_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All of small data, and at most so many examples of larger ones."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(90, 3)).astype("f4"))
    kept, mapped = (SOURCES["array"](tmp_path / "x.npy", memory=gb).load().train for gb in (1, 0))
    assert isinstance(mapped, Rows)
    seen: list[int] = []
    read = mapped.read
    monkeypatch.setattr(mapped, "read", lambda rows: (seen.append(len(rows)), read(rows))[1])
    for limits, count in {(2**26, 1024): len(kept), (500, 1024): 41, (500, 7): 7, (1, 7): 2}.items():
        monkeypatch.setattr(facts, "HASHED", limits[0])
        monkeypatch.setattr(facts, "LOOKED", limits[1])
        assert facts.hash_of(mapped) == facts.hash_of(kept) and seen.pop() == count


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
    assert message == "train.tracker=wandb needs: pip install 'wandb>=0.22'"
    assert not Path("x").exists()
