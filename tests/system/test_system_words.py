"""How much is said, and where the data are: what all verbs have in common."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shell import CHAIN, POINTS, good, refused, undiffuse

import undiffuse as ud


def test_quiet_is_the_result_alone():
    result = undiffuse("train", "-q", *POINTS, *CHAIN, "train.steps=2", "--out", "run")
    assert (result.code, result.out, result.err) == (0, "run\n", "")
    result = undiffuse("sample", "run", "-n", 2, "--steps", 2, "--out", "x.npy", "--quiet")
    assert (result.code, result.out, result.err) == (0, "x.npy\n", "")
    assert refused("-q", "sample", "nowhere").startswith("nowhere")
    assert undiffuse("sample", "run", "-n", 2, "--steps", 2, "--out", "y.npy").err != ""  # not for good


def test_quiet_keeps_what_is_doubtful(copy: Callable[[str], Path]):
    run = copy("points")
    result = undiffuse("train", "-q", "--resume", run, "train.steps=7")
    assert (result.code, result.out) == (0, f"{run}\n")
    assert result.err.startswith("warning: train.steps=7, was 6") and result.err.count("\n") == 1


def test_verbose_says_what_is_read(runs: Path):
    run = runs / "points"
    result = undiffuse("evaluate", run, "--examples", 9, "--terms", 2, "--out", "kept", "-v")
    assert f"run: {run}, the weights of step 6 in {run}/checkpoints/step-00000006\n" in result.err
    assert "data: swiss-roll, 200 training and 40 test examples, in 0." in result.err
    silent = undiffuse("evaluate", run, "--examples", 9, "--terms", 2, "--out", "other")
    assert "weights of" not in silent.err
    for told in (result, silent):
        assert "warning: 9 examples: the error holds" in told.err


def test_a_program_hears_it_too(runs: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "undiffuse"):
        ud.load(runs / "points")
    assert "the weights of step 6" in caplog.text


VERBS = [
    ["evaluate", "--terms", 2],
    ["score", "one.npy"],
    ["doctor"],
    ["distances", "-n", 9, "--steps", 2],
    ["optimal-variance", "--steps", 3],
    ["interpolate", "--index", 0, 1, "--steps", 2],
    ["denoise", "--index", 0, "--steps", 2, "-n", 2, "--particles", 2],
]


def test_moved_data_are_named_to_any_verb(copy: Callable[[str], Path], made: Path):
    run, moved = copy("vectors"), Path(shutil.copy(made / "vectors.npy", "moved.npy"))
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace(str(made / "vectors.npy"), "gone.npy"))
    np.save("one.npy", np.load(moved)[:1])
    for verb, *words in VERBS:
        without = undiffuse(verb, run, *words)
        assert "gone.npy" in without.err
        assert (without.code == 0) == (verb == "score")  # which goes without percentiles, and says so
        said = good(verb, run, *words, "--data-dir", moved)
        assert verb != "score" or "nan" not in said
    assert (run / "recipe.yaml").read_text() == recipe.replace(str(made / "vectors.npy"), "gone.npy")
    bits = ud.load(run, data=moved).evaluate(np.load(moved)).total
    assert bits == ud.load(run).evaluate(np.load(moved)).total
