"""undiffuse evaluate: what is printed is what is written, and what Python says."""

import csv
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import t as student
from shell import UNET, good, refused, refused_last, train, tree, undiffuse

import undiffuse as library
from undiffuse import plots
from undiffuse.recipes import load_data
from undiffuse.reports import saving
from undiffuse.runs import jobs
from watched import reports, watched

DENSITIES = ("points", "vectors", "sequences")
KINDS = ("points", "digits", "pictures", "vectors", "sequences", "levels")


def read(run: Path, split: str = "test") -> dict[str, Any]:
    return json.loads((run / f"evaluation-{split}.json").read_text())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty files for figures of terms, where a test is about what they are of."""
    monkeypatch.setattr(plots, "save_terms", lambda *words, **_: Path(words[2]).touch())


UNDRAWN = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("kind", KINDS)
def test_printed_written_and_computed_agree_and_add_up(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    before = tree(run)
    out = good("evaluate", run, "--terms", 0)
    assert tree(run) - before == {"evaluation-test.json", "terms-test.csv", "terms-test.png"}
    agree(run, out)
    add_up(run, kind)


def agree(run: Path, out: str) -> None:
    """What is printed and written is what Python says."""
    found = read(run)
    for row in found["rows"]:
        line = rf"^\s*{re.escape(row['name'].strip())}\s+{row['mean']:.4f}\s+{row['se']:.4f}\s+{row['unit']}"
        assert re.search(line, out, re.MULTILINE), row
    mean = found["rows"][0]["mean"]
    assert f"bits per dimension: {mean:.4f} +- " in out
    loaded = library.load(run)
    data = load_data(loaded.recipe).test
    bits = loaded.bits(data)
    assert bits.shape == (len(data),)
    assert bits.dtype == torch.float64
    assert float(bits.mean()) == pytest.approx(mean, rel=1e-12)
    wider = student.ppf(student.cdf(2, 1e12), len(bits) - 1) / 2
    assert float(bits.std() / len(bits) ** 0.5) * wider == pytest.approx(found["rows"][0]["se"], rel=1e-6)
    assert (found["examples"], found["training_steps"], found["chain_steps"]) == (len(data), 6, 12)


def add_up(run: Path, kind: str) -> None:
    """The parts are the whole, and the steps one of them."""
    bound, *parts = [row["mean"] for row in read(run)["rows"]][:4]
    assert sum(parts) == pytest.approx(bound, rel=1e-9)
    rows = {row["name"].strip(): row["mean"] for row in read(run)["rows"]}
    assert rows["rate (prior + steps)"] == pytest.approx(rows["prior"] + rows["steps"])
    assert ("decode, a density" in rows) == ("distortion (decode)" not in rows) == (kind in DENSITIES)
    steps = list(csv.DictReader((run / "terms-test.csv").read_text().splitlines()))
    assert len(steps) == 11
    assert sum(float(step["bits_per_dim"]) for step in steps) == pytest.approx(rows["steps"], rel=1e-6)
    times = [(float(step["s"]), float(step["t"])) for step in steps]
    assert times == [(pytest.approx(i / 12), pytest.approx((i + 1) / 12)) for i in range(1, 12)]


@UNDRAWN
def test_densities_are_in_raw_units(copy: Callable[[str], Path], made: Path):
    """Data eight times as wide: three bits a dimension more of the bound, of the decoder's part and of -K."""
    run = copy("vectors")
    good("evaluate", run, "--terms", 0)
    before = {row["name"].strip(): row for row in read(run)["rows"]}
    np.save("wide.npy", 8 * np.load(made / "vectors.npy"))
    recipe, facts = (run / name for name in ("recipe.yaml", "run.json"))
    recipe.write_text(recipe.read_text().replace(str(made / "vectors.npy"), str(Path("wide.npy").absolute())))
    said = json.loads(facts.read_text())
    said["space"] |= {name: [8 * x for x in said["space"][name]] for name in ("mean", "std")}
    facts.write_text(json.dumps(said))
    good("evaluate", run, "--terms", 0)
    more = {"-log2 density, at most": 3, "decode, a density": 3, "the bound": 9}
    more |= {"K, with a fixed last step": -9, "K by eq. 14": -9}
    for row in read(run)["rows"]:
        name = row["name"].strip()
        assert row["mean"] == pytest.approx(before[name]["mean"] + more.pop(name, 0), abs=1e-5), name
        assert row["unit"] == before[name]["unit"] and "x_0" not in row["unit"]
    assert not more and before["the bound"]["unit"] == before["K by eq. 14"]["unit"] == "bits/example"


