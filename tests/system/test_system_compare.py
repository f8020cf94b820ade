"""undiffuse compare, and the bound to a given error: on the same examples, with the same noise."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import good, refused

import undiffuse as library
from undiffuse.bounds import curve_of
from undiffuse.diffusion.variants import TIMES
from undiffuse.recipes import load_data
from undiffuse.reports import compare
from undiffuse.runs import curve_noted, jobs
from undiffuse.schedules.grids import logsnr, thin


@pytest.fixture(scope="module")
def pair(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and a copy."""
    copied = library.load(runs / "digits").save(tmp_path_factory.mktemp("copied") / "run")
    return runs / "digits", copied


def test_the_same_run_is_no_better(pair: tuple[Path, Path]):
    out = good("compare", *pair, "--terms", 2)
    assert re.search(r"\+0\.0000\s+0\.0000", out)
    assert "no difference that these examples can tell" in out


def test_pairs_tell_what_apart_could_not(runs: Path):
    run = library.load(runs / "digits")
    worse = library.load(runs / "digits")
    with torch.no_grad():
        for weight in worse.model.parameters():
            weight.mul_(1.02)
    raw = load_data(run.recipe).test[:60]
    first, second = compare([run, worse], raw, terms=5)
    assert (first.more.mean, first.more.se) == (0, 0)
    assert second.more.se < 0.3 * second.unpaired
    bits = [of.bits(raw, terms=5).double() for of in (run, worse)]
    assert second.more.mean == pytest.approx(float((bits[1] - bits[0]).mean()))
    back = compare([worse, run], raw, terms=5)[1]
    assert back.more.mean == pytest.approx(-second.more.mean)
    assert ("more" in str(second)) == (second.more.mean > 0) != ("more" in str(back))


def test_json_and_examples_of_ones_own(pair: tuple[Path, Path], tmp_path: Path):
    raw = load_data(library.load(pair[0]).recipe).test[:6].numpy()
    np.save(tmp_path / "new.npy", raw)
    found = json.loads(good("compare", *pair, "--on", tmp_path / "new.npy", "--json"))
    assert found["examples"] == 6 and [each["name"] for each in found["runs"]] == [str(p) for p in pair]


def test_a_part_of_one_chain_is_not_gone_on_with_on_another(copy: Callable[[str], Path], monkeypatch):
    """What was gathered on even times has another name than on chosen ones."""
    run, keys = copy("digits"), []
    kept = jobs.resumed
    monkeypatch.setattr("undiffuse.runs.resumed", lambda of, *key: keys.append(key) or kept(of, *key))
    for words in ([], ["--best"], ["--error", "0.5"], ["--best", "--error", "0.5"]):
        good("evaluate", run, "--steps", 4, "--examples", 8, *words)
    assert len({str(key) for key in keys}) == 4


def test_what_cannot_be_compared_is_refused(pair: tuple[Path, Path], runs: Path):
    assert "a comparison takes two at least" in refused("compare", pair[0])
    assert "their bits can't be compared" in refused("compare", pair[0], runs / "vectors")
    assert "--terms -1" in refused("compare", *pair, "--terms", -1)
    assert "--examples 1" in refused("compare", *pair, "--examples", 1)
    assert "all examples of --on are compared" in refused("compare", *pair, "--examples", 5, "--on", "x")


