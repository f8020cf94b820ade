"""Conditions from the data to the command line: trained on, told, evaluated, drawn, coded with, refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture
from safetensors.torch import load_file
from shell import UNET, good, refused, train

import undiffuse as ud
from undiffuse.recipes import load_data
from undiffuse.runs.giving import given_from
from undiffuse.runs.scoring import estimates

QUIET = ["train.sample_every=0", "train.evaluate_every=0", "train.watch=0"]
BOTH = "condition={digit: labels, low: {kind: smaller, factor: 4}}"
SMALL = {"network.hidden": 8, "network.layers": 1, "grid.steps": 4, "train.batch": 8, "train.watch": 0}
R = np.random.default_rng(0)


@pytest.fixture(scope="module")
def low(tmp_path_factory):
    """A run that is given a quarter of the pixels."""
    words = ["digits", *UNET, "condition={kind: smaller, factor: 2}", *QUIET]
    return train(tmp_path_factory.mktemp("low") / "run", words, "train.checkpoint_every=3")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A run that is given a class and four pixels, by name."""
    return train(tmp_path_factory.mktemp("both") / "run", ["digits", *UNET, BOTH, *QUIET])


def examples(folder, count):
    """The run, test examples, and what these are given."""
    run = ud.load(folder)
    return run, *load_data(run.recipe).examples("test", slice(count))


def test_a_run_knows_what_it_is_given(low, both):
    said = json.loads((low / "run.json").read_text())["conditions"]
    assert said["smaller"]["kind"] == "image" and said["smaller"]["shape"] == [1, 4, 4]
    assert "digit: one of 10 classes" in good("info", both) and "low: image 1x2x2" in good("info", both)
    run = ud.load(both)
    assert list(run.denoiser.conditions) == ["digit", "low"]
    assert run.given({"digit": 3}).sample(1, steps=2).shape == (1, 1, 8, 8)
    assert (low / "samples.png").exists()