def test_images_are_counted_by_the_pixel(copy: Callable[[str], Path]):
    run = copy("pictures")
    good("evaluate", run)
    rows = read(run)["rows"]
    assert rows[0]["name"] == "-log2 probability, at most"
    assert rows[-1]["unit"] == "bits/pixel"
    assert rows[-1]["mean"] == pytest.approx(3 * rows[0]["mean"])


@UNDRAWN
def test_splits_and_numbers_of_examples(copy: Callable[[str], Path]):
    run = copy("points")
    assert "(7 examples, chain of 12 steps)" in good("evaluate", run, "--split", "train", "--examples", 7)
    assert "(40 examples, chain of 5 steps)" in good("evaluate", run, "--examples", 999, "--steps", 5)
    assert (read(run, "train-7-examples")["examples"], read(run, "test-5-steps")["chain_steps"]) == (7, 5)
    first = library.load(run).bits(load_data(library.load(run).recipe).train[:7])
    assert read(run, "train-7-examples")["rows"][0]["mean"] == pytest.approx(float(first.mean()), rel=1e-12)


def test_a_chain_of_one_step(copy: Callable[[str], Path]):
    run = copy("points")
    out = good("evaluate", run, "--steps", 1)
    assert "Steps of the chain" not in out
    assert (run / "terms-test-1-steps.csv").exists() and not any(run.glob("terms-*.png"))


@UNDRAWN
def test_parts_leave_the_whole(copy: Callable[[str], Path]):
    """Fewer examples, steps or terms, or none of the first times: other files; what is as much, the same."""
    run = copy("digits")
    good("evaluate", run)
    whole = {name: (run / name).read_bytes() for name in ("evaluation-test.json", "terms-test.csv")}
    parts = {
        "64-examples-5-steps": ["--examples", 64, "--steps", 5, "--entropy"],
        "9-examples-2-terms": ["--examples", 9, "--terms", 2, "--progressive"],
        "9-examples-stop-0.5": ["--examples", 9, "--stop", 0.5],
    }
    for name, words in parts.items():
        before = tree(run)
        good("evaluate", run, *words)
        made = tree(run) - before
        assert f"evaluation-test-{name}.json" in made and all(f"-test-{name}." in each for each in made)
    before = tree(run)
    good("evaluate", run, "--examples", 999, "--steps", 12, "--terms", 0)
    assert tree(run) == before
    assert {name: (run / name).read_bytes() for name in whole} == whole


def test_bits_take_as_many_terms_as_an_evaluation(copy: Callable[[str], Path]):
    """The recipe's number unless told, 0 for all; the network's calls are told as they are made."""
    run = copy("digits")
    recipe = (run / "recipe.yaml").read_text().replace("evaluate_terms: 50", "evaluate_terms: 2")
    (run / "recipe.yaml").write_text(recipe)
    loaded, (track, told) = library.load(run), watched()
    data = load_data(loaded.recipe).test[:8]
    usual = loaded.bits(data, track=track)
    assert reports(told) == 3 and torch.equal(usual, loaded.bits(data, terms=2))
    assert torch.equal(loaded.bits(data, terms=0), loaded.bits(data, terms=11))
    assert not torch.equal(usual, loaded.bits(data, terms=0))
    with pytest.raises(ValueError, match="terms=-1"):
        loaded.bits(data, terms=-1)


@UNDRAWN
def test_terms_are_the_recipes_unless_told(copy: Callable[[str], Path]):
    run = copy("digits")
    recipe = (run / "recipe.yaml").read_text().replace("evaluate_terms: 50", "evaluate_terms: 2")
    (run / "recipe.yaml").write_text(recipe)
    few, told, every = (
        good("evaluate", run, "--examples", 40, *words) for words in ([], ["--terms", 2], ["--terms", 0])
    )
    assert few == told != every
    assert good("evaluate", run, "--examples", 40, "--seed", 1) != few


def test_a_batch_of_any_size_has_the_same_bits(runs: Path):
    run = library.load(runs / "digits")
    data = load_data(run.recipe).test[:70]
    every = run.bits(data)
    assert torch.equal(run.bits(data[:1]), every[:1])
    assert torch.equal(run.bits(data[:67]), every[:67])


