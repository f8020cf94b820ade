"""Distances of samples from the command line: they are those of the run's samples, under honest names."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import good, refused, train

import undiffuse as library
from undiffuse.metrics import (
    Classifier,
    Pixels,
    extract,
    frechet,
    load_features,
    neighbours,
)
from undiffuse.recipes import load_data
from undiffuse.reports import contest, distances_of
from watched import reports, watched

Copy = Callable[[str], Path]


def written(run: Path, name: str) -> dict:
    return json.loads((run / f"distances-{name}.json").read_text())


def test_distances_are_those_of_the_samples(copy: Copy):
    run = copy("digits")
    out = good("distances", run, "-n", 120, "--steps", 3)
    assert "Fréchet distance, pixels" in out and "training data" in out and "FID" not in out
    found, loaded = written(run, "pixels-120-samples-3-steps"), library.load(run)
    x = loaded.sample(120, steps=3, block=100).flatten(1) / 16
    y = load_data(loaded.recipe).test.flatten(1) / 16
    exact = frechet(x, y)
    assert found["samples"]["frechet"] == pytest.approx({"mean": exact.mean, "se": exact.se}, rel=1e-6)
    assert found["samples"]["neighbours"] == pytest.approx(asdict(neighbours(x, y)))
    assert found["training"]["frechet"]["mean"] < found["samples"]["frechet"]["mean"]
    for column in ("samples", "training"):
        assert "{mean:.5g} +- {se:.2g}".format(**found[column]["frechet"]) in out
    assert found["training"]["neighbours"]["precision"] > 0.5
    assert (found["samples"]["examples"], found["training"]["examples"]) == (120, 120)
    assert (found["test_examples"], found["steps"], found["sampler"]) == (len(y), 3, "Ancestral")
    assert not (run / "evaluation-test.json").exists()
    good("distances", run, "-n", 20, "--steps", 3)  # replaces no better one
    assert written(run, "pixels-120-samples-3-steps") == found


def test_the_yardstick_is_training_data_of_the_seed(copy: Copy):
    loaded = library.load(copy("digits"))
    data = load_data(loaded.recipe)
    fixed, other = (contest(loaded, Pixels(), 50, seed) for seed in (0, 1))
    assert torch.equal(fixed.test, data.test) and len(fixed.training) == 50
    assert not torch.equal(fixed.training, other.training)
    known = {row.numpy().tobytes() for row in data.train}
    assert all(row.numpy().tobytes() in known for row in fixed.training)
    track, told = watched()
    found = distances_of(loaded, fixed, 50, steps=2, track=track)
    assert reports(told, "sample") == 2 and reports(told, "compare") == 3 + 1 + 2 * 3  # batches, measures
    y, training = data.test.flatten(1) / 16, fixed.training.flatten(1) / 16
    assert found.training.frechet.mean == pytest.approx(frechet(training, y).mean, rel=1e-6)
    again = distances_of(loaded, fixed, 50, steps=2)
    assert again == found


def test_features_and_samplers_are_named(copy: Copy, tmp_path: Path):
    run = copy("digits")
    torch.manual_seed(0)
    Classifier((1, 8, 8), 10, width=4, features=6).save(tmp_path / "mine.safetensors")
    words = ["--steps", 3, "--features", tmp_path / "mine.safetensors", "--sampler", "ddim"]
    out = good("distances", run, "-n", 30, *words)
    assert "classifier" in out and "mine.safetensors" in out and "FID" not in out and "DDIM, 3 steps" in out
    found, loaded = written(run, "classifier-30-samples-3-steps-ddim"), library.load(run)
    assert found["frechet"] == "Fréchet distance, classifier mine.safetensors" and found["sampler"] == "DDIM"
    extractor = load_features(tmp_path / "mine.safetensors")
    drawn = loaded.sample(30, steps=3, block=100, sampler=library.samplers.DDIM())
    x, y = (extract(extractor, [raw / 16]) for raw in (drawn, load_data(loaded.recipe).test))
    assert found["samples"]["frechet"]["mean"] == pytest.approx(frechet(x, y).mean, rel=1e-4)


def test_every_kind_of_data_has_distances(copy: Copy, tmp_path: Path):
    for name, title in (("points", "values"), ("vectors", "values"), ("levels", "values")):
        run = copy(name)
        assert f"Fréchet distance, {title}" in good("distances", run, "-n", 20, "--steps", 3)
        assert written(run, f"{title}-20-samples-3-steps")["samples"]["examples"] == 20
    run = tmp_path / "points"
    loaded = library.load(run)
    exact = frechet(loaded.sample(20, steps=3), load_data(loaded.recipe).test).mean
    assert written(run, "values-20-samples-3-steps")["samples"]["frechet"]["mean"] == pytest.approx(
        exact, rel=1e-6
    )  # raw units


def test_noisy_levels_are_compared_as_levels(tmp_path: Path):
    words = ["digits", "network.channels=4", "network.multipliers=[1]", "dequantize=true"]
    loaded = library.load(train(tmp_path / "run", words))
    fixed = contest(loaded, Pixels(), 10)
    assert fixed.test.dtype == torch.uint8
    noisy = load_data(loaded.recipe).test
    assert torch.equal(fixed.unit_samples(noisy), fixed.unit(fixed.test))
    ends = fixed.unit_samples(torch.tensor([-3.2, 0.0, 16.9, 40.0]))
    assert np.array_equal(ends, [0, 0, 1, 1])
    found = distances_of(loaded, fixed, 10, steps=3)
    x = loaded.sample(10, steps=3, block=100).floor().clamp(0, 16).flatten(1) / 16
    assert found.samples.frechet.mean == pytest.approx(frechet(x, fixed.test.flatten(1) / 16).mean, rel=1e-6)


def test_what_does_not_fit(copy: Copy, tmp_path: Path):
    run = copy("digits")
    assert "n=0: draw" in refused("distances", run, "-n", 0)
    assert "5 samples: distances need at least 6" in refused("distances", run, "-n", 5)
    assert "steps=99" in refused("distances", run, "-n", 9, "--steps", 99)
    assert "no such file" in refused("distances", run, "-n", 9, "--features", "x.safetensors")
    assert "did you mean 'ddim'" in refused("distances", run, "-n", 9, "--sampler", "dim")
    Classifier((1, 9, 9), 2, width=2).save(tmp_path / "other.safetensors")
    other = ["--features", tmp_path / "other.safetensors"]
    assert "the data have (1, 8, 8)" in refused("distances", run, "-n", 9, *other)
    assert not list(run.glob("distances*"))
