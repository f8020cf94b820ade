"""Calibration of a run on its test data, from Python and the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused
from test_system_score import fitted, rows  # noqa: F401 - fixtures
from test_system_table import FRAME

import undiffuse as ud
from undiffuse.diffusion.calibrated import Calibration

WORDS = ["--examples", "12", "-n", "19", "--steps", "8"]


def test_a_table_by_column(rows: ud.Run):  # noqa: F811
    found = rows.calibrate(FRAME.iloc[:40], missing=0.4, n=19)
    assert isinstance(found, Calibration) and found.draws == 19 and found.examples == 40
    assert found.numbers is not None and found.symbols is not None
    known = FRAME.iloc[:40][["size", "big", "kind", "count"]].notna().to_numpy()
    assert found.numbers.count + found.symbols.count == sum(each.count for each in found.columns.values())
    assert 0.25 < (found.numbers.count + found.symbols.count) / known.sum() < 0.55
    one = rows.calibrate(FRAME.iloc[:40], columns="kind", n=19)
    assert one.numbers is None and one.symbols is not None and list(one.columns) == ["kind"]
    assert one.symbols.count == int(FRAME.iloc[:40]["kind"].notna().sum())
    assert "are the truth" in str(one) and "predict kind" in str(one)


def test_from_the_command_line(rows: ud.Run):  # noqa: F811
    said = good("calibrate", rows.folder, *WORDS, "--missing", "0.5", "--out", "results")
    assert "impute, 50% missing at random: 12 examples, 19 draws of each" in said
    found = json.loads(Path("results/calibration-impute-12-examples-8-steps.json").read_text())
    assert found["draws"] == 19 and set(found["columns"]) <= {"size", "big", "kind", "count"}
    assert [round(each["share"], 3) for each in found["numbers"]["coverage"]] == [0.5, 0.8, 0.9]
    with Image.open("results/calibration-impute-12-examples-8-steps.png") as figure:
        assert figure.width > figure.height
    assert "predict kind" in good("calibrate", rows.folder, *WORDS, "--task", "predict", "--column", "kind")
    for words, message in (
        (["--task", "guess"], "choose impute, predict, inpaint"),
        (["--std", "0.3"], "--std: not of --task impute, which takes --missing"),
        (["--task", "predict"], "which column?"),
        (
            ["--task", "predict", "--column", "weight"],
            "no column 'weight'; there are: size, big",
        ),
        (["--missing", "1.2"], "missing=1.2: a share of the values"),
        (["--task", "sample", "--std", "1"], "--std: not of --task sample, which takes none of these"),
        (["-n", "1"], "at least two of both"),
    ):
        assert message in refused("calibrate", rows.folder, "--examples", "3", *words)


def test_numbers_that_are_seen_with_noise(fitted: ud.Run):  # noqa: F811
    said = good("calibrate", fitted.folder, "--task", "denoise", "--std", "0.5", *WORDS)
    assert "denoise, std 0.5: 12 examples" in said and "of 24 numbers" in said
    found = fitted.calibrate(np.asarray(fitted.sample(6, seed=5)), std=0.2, n=19)
    assert found.numbers is not None and found.symbols is None and list(found.columns) == ["0", "1"]
    with pytest.raises(ValueError, match="one of missing, columns, mask, std"):
        fitted.calibrate(np.zeros((3, 2), "f4"), std=0.2, missing=0.3)
    with pytest.raises(ValueError, match="these data have no names"):
        fitted.calibrate(np.zeros((3, 2), "f4"), columns="a")


def test_whole_examples_given_their_condition():
    """Simulation-based calibration: parameters, and what was simulated of them."""
    random = np.random.default_rng(0)
    theta = random.normal(size=(300, 2))
    x = theta + 0.5 * random.normal(size=(300, 2))
    words = {"network.hidden": 8, "grid.steps": 20, "train.batch": 32}
    run = ud.fit(theta, condition=x, steps=1, settings=words, quiet=True)
    found = run.calibrate(theta[:100], missing=1, n=19)
    assert found.task == "sample" and found.numbers is not None and found.numbers.count == 200
    assert found.numbers.uniform > 0.001 and list(found.columns) == ["0", "1"]
    told = run.given(x[:100]).calibrate(theta[:100], missing=1.0, n=19)
    assert "ranks of the truth are uniform: p = " in str(told)
    with pytest.raises(ValueError, match="100 conditions for 50 examples"):
        run.given(x[:100]).calibrate(theta[:50], missing=1.0, n=19)


def test_pictures_by_mask_and_operator(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (60, 6, 8)).astype("u1")
    words = {"network.channels": 8, "grid.steps": 8, "train.batch": 8}
    run = ud.fit(pictures, steps=1, settings=words, out=tmp_path / "run", quiet=True)
    few = ["--examples", "3", "-n", "7"]
    said = good("calibrate", run.folder, "--task", "inpaint", "--mask", "left", *few)
    assert "inpaint, 50% missing" in said and "of 72 numbers" in said
    said = good("calibrate", run.folder, "--task", "restore", "--operator", "downsample:2", *few)
    assert "restore downsample:2, std 0.3" in said and "of 144 numbers" in said
    known = torch.ones(1, 6, 8, dtype=torch.bool)
    known[:, :, :2] = False
    found = run.calibrate(pictures[:3], mask=known, n=7)
    assert found.numbers is not None and found.numbers.count == 3 * 12
