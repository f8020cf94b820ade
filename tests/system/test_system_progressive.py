"""evaluate --progressive and optimal-variance: what is printed, written and computed agrees."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shell import good, refused, train, tree

import undiffuse as library
from undiffuse import plots
from undiffuse.bounds import evaluate, optimal_variance, progressive, receive, widened
from undiffuse.random import Streams
from undiffuse.recipes import load_data
from undiffuse.reports.progressive import shown_at

BITS = ["heartbeat", "network.kind=mlp", "network.hidden=8", "network.layers=1", "data.train=200"]
BITS += ["data.test=40", "kernel.kind=binomial", "kernel.schedule=constant-fraction"]
WORDS = ["network.kind=mlp", "network.hidden=8", "network.layers=1", "train.flips=false"]
VARIATIONAL = "objective={kind: variational}"
SYMBOLS = ["kernel={kind: categorical, symbols: 17, schedule: linear}", "parameterization=logit", VARIATIONAL]
LEARNED = ["variance=interpolated", VARIATIONAL]


def table(path: Path) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(path.read_text().splitlines())]


def summary(run: Path, name: str) -> dict:
    return json.loads((run / f"{name}.json").read_text())


@pytest.mark.parametrize("kind", ["points", "digits", "vectors"])
def test_rates_and_distortions_are_printed_and_written(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    before = tree(run)
    out = good("evaluate", run, "--terms", 0, "--progressive", "--examples", 40)
    split = "test-40-examples" if kind == "digits" else "test"  # the others have no more
    files = {f"progressive-{split}.{end}" for end in ("csv", "json", "png")}
    files |= {f"evaluation-{split}.json", f"terms-{split}.csv", f"terms-{split}.png"}
    assert tree(run) - before == files | ({f"received-{split}.png"} if kind == "digits" else set())
    loaded, written = library.load(run), table(run / f"progressive-{split}.csv")
    data, space = load_data(loaded.recipe).test[:40], loaded.space
    views = {
        "points": lambda x: x * space.std,
        "vectors": lambda x: x * space.std,
        "digits": lambda x: 127.5 * x.clamp(-1, 1),
    }
    options = {"grid": loaded.grid, "encode": space.encode}
    found = progressive(loaded.model, data, view=views[kind], **options)
    assert [row["received"] for row in written] == list(range(1, 13))
    for name, values in (
        ("t", found.t),
        ("bits_per_dim", found.rate),
        ("bits_per_dim_se", found.rate_se),
        ("distortion", found.distortion),
        ("distortion_se", found.distortion_se),
    ):
        assert [row[name] for row in written] == pytest.approx(values.tolist(), rel=1e-4)
    unit = "RMSE on [0, 255]" if kind == "digits" else "RMSE, raw units"
    assert unit in out and "so many of 12 latents" in out
    for row in written[1::2]:
        assert f"{row['bits_per_dim']:.5f}" in out and f"{row['distortion']:.5f}" in out
    told, rows = summary(run, f"progressive-{split}"), summary(run, f"evaluation-{split}")["rows"]
    parts = {row["name"].strip(): row["mean"] for row in rows}
    assert told["measure"] == unit and told["rows"] == [pytest.approx(row) for row in written]
    assert told["rows"][-1]["bits_per_dim"] + told["decode"] == pytest.approx(rows[0]["mean"])
    assert parts["rate (prior + steps)"] == pytest.approx(told["rows"][-1]["bits_per_dim"])
    assert parts["rate (prior + steps)"] == pytest.approx(parts["prior"] + parts["steps"])
    assert rows[3]["mean"] == pytest.approx(told["decode"])
    assert parts.get("distortion (decode)") == (rows[3]["mean"] if kind == "digits" else None)


def test_pictures_are_predictions_at_rates_that_double(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    run, drawn = copy("digits"), []
    monkeypatch.setattr(plots, "save_received", lambda *words: drawn.append(words))
    good("evaluate", run, "--progressive", "--examples", 20, "--terms", 0)
    ((columns, path, title),) = drawn
    loaded, rows = library.load(run), table(run / "progressive-test-20-examples.csv")
    raw = load_data(loaded.recipe).test[:8]
    assert path == run / "received-test-20-examples.png" and "bits/dim; the truth after" in title
    chosen = shown_at(torch.tensor([row["bits_per_dim"] for row in rows]))
    assert [name for name, _ in columns] == [*(f"{rows[i]['bits_per_dim']:.2g}" for i in chosen), "truth"]
    assert torch.equal(columns[-1][1], (raw.float() * 255 / 16).round().byte())
    t, x_0 = torch.tensor([rows[i]["t"] for i in chosen]).double(), loaded.space.encode(raw)
    for (_, seen), x in zip(
        columns[:-1], receive(loaded.model, x_0, t, Streams(0, "received", rows=range(8))), strict=True
    ):
        assert torch.equal(seen, (loaded.space.decode(x).float() * 255 / 16).round().byte())


def test_shown_rates_double():
    assert shown_at(torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0, 2.0])) == [0, 1, 2, 4, 5]
    assert shown_at(2.0 ** torch.arange(10)) == list(range(2, 10))


def test_symbols_have_a_share_of_errors(tmp_path: Path):
    run = train(tmp_path / "bits", BITS)
    out = good("evaluate", run, "--progressive", "--terms", 0)
    assert "share of wrong symbols" in out and not (run / "received-test.png").exists()
    rows = table(run / "progressive-test.csv")
    assert all(0 < row["distortion"] < 1 for row in rows)
    pictures = train(tmp_path / "levels", ["digits", *WORDS, *SYMBOLS])
    out = good("evaluate", pictures, "--progressive", "--examples", 9, "--steps", 1)
    part = "test-9-examples-1-steps"
    assert "so many of 1 latents" in out and (pictures / f"received-{part}.png").exists()
    assert len(table(pictures / f"progressive-{part}.csv")) == 1


@pytest.mark.parametrize(
    ("kind", "words"), [("points", []), ("digits", ["--steps", 5]), ("points", ["--seed", 3])]
)
def test_two_bounds_side_by_side(copy: Callable[[str], Path], kind: str, words: list):
    run = copy(kind)
    before = tree(run)
    out = good("optimal-variance", run, "--terms", 0, "--examples", 30, *words)
    name = "optimal-variance-test-30-examples" + ("-5-steps" if kind == "digits" else "")
    name += "-seed-3" if 3 in words else ""
    assert tree(run) - before == {f"{name}.csv", f"{name}.json"}
    loaded, told = library.load(run), summary(run, name)
    data, steps, seed = load_data(loaded.recipe), 5 if kind == "digits" else None, 3 if 3 in words else 0
    options = {"grid": loaded.thinned(steps), "seed": seed, "encode": loaded.space.encode}
    best = optimal_variance(loaded.model, data.train[:30], **options)
    models = (loaded.model, widened(loaded.model, best))
    reports = [evaluate(model, data.test[:30], **options) for model in models]
    own, found, gain = told["rows"]
    for row, report in zip((own, found), reports, strict=True):
        assert row["mean"] == pytest.approx(report.total.mean - loaded.shift, rel=1e-9)
        assert row["se"] == pytest.approx(report.total.se, rel=1e-9)
    assert gain["mean"] == pytest.approx(own["mean"] - found["mean"]) and gain["mean"] > 0
    assert 0 < gain["se"] < own["se"]
    assert own["name"] == "variance=posterior" and (told["examples"], told["fitted"]) == (30, 30)
    for row in told["rows"]:
        assert f"{row['mean']:.4f}   {row['se']:.4f}" in " ".join(out.split()).replace(" ", "   ")
    written = table(run / f"{name}.csv")
    assert [row["variance"] for row in written] == pytest.approx(best.values[1:].tolist())
    for row in written:
        keep_s, keep_t = (
            float(loaded.model.kernel.schedule.keep(torch.tensor(row[x]).double())) for x in "st"
        )
        assert row["beta"] == pytest.approx(1 - keep_t / keep_s)
        assert row["beta_tilde"] == pytest.approx(row["beta"] * (1 - keep_s) / (1 - keep_t))
        assert row["variance"] > row["beta_tilde"] and math.isfinite(row["variance"])


def test_a_table_is_of_training_examples(copy: Callable[[str], Path]):
    run = copy("digits")
    out = good("optimal-variance", run, "--steps", 3)
    assert "variances of 256 training examples, bounds of 300 test examples, chain of 3 steps" in out


def test_refusals(copy: Callable[[str], Path], tmp_path: Path):
    run, bits = copy("points"), train(tmp_path / "bits", BITS)
    learned = train(tmp_path / "learned", ["digits", *WORDS, *LEARNED])
    before = tree(tmp_path)
    assert "a binomial chain" in refused("optimal-variance", bits)
    assert "learned its own" in refused("optimal-variance", learned)
    assert "at least two steps" in refused("optimal-variance", run, "--steps", 1)
    assert tree(tmp_path) == before