def test_the_figure_is_a_picture(copy: Callable[[str], Path]):
    run = copy("points")
    good("evaluate", run)
    with Image.open(run / "terms-test.png") as figure:
        assert figure.format == "PNG"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--split valid", "--split valid: choose test or train"),
        ("--examples 1", "--examples 1: a standard error needs at least two"),
        ("--examples -5", "--examples -5: "),
        ("--terms -1", "--terms -1: "),
        ("--steps 13", "steps=13: "),
        ("--steps 0", "steps=0: "),
        ("--device tpu", "--device tpu: "),
    ],
)
def test_bad_input(copy: Callable[[str], Path], words: str, message: str):
    run = copy("points")
    before = tree(run)
    assert refused("evaluate", run, *words.split()).startswith(message)
    assert tree(run) == before


def test_raw_data_of_another_shape(runs: Path):
    run = library.load(runs / "points")
    for method in (run.bits, run.evaluate):
        with pytest.raises(ValueError, match=r"examples of shape \(3,\): this run has \(2,\)"):
            method(torch.zeros(4, 3))


@pytest.mark.parametrize(
    "words", [["evaluate"], ["evaluate", "--entropy"], ["optimal-variance"], ["distances", "-n", 9]]
)
def test_a_run_that_may_only_be_read_is_printed(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, words: list[object]
):
    """The superuser may write anywhere: so the writing is refused where it is done."""
    run = copy("points")
    before, whole = tree(run), good(*words, run, "--steps", 4, "--out", "kept").splitlines()
    assert tree(run) == before
    paths = [f"kept/{name}" for name in tree(Path("kept"))]
    assert paths and set(paths) == {line for line in whole if line.startswith("kept")}

    def denied(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(jobs, "PAUSE", 0.0)
    monkeypatch.setattr(jobs, "_store", denied)
    for module in ("saving", "entropy", "optimal", "distances"):
        for name in {"write_json", "write_csv"} & set(vars(getattr(library.reports, module))):
            monkeypatch.setattr(f"undiffuse.reports.{module}.{name}", denied)
    result = undiffuse(*words, run, "--steps", 4)
    assert result.code == 0 and tree(run) == before
    assert result.out.splitlines() == [line for line in whole if line not in paths]
    assert "points: cannot be written to, so this is printed only; --out FOLDER" in result.err
    assert "Read-only file system" in refused_last(*words, run, "--out", "other", code=2)


def test_what_was_computed_is_printed_before_a_disk_is_full(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saving, "write_json", full)
    result = undiffuse("evaluate", copy("points"))
    assert result.code == 2 and "bits per dimension: " in result.out


def test_a_new_folder_for_the_files(copy: Callable[[str], Path]):
    run = copy("points")
    Path("there").mkdir()
    message = "there: exists already; choose a new folder"
    assert refused("evaluate", run, "--out", "there") == message
    missing = "--out no/where: the folder no does not exist"
    assert refused("evaluate", run, "--out", "no/where") == missing
    assert not (run / "evaluation-test.json").exists()


@UNDRAWN
def test_few_examples_and_few_terms_are_warned_of(copy: Callable[[str], Path]):
    run = copy("points")
    for words, said in (
        (["--examples", 9, "--terms", 0], ["9 examples: the error holds if"]),
        (["--terms", 1], ["1 of 11 steps for each of 40 examples: a step was drawn 3.6 times"]),
        (["--terms", 2], ["2 of 11 steps for each of 40 examples: a step was drawn 7.3 times"]),
        (["--terms", 3], []),
        (["--terms", 0], []),
    ):
        lines = undiffuse("evaluate", run, *words).err.splitlines()
        warned = [line for line in lines if "arning" in line and "fewer than this one" not in line]
        assert len(warned) == len(said) and all(a in b for a, b in zip(said, warned, strict=True)), warned


def test_the_table_says_that_patches_overlap(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, size=(64, 64), dtype=np.uint8)
    Path("big").mkdir()
    Image.fromarray(noise).save("big/noise.png")
    words = ["bark", "data.path=big", "data.size=8", "data.train=40", "data.test=30"]
    quiet = ["train.evaluate_every=0", "train.sample_every=0", "train.precision=fp32", *UNET]
    run, note = (
        train(tmp_path / "run", [*words, "network.kind=unet", *quiet]),
        "overlapping patches: errors as",
    )
    assert note in good("evaluate", run) and read(run)["overlapping"]
    assert note in good("distances", run, "-n", 9, "--steps", 2)