def test_a_run_goes_on_as_if_it_had_not_stopped(low, tmp_path):
    shutil.copytree(low, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoints" / "step-00000006")
    good("train", "--resume", tmp_path / "half")
    one, other = (
        load_file(f / "checkpoints" / "step-00000006" / "weights.safetensors")
        for f in (low, tmp_path / "half")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_condition_that_has_moved_is_named_anew(tmp_path):
    x, c = R.normal(size=(40, 3)), R.normal(size=(40, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "c.npy", c)
    words = [tmp_path / "x.npy", f"condition={{c: {{kind: array, path: {tmp_path / 'c.npy'}}}}}"]
    run = train(tmp_path / "run", [*words, "network.hidden=8", "train.watch=0"])
    (tmp_path / "c.npy").rename(tmp_path / "d.npy")
    said = refused("evaluate", run)
    assert said.startswith("condition.c: nothing at ") and "condition.NAME.path=WHERE" in said
    good("train", "--resume", run, "train.steps=8", f"condition.c.path={tmp_path / 'd.npy'}")
    assert ud.load(run).step == 8
    good("evaluate", run, "--terms", 2)


def test_the_worth_of_a_condition_is_reported(low, tmp_path):
    out = good("evaluate", low, "--examples", 30, "--terms", 4, "--out", tmp_path / "said")
    assert "if nothing is told" in out and out.count("worth of the condition") == 2
    said = json.loads(next((tmp_path / "said").glob("*.json")).read_text())
    rows = {(row["name"].strip(), row["unit"]): row["mean"] for row in said["rows"]}
    run, raw, given = examples(low, 30)
    told, nothing = (r.evaluate(raw, terms=4).total for r in (run.told(given), run))
    assert rows["-log2 probability, at most", "bits/dim"] == pytest.approx(told.mean, abs=1e-9)
    assert rows["if nothing is told", "bits/dim"] == pytest.approx(nothing.mean, abs=1e-9)
    worth = rows["worth of the condition", "bits/dim"]
    assert worth == pytest.approx(nothing.mean - told.mean, abs=1e-9)
    assert rows["worth of the condition", "bits/example"] == pytest.approx(64 * worth, rel=1e-9)


def test_samples_are_of_what_is_given(low, both, tmp_path):
    run, _, given = examples(low, 3)
    np.save(tmp_path / "three.npy", given.values["smaller"].numpy())
    good("sample", low, "--steps", 3, "--given", tmp_path / "three.npy", "--out", tmp_path / "a.npy")
    found = np.load(tmp_path / "a.npy")
    assert np.array_equal(found, run.told(given).sample(3, steps=3).numpy())
    good(
        "sample",
        low,
        "-n",
        1,
        "--first",
        2,
        "--steps",
        3,
        "--given",
        tmp_path / "three.npy",
        "--out",
        "b.npy",
    )
    assert np.array_equal(np.load("b.npy")[0], found[2])  # sample i is given what is number i
    picture = (given.values["smaller"][0, 0] * 255 / 16).round().byte().numpy()
    Picture.fromarray(picture).save(tmp_path / "low.png")
    seen = given_from(run, None, [str(tmp_path / "low.png")]).values["smaller"]
    torch.testing.assert_close(seen[0], given.values["smaller"][0], atol=0.05, rtol=0)
    good("sample", low, "-n", 2, "--steps", 3, "--given", tmp_path / "low.png", "--guidance", 2)
    words = ["--class", 3, "--given", f"low={tmp_path / 'four.npy'}"]
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "four.npy", np.ones((2, 2)))
    good("sample", both, "-n", 1, "--steps", 3, *words, "--out", tmp_path / "c.npy")
    np.save(tmp_path / "other" / "four.npy", np.zeros((2, 2)))
    both_words = [both, "-n", 1, "--steps", 2, "--class", 3]
    files = {
        good("sample", *both_words, "--given", f"low={folder / 'four.npy'}")
        for folder in (tmp_path, tmp_path / "other")
    }
    assert len(files) == 2  # two conditions of one name are two files
    told = ud.load(both).given({"digit": 3, "low": torch.ones(1, 2, 2)})
    assert np.array_equal(np.load(tmp_path / "c.npy"), told.sample(1, steps=3).numpy())


def test_what_a_test_example_is_given_goes_with_it(low, tmp_path):
    words = ["denoise", low, "--index", 4, "-n", 2, "--steps", 3, "--method", "flat"]
    good(*words, "--out", tmp_path / "own")
    _, _, given = examples(low, 5)
    np.save(tmp_path / "low.npy", given.values["smaller"][4:].numpy())
    np.save(tmp_path / "none.npy", np.full((1, 4, 4), np.nan))
    good(*words, "--given", tmp_path / "low.npy", "--out", tmp_path / "said")
    good(*words, "--given", tmp_path / "none.npy", "--out", tmp_path / "nothing")
    own, said, nothing = (np.load(tmp_path / f"{name}.npy") for name in ("own", "said", "nothing"))
    assert np.array_equal(own, said) and not np.array_equal(own, nothing)


def test_posteriors_of_many_examples_each_given_its_own(low):
    run, raw, given = examples(low, 3)
    mask = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True
    whole = run.told(given).impute(raw, mask, n=2, seed=1)
    swapped = run.told(given.rows(torch.tensor([1, 0, 2]))).impute(raw, mask, n=2, seed=1)
    assert torch.equal(whole.samples[2], swapped.samples[2])
    assert not torch.equal(whole.samples[0], swapped.samples[0])


def test_files_are_coded_given_something(low, tmp_path):
    pytest.importorskip("constriction")
    run, raw, seen = examples(low, 5)
    np.save(tmp_path / "x.npy", raw.numpy())
    np.save(tmp_path / "low.npy", seen.values["smaller"].numpy())
    given = ["--given", tmp_path / "low.npy"]
    file = tmp_path / "x.und"
    good("compress", low, tmp_path / "x.npy", "-o", file, "--steps", 2, "--no-bound", *given)
    good("decompress", low, file, "-o", tmp_path / "back", *given)
    assert np.array_equal(np.load(next((tmp_path / "back").glob("*.npy"))), raw.numpy())
    assert "another model" in refused("decompress", low, file, "-o", tmp_path / "no")
    told = run.told(seen)
    assert torch.equal(told.decompress(told.compress(raw, steps=2)), raw)


def test_scores_are_of_what_examples_say_themselves(low, both, tmp_path):
    _, raw, seen = examples(low, 4)
    np.save(tmp_path / "x.npy", raw.numpy())
    said = json.loads(good("score", low, tmp_path / "x.npy", "--json"))
    np.save(tmp_path / "low.npy", seen.values["smaller"].numpy())
    told = json.loads(good("score", low, tmp_path / "x.npy", "--json", "--given", tmp_path / "low.npy"))
    assert said == told
    pd.DataFrame({"digit": [0, 1, 2, 3]}).to_csv(tmp_path / "digit.csv", index=False)
    given = ["--given", f"digit={tmp_path / 'digit.csv'}"]
    some = json.loads(good("score", both, tmp_path / "x.npy", "--json", *given))
    _, _, every = examples(both, 4)
    run = ud.load(both).given(every.values | {"digit": [0, 1, 2, 3]})  # its pixels say the rest themselves
    bits, _ = estimates(run, raw, 0)
    assert [row["bits_per_dim"] for row in some] == bits.tolist()
    np.save(tmp_path / "two.npy", np.zeros((2, 1, 4, 4)))
    words = ["score", low, tmp_path / "x.npy", "--given", tmp_path / "two.npy"]
    assert "2 conditions for 4 examples" in refused(*words)


def test_what_is_no_condition_of_a_run_is_refused(low, both, runs, tmp_path):
    np.save(tmp_path / "wrong.npy", np.zeros((3, 4, 4)))
    (tmp_path / "words.csv").write_text("a\n1\n")
    wrong, draw = tmp_path / "wrong.npy", ["-n", 2, "--steps", 2]
    for words, message in (
        ([low, "--given", wrong, "-n", 9], "3 examples: none for number"),
        ([low, "--given", tmp_path / "no.npy"], "no such file; give what smaller is"),
        ([low, "--given", tmp_path / "words.csv"], "smaller is no .csv file: give an .npy, a .png or a .jpg"),
        ([low, "--class", 1], "--class 1: this run takes smaller (image (1, 4, 4))"),
        (
            [both, "--given", wrong],
            "takes digit (0 to 9), low (image (1, 2, 2)); say which: NAME=FILE",
        ),
        ([both, "--given", f"low={wrong}"], "low: shape (3, 4, 4); this model takes an image"),
        ([both, "--class", "seven"], "digit: class 'seven'; this model knows 0 to 9"),
        ([runs / "points", "--given", wrong], "this run takes no condition"),
        ([low, "--guidance", 2], "give --class or --given too"),
    ):
        assert message in refused("sample", *words, *([] if "-n" in words else draw))
    assert "condition.labels: the data have no labels" in refused(
        "train", "swiss-roll", "condition=labels", "--out", tmp_path / "x"
    )
    assert "leave dequantize out" in refused(
        "train", "digits", "condition=smaller", "dequantize=true", "--out", tmp_path / "x"
    )
    assert "condition.kind='smal': " in refused("train", "digits", "condition=smal", "--out", tmp_path / "x")


class Own(torch.nn.Module):
    """A network of the user's, of two vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(6, 3)

    def forward(self, x_t, t, condition):
        return self.dense(torch.cat([x_t, condition["pair"], t[:, None]], 1))


def test_the_front_door_takes_any_condition(tmp_path):
    x, pair = R.normal(size=(60, 3)), R.normal(size=(60, 2))
    tale = R.normal(size=(60, 5, 2)).astype("f4")
    for condition, one in (
        (pair, pair[0]),
        (tale, tale[0]),
        ({"pair": pair, "kind": R.integers(0, 3, 60)}, {"pair": pair[0], "kind": 2}),
    ):
        model = ud.fit(x, condition=condition, steps=2, settings=SMALL, quiet=True)
        drawn = model.given(one).sample(4)
        assert isinstance(drawn, np.ndarray) and drawn.shape == (4, 3)
        every = model.given(condition)
        assert every.bits(x).shape == (60,) and every.sample(60).shape == (60, 3)
        with pytest.raises(ValueError, match="none for number 60"):
            every.sample(61)
    frame = pd.DataFrame(x, columns=list("abc"))
    frame.loc[5, "b"] = np.nan
    model = ud.fit(frame, condition={"pair": pair}, steps=2, settings=SMALL, quiet=True)
    assert list(model.given(pair[0]).sample(2).columns) == list("abc")
    frame["kind"] = np.where(x[:, 0] > 0, "up", "down")
    frame["size"] = x[:, 1]
    model = ud.fit(frame, labels="kind", condition={"more": ["size"]}, steps=2, settings=SMALL, quiet=True)
    assert model.denoiser.conditions["labels"].names == ("down", "up")
    drawn = model.given({"labels": "up", "more": 0.5}).sample(2)
    assert list(drawn.columns) == list("abc")
    whole = frame.drop(index=5)
    each = model.given({"labels": whole["kind"], "more": whole[["size"]]})
    assert len(each.bits(whole)) == 59
    with pytest.raises(ValueError, match="59 conditions for 58 examples"):
        each.bits(whole[1:])
    with pytest.raises(ValueError, match="labels: no column 'colour'; there are: a, b, c, kind, size"):
        ud.fit(frame, labels="colour", quiet=True)
    two = {"pair": pair, "size": pair[:, 0]}
    own = ud.fit(x, condition=two, network=Own(), steps=2, settings=SMALL, quiet=True, out=tmp_path / "own")
    again = ud.load(tmp_path / "own", network=Own())
    assert np.array_equal(again.given(two).bits(x), own.given(two).bits(x))
    with pytest.raises(ValueError, match="pair: 59 of them for 60 examples"):
        ud.fit(x, condition={"pair": pair[1:]}, quiet=True)
    with pytest.raises(ValueError, match="with a condition the held-out part is chosen"):
        ud.fit(x, condition=pair, test=x, quiet=True)
    with pytest.raises(ValueError, match="takes none; give it a third argument"):
        ud.fit(x, condition=pair, network=torch.nn.Identity(), quiet=True)


def test_a_table_is_given_its_other_columns(tmp_path):
    frame = pd.DataFrame(R.normal(size=(50, 2)), columns=["a", "b"])
    frame["kind"] = np.where(frame["a"] > 0, "up", "down")
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = [tmp_path / "t.csv", "data.labels=kind", "network.hidden=8", "network.layers=1", "train.watch=0"]
    run = train(tmp_path / "run", words)
    assert ud.load(run).denoiser.conditions["labels"].names == ("down", "up")
    frame[:4].to_csv(tmp_path / "four.csv", index=False)
    said = json.loads(good("score", run, tmp_path / "four.csv", "--json"))
    frame[["kind"]][:4].to_csv(tmp_path / "kinds.csv", index=False)
    same = ["--given", tmp_path / "kinds.csv"]
    assert said == json.loads(good("score", run, tmp_path / "four.csv", "--json", *same))
    assert said != json.loads(good("score", run, tmp_path / "four.csv", "--json", "--class", "-1"))
    good("sample", run, "-n", 3, "--class", "up", "--out", tmp_path / "up.npy")
    assert "class1.npy" in good("sample", run, "-n", 2, "--class", "up", "--steps", 2)
    assert "class 'left'; this model knows 0 down, 1 up" in refused("sample", run, "--class", "left")
    assert np.array_equal(np.load(tmp_path / "up.npy"), ud.load(run).given("up").sample(3).to_numpy())
