"""undiffuse train: from a recipe to a run, and on after a stop."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from shell import CHAIN, POINTS, UNET, good, refused, train, tree, undiffuse

from undiffuse.diffusion import save_picture
from undiffuse.recipes import load_data, override, read
from undiffuse.runs import Experiment, load, read_facts, read_metrics
from undiffuse.training import checkpoint

KINDS = ("points", "digits", "pictures", "vectors", "sequences", "levels")


def last(run: Path) -> checkpoint.Checkpoint:
    return checkpoint.load(checkpoint.latest(run / "checkpoints"))


def same(a: Path, b: Path) -> bool:
    """Whether two runs ended with the same bits."""
    one, two = last(a), last(b)
    for group in ("weights", "average", "optimizer"):
        x, y = getattr(one, group), getattr(two, group)
        if x.keys() != y.keys() or not all(torch.equal(x[name], y[name]) for name in x):
            return False
    return one.step == two.step


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_has_its_files_and_no_others(runs: Path, kind: str):
    files = {f"checkpoints/step-00000006/{f}.safetensors" for f in ("weights", "average", "optimizer")}
    files |= {"recipe.yaml", "run.json", "metrics.jsonl"}
    files |= {"curves.png", "schedule.png"} if kind == "points" else set()  # as `conftest` says
    assert files <= tree(runs / kind)
    assert not [name for name in tree(runs / kind) if ".tmp" in name]
    assert read_facts(runs / kind)["examples"]["train"] >= 18


def test_what_was_asked_for_on_the_way_is_there(runs: Path):
    rows = read_metrics(runs / "points")
    assert [row["step"] for row in rows] == [2, 3, 4, 6]
    assert ["test_bits" in row for row in rows] == [False, True, False, True]
    assert {"loss", "lr", "grad_norm", "seconds"} <= rows[0].keys()
    assert {"samples/step-00000003.png", "samples/step-00000006.png"} <= tree(runs / "points")
    assert [p.name for p in checkpoint.steps(runs / "points/checkpoints")] == [
        "step-00000004",
        "step-00000006",
    ]


def test_a_row_holds_the_mean_loss_since_the_last(tmp_path: Path):
    each, some = train(tmp_path / "a", POINTS, "train.log_every=1"), train(tmp_path / "b")
    losses = [row["loss"] for row in read_metrics(each)]
    assert len(losses) == 6
    assert [row["loss"] for row in read_metrics(some)] == [pytest.approx(sum(losses) / 6)]


def test_the_screen_says_what_happens(tmp_path: Path):
    result = undiffuse("train", *POINTS, *CHAIN, "train.steps=3", "--out", "mine")
    assert "200 training and 40 test examples of shape 2, continuous; " in result.out
    assert "parameters -> mine\n" in result.out
    *_, done, drawn, _, _, following = result.out.splitlines()
    assert done == "done: mine" and drawn.split()[0] == "mine/samples.png"
    assert following == "next: undiffuse score mine PATH"
    assert "3 of 3" in result.err
    assert "loss" in result.err


@pytest.mark.parametrize("extra", [[], ["network.kind=unet", "network.dropout=0.4"]])
def test_resumed_is_uninterrupted(runs: Path, tmp_path: Path, extra: list[str]):
    recipe = ["digits", "network.channels=4", "train.channels_last=true", *extra] if extra else POINTS
    whole = train(tmp_path / "whole", recipe, "train.checkpoint_every=4", "train.log_every=1")
    part = Path(shutil.copytree(whole, tmp_path / "part"))
    shutil.rmtree(part / "checkpoints/step-00000006")
    assert "continuing after step 4\n" in good("train", "--resume", part)
    assert same(whole, part)
    rows = [[{k: v for k, v in r.items() if k != "seconds"} for r in read_metrics(x)] for x in (whole, part)]
    assert rows[0] == rows[1]


def test_a_run_stopped_before_its_first_checkpoint_starts_again(runs: Path, copy: Callable[[str], Path]):
    run = copy("points")
    shutil.rmtree(run / "checkpoints")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # cut off
    good("train", "--resume", run)
    assert same(run, runs / "points")
    assert [row["step"] for row in read_metrics(run)] == [2, 3, 4, 6]


def test_the_log_is_never_behind_a_checkpoint(monkeypatch: pytest.MonkeyPatch):
    def interrupted(*arguments: object) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    save, words = checkpoint.save, ["train.steps=6", "train.checkpoint_every=4", "train.log_every=1"]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupted)
        assert undiffuse("train", *POINTS, *CHAIN, *words, "--out", "run").code == 130
    good("train", "--resume", "run")
    assert [row["step"] for row in read_metrics(Path("run"))] == [1, 2, 3, 4, 5, 6]


def test_what_is_measured_on_the_way_is_the_average(runs: Path):
    run = load(runs / "points")
    bits = run.evaluate(load_data(run.recipe).test, terms=10).total - run.shift
    assert read_metrics(run.folder)[-1]["test_bits"] == bits.mean
    assert read_metrics(run.folder)[-1]["test_bits_se"] == bits.se
    save_picture(run, run.sample(64, steps=4), Path("again"))
    assert Path("again.png").read_bytes() == (run.folder / "samples/step-00000006.png").read_bytes()


def test_first_weights_follow_the_seed():
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        node = override(read("swiss-roll"), ["network.hidden=8", f"seed={seed}"])
        state = Experiment.create(name, node).state
        found.append(next(state.model.parameters()).detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_finished_run_stays_as_it_is(runs: Path, copy: Callable[[str], Path]):
    run = copy("points")
    before = (run / "metrics.jsonl").read_bytes()
    good("train", "--resume", run)
    assert same(run, runs / "points")
    assert (run / "metrics.jsonl").read_bytes() == before


def test_the_seed_decides(tmp_path: Path):
    a, b = train(tmp_path / "a"), train(tmp_path / "b")
    good("train", *POINTS, *CHAIN, "train.steps=6", "--seed", 1, "--out", tmp_path / "c")
    assert same(a, b)
    assert not same(a, tmp_path / "c")
    assert load(tmp_path / "c").recipe["seed"] == 1


def test_logging_changes_nothing(runs: Path, tmp_path: Path):
    """Samples, evaluations and checkpoints on the way leave the weights as they are."""
    assert same(runs / "points", train(tmp_path / "quiet"))


def test_a_recipe_file_of_ones_own(tmp_path: Path, runs: Path):
    text = good("recipes", "swiss-roll")
    Path("mine.yaml").write_text(text)
    assert yaml.safe_load(text)["network"]["hidden"] == 128
    assert same(train(tmp_path / "a", ["mine.yaml", *POINTS[1:]]), runs / "points")


def test_runs_are_numbered(tmp_path: Path):
    for _ in range(2):
        good("train", *POINTS, *CHAIN, "train.steps=1")
    assert {"runs/swiss-roll/run.json", "runs/swiss-roll-2/run.json"} <= tree(tmp_path)


def test_an_empty_folder_may_be_there(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    train(tmp_path / "empty")


@pytest.mark.parametrize("name", ["2024", "a: b #c", 'quo"te', "é😀"])
def test_a_data_folder_of_any_name(made: Path, tmp_path: Path, name: str):
    shutil.copytree(made / "pictures", tmp_path / name)
    words = ["train.steps=1", "train.evaluate_every=0", *UNET]
    good("train", "images", *CHAIN, *words, "--data-dir", name, "--out", "run")
    written = yaml.safe_load(Path("run/recipe.yaml").read_text())
    assert written["data"]["path"] == str(tmp_path / name)


def test_it_can_go_on_from_another_folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(made / "vectors.npy", "here.npy")
    words = ["swiss-roll", "data.kind=array", "data.path=here.npy", "network.hidden=8"]
    run = train(tmp_path / "run", words)
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    good("train", "--resume", run)
    good("evaluate", run)


def test_data_are_normalised_as_the_run_began(copy: Callable[[str], Path], made: Path):
    run = copy("vectors")
    other = np.load(made / "vectors.npy") * 7
    np.save("other.npy", other)
    text = (
        (run / "recipe.yaml")
        .read_text()
        .replace(str(made / "vectors.npy"), str(Path("other.npy").absolute()))
    )
    (run / "recipe.yaml").write_text(text)
    assert "other.npy was added, vectors.npy was removed; restore them" in refused("train", "--resume", run)
    experiment = Experiment.open(run, other_data=True)
    assert experiment.run.space.state() == load(run).space.state()
    assert "the data have changed" in (run / "events.jsonl").read_text()


def test_options_for_new_runs_are_refused_when_resuming(runs: Path):
    for option in (["--out", "x"], ["--seed", "1"], ["--minutes", "1"]):
        assert "--resume goes on with a run" in refused("train", "--resume", runs / "points", *option)
    assert "not both" in refused("train", "digits", "--resume", runs / "points")
    assert "not both" in refused("train")


def test_a_run_goes_on_with_keys_that_are_free(copy: Callable[[str], Path], made: Path):
    run = copy("vectors")
    moved = Path(shutil.copytree(made, "moved"))
    good("train", "--resume", run, "train.steps=8", "--data-dir", moved / "vectors.npy")
    recipe = read(str(run / "recipe.yaml"))
    assert load(run).step == 8 and recipe["train"]["steps"] == 8
    assert recipe["data"]["path"] == str((moved / "vectors.npy").absolute())
    said = refused("train", "--resume", run, "train.lr=0.1", "network.hidden=9")
    assert "network.hidden=9, was 8" in said and "a run that has begun keeps this" in said
    assert "did you mean 'steps'" in refused("train", "--resume", run, "train.step=9")
    assert "nothing at" in refused("train", "--resume", run, "train.steps=9", "data.path=gone.npy")
    assert read(str(run / "recipe.yaml")) == recipe  # nothing was written


def test_metrics_are_json_lines(runs: Path):
    lines = (runs / "points" / "metrics.jsonl").read_text().splitlines()
    assert all(isinstance(json.loads(line)["loss"], float) for line in lines)
