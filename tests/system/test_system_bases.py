"""Runs that begin at a base: never worse than it, kept at their best, reported beside simple models."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import Result, undiffuse

from undiffuse.bases import tensors_of
from undiffuse.bases.fitting import fit_frequencies
from undiffuse.diffusion import evaluate
from undiffuse.recipes import load_data
from undiffuse.runs import load

FEW = ["network.hidden=16", "network.layers=1", "grid.steps=8", "evaluate_terms=8", "train.log_every=50"]
FEW += ["train.batch=64"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bits in pairs, symbols that repeat, and correlated numbers."""
    root, r = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    half = r.random((400, 6)) < [0.1, 0.3, 0.5, 0.7, 0.8, 0.9]
    np.save(root / "bits.npy", np.concatenate([half, half ^ (r.random((400, 6)) < 0.05)], 1))
    symbols = np.repeat(r.integers(0, 3, (400, 3)), 2, 1)
    np.save(root / "symbols.npy", symbols.astype("u1"))
    np.save(root / "vectors.npy", r.normal(size=(400, 5)) @ r.normal(size=(5, 5)))
    return root


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """Runs of all three."""
    more = {
        "bits": ["train.steps=200", "train.lr=5e-3"],
        "symbols": ["train.steps=200", "train.lr=5e-3", "data.levels=3", "kernel.symbols=3"],
        "vectors": ["train.steps=320", "train.lr=0.05"],
    }
    for kind, own in more.items():
        words = [kind, f"data.path={folder / kind}.npy", *FEW, *own]
        run_of(folder / f"run-{kind}", words)
    return folder


def run_of(out: Path, words: list[object]) -> Result:
    done = undiffuse("train", *words, "--out", out)
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("kind", ["bits", "symbols", "vectors"])
def test_a_run_is_never_worse_than_its_base(trained: Path, kind: str):
    run = load(trained / f"run-{kind}")
    found = evaluate(run, load_data(run.recipe).test, terms=None)
    _, _, more = found.simplest
    assert more.mean < 2 * more.se + 0.01
    if kind != "vectors":  # half of what they say is twofold, which no single position knows
        assert found.beside["independent"][1].mean < -0.1
        assert not [w for w in found.warnings if "closed form" in w or "independent" in w]


def test_a_base_is_of_all_training_examples_those_that_are_watched_too(trained: Path):
    run = load(trained / "run-bits")
    splits = load_data(run.recipe)
    whole = fit_frequencies([torch.cat([splits.train[:], splits.watched])], 2)
    found = tensors_of(run.bases.model)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors_of(whole).items())


def test_training_that_spoils_a_model_ends_and_its_best_weights_are_kept(trained: Path):
    """Normal numbers leave nothing to learn, and the rate is far too high."""
    run = load(trained / "run-vectors")
    assert run.kept < run.step
    shown = undiffuse("info", trained / "run-vectors").out
    assert f"{run.step:,} steps, its best after {run.kept:,}" in shown
    rows = [json.loads(line) for line in (trained / "run-vectors" / "metrics.jsonl").read_text().splitlines()]
    watched = [row["watched_bits"] for row in rows if "watched_bits" in row]
    assert len(watched) > 5


def test_training_begins_by_saying_what_simple_models_take(folder: Path, tmp_path: Path):
    """Equal chances of three symbols take log2 3 bits each; nothing is said where nothing is watched."""
    words = ["symbols", f"data.path={folder / 'symbols'}.npy", "data.levels=3", "kernel.symbols=3", *FEW]
    line = "bits/dim of the examples that are watched, by models in closed form: equal chances 1.585, "
    done = run_of(tmp_path / "run", [*words, "train.steps=1"])
    assert line + "independent positions 1." in done.out
    assert line not in run_of(tmp_path / "blind", [*words, "train.steps=1", "train.watch=0"]).out


def test_the_last_weights_are_looked_at(folder: Path, tmp_path: Path):
    """Those of the lowest rate, which may be the best, wherever the growing intervals end."""
    run_of(tmp_path / "run", ["bits", f"data.path={folder / 'bits'}.npy", *FEW, "train.steps=70"])
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "watched_bits" in row] == [50, 70]
    assert load(tmp_path / "run").kept == 70


def test_training_ends_early_and_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("undiffuse.training.watch.EARLY", 100)
    words = ["vectors", f"data.path={folder / 'vectors'}.npy", *FEW, "train.lr=0.05", "train.patience=1"]
    done = run_of(tmp_path / "run", [*words, "train.steps=2000"])
    assert "ends after step" in done.err + done.out and "are kept (train.patience)" in done.err + done.out
    run = load(tmp_path / "run")
    assert run.step < 1000 and run.kept < run.step
    again = undiffuse("train", "--resume", tmp_path / "run")
    assert again.code == 0 and "already trained: ended after" in again.out
    assert load(tmp_path / "run").step == run.step