@pytest.mark.parametrize("kind", ["digits", "vectors"])
def test_an_error_that_is_asked_for(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    out = good("evaluate", run, "--error", "0.05")
    told = re.search(r"of these very examples: [\d.]+ \+- ([\d.]+), by (\d+) network calls for each", out)
    assert told is not None and float(told[1]) < 0.05 * 1.5
    written = json.loads((run / "evaluation-test-error-0.05.json").read_text())
    assert written["rounds"] * (written["terms"] + 1) == int(told[2])
    assert written["noise"] == pytest.approx(float(told[1]), abs=1e-4)
    assert "--error 0.05: decides how many terms" in refused("evaluate", run, "--error", "0.05", "--terms", 3)
    assert "error=0.0: a positive number" in refused("evaluate", run, "--error", 0)


def test_terms_and_an_error_at_once(runs: Path):
    run = library.load(runs / "digits")
    with pytest.raises(ValueError, match=r"terms=3, error=0\.1: an error decides"):
        run.evaluate(load_data(run.recipe).test[:4], terms=3, error=0.1)


@pytest.mark.parametrize("kind", ["vectors", "digits"])
def test_trajectories_tighten_the_bound(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    out = good("evaluate", run, "--examples", 6, "--terms", 1, "--steps", 4, "--trajectories", 3)
    (path,) = run.glob("weighted-*.json")
    found, opened = json.loads(path.read_text()), library.load(run)
    raw = load_data(opened.recipe).test[:6]
    again = opened.weighted(raw, trajectories=3, steps=4)
    assert found["bits"]["mean"] == pytest.approx(again.bits.mean)
    assert again.gain.mean == pytest.approx(again.bound.mean - again.bits.mean) and again.gain.mean > 0
    assert f"{again.bits.mean:.4f}" in out and "trajectories of 3)" in out
    assert "--trajectories 0: at least one" in refused("evaluate", run, "--trajectories", 0)
    assert "--json prints the bound alone" in refused("evaluate", run, "--trajectories", 2, "--json")


def found_among(run: library.Run) -> torch.Tensor:
    """The times that a chain is chosen from: of a table some of its own."""
    schedule = run.model.kernel.schedule
    if schedule.steps is None:
        return logsnr(schedule, TIMES, float(run.grid[0]))
    return thin(run.grid, min(TIMES, len(run.grid)))


def test_the_curve_is_kept_for_these_weights(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    run = copy("digits")
    opened = library.load(run)
    raw = load_data(opened.recipe).train[:20]
    first = curve_noted(opened, raw)
    noted = json.loads((run / "curve.json").read_text())
    assert noted["mse"] == first.mse.tolist() and min(noted["se"]) > 0
    with monkeypatch.context() as patched:
        patched.setattr(type(opened), "curve", lambda *_, **__: pytest.fail("measured again"))
        again = curve_noted(opened, raw)
    assert all(torch.equal(getattr(first, x), getattr(again, x)) for x in ("grid", "logsnr", "mse", "se"))
    assert again.size == first.size
    other = curve_noted(opened, raw, seed=1)
    assert not torch.equal(other.mse, first.mse)
    half = opened.stopped(0.5)
    assert float(curve_noted(half, raw).grid[0]) == 0.5
    with torch.no_grad():
        next(opened.denoiser.parameters()).add_(0.1)
    assert not torch.equal(curve_noted(opened, raw).mse, first.mse)
    for damage in ('{"key": 1}', "{"):
        (run / "curve.json").write_text(damage)
        assert len(curve_noted(opened, raw).grid) == len(first.grid)


def test_a_chain_is_chosen_by_what_it_costs(copy: Callable[[str], Path], bits: Path):
    run = copy("digits")
    out = good("evaluate", run, "--steps", 4, "--best", "--terms", 0)
    assert "chain of 4 steps" in out and (run / "evaluation-test-4-best-steps.json").exists()
    opened = library.load(run)
    raw = load_data(opened.recipe).train[:50]
    found = opened.chained(4, opened.curve(raw))
    assert len(found.grid) == 4 and found.grid[0] == opened.grid[0]
    times = found_among(opened)
    curve = curve_of(opened.model, raw, grid=times, encode=opened.space.encode)
    assert torch.equal(found.grid, curve.best(4)) and not torch.equal(found.grid, curve.even(4))
    rows = lambda name: json.loads((run / f"evaluation-test-{name}steps.json").read_text())["rows"]  # noqa: E731
    good("evaluate", run, "--steps", 4, "--terms", 0)
    assert rows("4-best-") != rows("4-")
    assert "--best: of how many steps?" in refused("evaluate", run, "--best")
    assert "is of symbols" in refused("evaluate", bits, "--best", "--steps", 3)
    assert "can be thinned to" in refused("evaluate", run, "--best", "--steps", 100_000)
