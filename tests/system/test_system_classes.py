"""Runs that know classes, and the recipes of DDPM on small files of the right format."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from shell import UNET, good, refused, train

import undiffuse
from undiffuse.data.cifar10 import TEST, TRAIN
from undiffuse.recipes import load_data

DDPM = ["network.channels=16", "train.precision=fp32", "train.steps=2", "train.batch=2", "grid.steps=5"]
DDPM += ["train.evaluate_every=0", "train.sample_every=0"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on labelled digits."""
    words = ["digits", *UNET, "condition=labels", "train.condition_dropout=0.2", "train.sample_every=0"]
    return train(
        tmp_path_factory.mktemp("classes") / "run", words, "train.evaluate_every=3", "train.steps=30"
    )


def test_a_class_is_sampled_and_guided(digits):
    run = undiffuse.load(digits)
    said = json.loads((digits / "run.json").read_text())["conditions"]
    assert said == {"labels": {"kind": "class", "count": 10, "names": []}}
    for words in (["--class", 3], ["--class", 3, "--guidance", 2], ["--class", -1]):
        good("sample", digits, "-n", 2, *words)
    three, guided, none = (
        np.load(digits / "samples" / f"seed0-from0-n2-{name}.npy")
        for name in ("class3", "class3-guidance2", "class-1")
    )
    assert np.array_equal(none, run.sample(2).numpy())
    assert not np.array_equal(three, none) and not np.array_equal(three, guided)
    assert np.array_equal(three, run.given(3).sample(2).numpy())
    assert np.array_equal(guided, run.given(3, 2.0).sample(2).numpy())


def test_the_bound_is_that_of_the_labels(digits):
    good("evaluate", digits, "--examples", 20)
    said = json.loads((digits / "evaluation-test-20-examples.json").read_text())
    run = undiffuse.load(digits)
    splits = load_data(run.recipe)
    raw, labels = splits.test[:20], splits.test_labels[:20]
    kwargs = {"terms": run.recipe["evaluate_terms"]}
    told, none = (r.evaluate(raw, **kwargs).total.mean for r in (run.given(labels), run))
    assert said["rows"][0]["mean"] == pytest.approx(told, abs=1e-9) and told != none
    each = torch.stack(
        [run.given(int(label)).bits(raw[i : i + 1], seed=0)[0] for i, label in enumerate(labels[:1])]
    )
    torch.testing.assert_close(run.given(labels[:1]).bits(raw[:1], seed=0), each)


def test_what_is_no_class_is_refused(digits, runs):
    assert "class 10; this model knows 0 to 9" in refused("sample", digits, "--class", 10)
    assert "class -2" in refused("sample", digits, "--class", -2)
    assert "give --class or --given too" in refused("sample", digits, "--guidance", 2)
    assert "takes no condition" in refused("sample", runs / "digits", "--class", 1)
    assert "scale=inf" in refused("sample", digits, "--class", 1, "--guidance", "inf")
    words = ["train", "swiss-roll", "condition=labels", "--out", "x"]
    assert "the data have no labels" in refused(*words)
    words = ["train", "digits", "condition=labels", "network={kind: annotated}", "--out", "x"]
    assert "takes none; use unet or mlp" in refused(*words)


def test_predictions_are_clipped_or_not(runs):
    good("sample", runs / "digits", "-n", 2, "--clip")
    clipped = np.load(runs / "digits" / "samples" / "seed0-from0-n2-clip.npy")
    run = undiffuse.load(runs / "digits")
    assert np.array_equal(clipped, run.clipped(True).sample(2).numpy())
    x, t = torch.full((2, 1, 8, 8), 5.0), torch.tensor(0.3, dtype=torch.float64)
    assert run.model.predict(x, t).max() > 1 >= run.clipped(True).model.predict(x, t).max()
    assert torch.equal(run.clipped(True).clipped(False).model.predict(x, t), run.model.predict(x, t))
    assert "no range" in refused("sample", runs / "points", "--clip")


def test_cifar10_trains_for_two_steps(tmp_path):
    draw = np.random.default_rng(0)
    folder = tmp_path / "cifar"
    folder.mkdir()
    for file in (*TRAIN, *TEST):
        records = draw.integers(0, 256, (4, 3073), dtype=np.uint8)
        records[:, 0] = draw.permutation(4) + 6
        (folder / file).write_bytes(records.tobytes())
    run = train(tmp_path / "run", ["cifar10-conditional", f"data.path={folder}", *DDPM])
    good("sample", run, "-n", 1, "--steps", 2, "--class", 9, "--guidance", 1.5)
    assert len(list((run / "samples").glob("*.png"))) == 1


def test_lsun_trains_for_two_steps(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i in range(6):
        picture = draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{i}.jpg")
    run = train(tmp_path / "run", ["lsun", f"data.path={tmp_path / 'pictures'}", "data.size=32", *DDPM])
    assert undiffuse.load(run).shape == (3, 32, 32)


def test_importance_and_hybrid_resume_where_they_were(tmp_path):
    """A run stopped and resumed is the run that was not, what the times have learned included."""
    words = ["digits", *UNET, "variance=interpolated", "objective.kind=hybrid"]
    words += [
        "objective.times={kind: importance, bins: 4}",
        "train.checkpoint_every=4",
        "train.sample_every=0",
    ]
    whole = train(tmp_path / "whole", words, "train.steps=8")
    shutil.copytree(whole, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoints" / "step-00000008")
    good("train", "--resume", tmp_path / "half")
    ends = [tmp_path / name / "checkpoints" / "step-00000008" for name in ("whole", "half")]
    states = [json.loads((end / "state.json").read_text())["times"] for end in ends]
    assert states[0] == states[1] and min(states[0]["squares"]) > 0
    assert len({(end / "weights.safetensors").read_bytes() for end in ends}) == 1