def test_a_run_that_stops_goes_on_to_the_same_best_weights(folder: Path, tmp_path: Path):
    words = ["bits", f"data.path={folder / 'bits'}.npy", *FEW, "train.decay=constant"]
    run_of(tmp_path / "whole", [*words, "train.steps=120"])
    run_of(tmp_path / "parts", [*words, "train.steps=70"])
    recipe = tmp_path / "parts" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 70", "steps: 120"))
    assert undiffuse("train", "--resume", tmp_path / "parts").code == 0
    a, b = (load(tmp_path / name) for name in ("whole", "parts"))
    assert a.kept == b.kept
    assert all(torch.equal(*pair) for pair in zip(a.model.parameters(), b.model.parameters(), strict=True))


def test_evaluate_stands_beside_simple_models(trained: Path):
    out = undiffuse("evaluate", trained / "run-bits", "--terms", 0).out
    for name in ("Models in closed form", "equal chances", "independent positions"):
        assert name in out
    facts = json.loads((trained / "run-bits" / "evaluation-test.json").read_text())
    assert set(facts["beside"]) == {"uniform", "independent"}
    assert facts["beside"]["uniform"][0]["mean"] == pytest.approx(1.0)


def test_a_model_that_is_worse_is_warned_of_and_the_doctor_says_where(folder: Path, tmp_path: Path):
    words = ["bits", f"data.path={folder / 'bits'}.npy", *FEW, "train.steps=5", "base=none", "train.watch=0"]
    run_of(tmp_path / "run", words)
    warned = undiffuse("evaluate", tmp_path / "run", "--terms", 0).err
    assert "a model of independent positions has" in " ".join(warned.split()) and "undiffuse doctor" in warned
    told = undiffuse("doctor", tmp_path / "run")
    assert told.code == 0 and "decoder" in told.out
    words = " ".join(told.out.split())
    assert "bits/dim more than the base" in words and "begin at it (base=frequencies" in words


def test_the_doctor_finds_nothing_where_nothing_is(trained: Path):
    told = undiffuse("doctor", trained / "run-bits")
    assert told.code == 0 and "nowhere worse than a model in closed form" in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["base=gaussian"], "base=gaussian: this kernel goes with frequencies, auto or none"),
        (["base=many"], "base='many'"),
        (["base=none", "parameterization=residual-logit"], "needs a base, this recipe has none"),
        (["train.watch=1.5"], "train.watch=1.5: a share of the training examples"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, tmp_path: Path, words: list[str], said: str):
    done = undiffuse("train", "bits", f"data.path={folder / 'bits'}.npy", *words, "--out", tmp_path / "run")
    assert done.code == 2 and said in " ".join(done.err.split())
    assert not (tmp_path / "run").exists()


def test_a_damaged_base_is_found(trained: Path, copied: Callable[[Path], Path]):
    run = copied(trained / "run-vectors")
    file = run / "bases.safetensors"
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    done = undiffuse("sample", run, "-n", 2)
    assert done.code == 2 and "bases.safetensors: damaged" in " ".join(done.err.split())
    file.unlink()
    done = undiffuse("sample", run, "-n", 2)
    assert done.code == 2 and "bases.safetensors: missing" in " ".join(done.err.split())


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    import shutil

    return lambda run: Path(shutil.copytree(run, tmp_path / run.name))


def test_all_verbs_work_on_runs_with_a_base(trained: Path, tmp_path: Path):
    """Samples, holes, codes: what stands on a model."""
    for kind in ("bits", "symbols", "vectors"):
        run = trained / f"run-{kind}"
        assert undiffuse("sample", run, "-n", 3, "--out", tmp_path / f"{kind}.npy").code == 0
    raw = load_data(load(trained / "run-vectors").recipe).test[:3].numpy().copy()
    raw[:, 1] = np.nan
    np.save(tmp_path / "holes.npy", raw)
    done = undiffuse("impute", trained / "run-vectors", tmp_path / "holes.npy", "--out", tmp_path / "filled")
    assert done.code == 0, done.err
    for kind in ("bits", "symbols"):
        file, run = tmp_path / f"{kind}.und", trained / f"run-{kind}"
        made = undiffuse("compress", run, "--test", 5, "--out", file, "--steps", 4)
        assert made.code == 0, made.err
        back = undiffuse("decompress", run, file, "--out", tmp_path / f"back-{kind}")
        assert back.code == 0, back.err
