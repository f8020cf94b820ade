"""undiffuse evaluate: what is printed is what is written, and what Python says."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from shell import good, refused, tree

import undiffuse as library
from undiffuse.recipes import load_data

KINDS = ("points", "digits", "pictures", "vectors", "sequences", "levels")


def read(run: Path, split: str = "test") -> dict[str, Any]:
    return json.loads((run / f"evaluation-{split}.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_printed_written_and_computed_agree(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    before = tree(run)
    out = good("evaluate", run, "--terms", 0)
    assert tree(run) - before == {"evaluation-test.json", "terms-test.csv", "terms-test.png"}
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
    assert float(bits.std() / len(bits) ** 0.5) == pytest.approx(found["rows"][0]["se"], rel=1e-9)
    assert (found["examples"], found["training_steps"], found["chain_steps"]) == (len(data), 6, 12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_add_up(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    good("evaluate", run, "--terms", 0)
    rows = {row["name"].strip(): row["mean"] for row in read(run)["rows"]}
    parts = rows["prior"] + rows["steps"] + rows["decode"] + rows.get("change of units", 0.0)
    assert parts == pytest.approx(next(iter(rows.values())), rel=1e-9)
    steps = list(csv.DictReader((run / "terms-test.csv").read_text().splitlines()))
    assert len(steps) == 11
    assert sum(float(step["bits_per_dim"]) for step in steps) == pytest.approx(rows["steps"], rel=1e-6)
    times = [(float(step["s"]), float(step["t"])) for step in steps]
    assert times == [(pytest.approx(i / 12), pytest.approx((i + 1) / 12)) for i in range(1, 12)]


def test_densities_are_in_raw_units(copy: Callable[[str], Path]):
    run = copy("vectors")
    good("evaluate", run, "--terms", 0)
    rows = {row["name"].strip(): row for row in read(run)["rows"]}
    std = torch.tensor(json.loads((run / "run.json").read_text())["space"]["std"], dtype=torch.float64)
    assert rows["change of units"]["mean"] == pytest.approx(float(std.log2().mean()))
    assert rows["the bound"]["unit"] == "bits/example"


def test_images_are_counted_by_the_pixel(copy: Callable[[str], Path]):
    run = copy("pictures")
    good("evaluate", run)
    rows = read(run)["rows"]
    assert rows[0]["name"] == "-log2 probability, at most"
    assert rows[-1]["unit"] == "bits/pixel"
    assert rows[-1]["mean"] == pytest.approx(3 * rows[0]["mean"])


def test_splits_and_numbers_of_examples(copy: Callable[[str], Path]):
    run = copy("points")
    assert "(7 examples, chain of 12 steps)" in good("evaluate", run, "--split", "train", "--examples", 7)
    assert "(40 examples, chain of 5 steps)" in good("evaluate", run, "--examples", 999, "--steps", 5)
    assert (read(run, "train")["examples"], read(run)["chain_steps"]) == (7, 5)
    first = library.load(run).bits(load_data(library.load(run).recipe).train[:7])
    assert read(run, "train")["rows"][0]["mean"] == pytest.approx(float(first.mean()), rel=1e-12)


def test_a_chain_of_one_step(copy: Callable[[str], Path]):
    run = copy("points")
    out = good("evaluate", run, "--steps", 1)
    assert "Steps of the chain" not in out
    assert not (run / "terms-test.png").exists()


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
