"""The 2015 system from the command line: bits, entropies, Parzen windows, the paper's table."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused, train, undiffuse

import undiffuse as library
from undiffuse.metrics import parzen
from undiffuse.recipes import load_data
from undiffuse.recipes.recipe import source_of
from undiffuse.reports import PaperRow, parzen_of, protocol, reproduce
from watched import reports, watched

BITS = [
    "heartbeat",
    "network.kind=mlp",
    "network.hidden=8",
    "network.layers=1",
    "data.train=200",
    "data.test=40",
]
BINOMIAL = ["kernel.kind=binomial", "kernel.schedule=constant-fraction"]
FIXED = ["K, with a fixed last step", "K - L_null", "K by eq. 14"]


def rows(run: Path, part: str = "") -> dict[str, dict]:
    found = json.loads((run / f"evaluation-test{part}.json").read_text())
    return {row["name"].strip(): row for row in found["rows"]}


def test_bits_are_trained_sampled_and_evaluated(tmp_path: Path):
    run = train(tmp_path / "bits", BITS)
    good("sample", run, "-n", 5)
    (file,) = (run / "samples").glob("seed0*.npy")
    drawn = np.load(file)
    assert drawn.shape == (5, 20) and drawn.dtype == np.uint8 and set(np.unique(drawn)) <= {0, 1}
    (picture,) = (run / "samples").glob("seed0*.png")
    with Image.open(picture) as image:
        seen = np.asarray(image.convert("L"))
    scale = seen.shape[1] // 20
    assert (seen[scale // 2 :: scale, scale // 2 :: scale] // 255 == drawn).all()  # a row a sequence
    good("evaluate", run, "--terms", 0)
    found, loaded = rows(run), library.load(run)
    assert all(name in found and found[name]["unit"] == "bits/example" for name in FIXED)
    null = 20 * (-0.2 * math.log2(0.2) - 0.8 * math.log2(0.8))
    gain = found["K - L_null"]["mean"] - found["K, with a fixed last step"]["mean"]
    assert gain == pytest.approx(null, rel=1e-6)  # every sequence has four beats
    data = load_data(loaded.recipe).test
    total = float(loaded.bits(data).mean()) * 20
    assert found["the bound"]["mean"] == pytest.approx(total)
    assert found["gain over the prior"]["mean"] == pytest.approx(null - total)


def test_entropies_are_printed_and_written(copy: Callable[[str], Path]):
    run = copy("points")
    out = good("evaluate", run, "--entropy")
    assert "Entropy of a reverse step" in out and "warning" not in out
    with (run / "entropy-test.csv").open() as file:
        steps = list(csv.DictReader(file))
    loaded = library.load(run)
    found = loaded.step_entropies(load_data(loaded.recipe).test)
    assert len(steps) == 11
    for name, row in zip(("lower", "upper", "model"), found.means, strict=True):
        assert [float(step[name]) for step in steps] == pytest.approx(row.tolist())
    with Image.open(run / "entropy-test.png") as image:
        assert image.width > 600


def test_a_chain_of_masks_has_no_k_and_no_upper_bound(tmp_path: Path):
    chain = "kernel={kind: absorbing, symbols: 2, schedule: constant-fraction}"
    run = train(tmp_path / "masks", [*BITS, chain])
    result = undiffuse("evaluate", run, "--entropy")
    assert result.code == 0 and "'at most' does not hold" in result.err
    assert "the data cost" not in result.err and not {*FIXED, "gain over the prior"} & set(rows(run))
    assert "two steps" in refused("evaluate", run, "--entropy", "--steps", 1)
    refusal = refused("sample", run, "--sampler", "ddim")
    assert refusal.startswith("DDIM needs a Gaussian kernel, not Absorbing")


def test_data_that_break_a_condition_are_warned_of(tmp_path: Path):
    run = train(tmp_path / "bits", [*BITS, "kernel.p0=0.4"])
    result = undiffuse("evaluate", run, "--terms", 0)
    assert result.code == 0
    assert "warning: the data cost" in result.err and "mean of p0" in result.err
    assert (
        "the data cost" not in undiffuse("evaluate", train(tmp_path / "half", [*BITS, "kernel.p0=0.5"])).err
    )


def test_parzen_windows_are_those_of_the_samples(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    run = copy("digits")
    good("parzen", run, "-n", 20, "--steps", 3)
    found = json.loads((run / "parzen-20-samples-3-steps.json").read_text())
    loaded = library.load(run)
    data, drawn = load_data(loaded.recipe), loaded.sample(20, steps=3, block=100)
    begin = len(data.train) * 5 // 6
    fixed = protocol(loaded)
    assert torch.equal(fixed.validation, data.train[begin : begin + 1000] / 16)
    exact = parzen(drawn / 16, data.train[begin : begin + 1000] / 16, data.test / 16)
    assert found["nats"]["mean"] == pytest.approx(exact.nats.mean, rel=1e-5)
    assert found["bits"]["mean"] == pytest.approx(exact.nats.mean / math.log(2), rel=1e-5)
    assert (found["samples"], found["examples"], found["width"]) == (20, 300, exact.width)
    assert found["first"] == 0
    good("parzen", run, "-n", 20, "--steps", 3, "--stop", 0.5)
    early = json.loads((run / "parzen-20-samples-3-steps-stop-0.5.json").read_text())
    assert early["first"] == 0.5 and early["nats"] != found["nats"]
    assert "n=0: draw" in refused("parzen", run, "-n", 0)
    assert "continuous" in refused("parzen", copy("points"))


def test_dequantised_data_are_densities(tmp_path: Path):
    run = train(
        tmp_path / "run", ["digits", "network.channels=4", "network.multipliers=[1]", "dequantize=true"]
    )
    good("evaluate", run, "--terms", 0, "--examples", 50)
    loaded = library.load(run)
    assert loaded.levels is None and set(FIXED) <= set(rows(run, "-50-examples"))
    data = load_data(loaded.recipe).train
    assert data.dtype == torch.float32 and data.min() >= 0 and 16 < data.max() < 17
    for ask in (loaded.bits, loaded.evaluate):  # a density at a level bounds no probability
        for levels in (data[:3].to(torch.uint8), data[:3].floor()):
            with pytest.raises(ValueError, match=r"without its noise; .* give it raw \+ u"):
                ask(levels)
    assert loaded.space.encode(data).std().item() == pytest.approx(1, abs=1e-3)
    good("sample", run, "-n", 4, "--steps", 3, "--out", "some.png")
    with Image.open("some.png") as image:
        assert image.width > 100 and len(np.unique(np.asarray(image.convert("L")))) > 10
    good("parzen", run, "-n", 10, "--steps", 2)
    levels, fixed = source_of(loaded.recipe).load().train, protocol(loaded)
    inner, unit = (levels > 0) & (levels < 16), fixed.unit(data)  # at the ends they are cut
    away = (unit - levels / 16)[inner]
    assert abs(float(away.mean())) < 5 / (16 * math.sqrt(12 * len(away))) and away.abs().max() < 0.51 / 16
    assert torch.equal(fixed.test, load_data(loaded.recipe).test[:].floor() / 16)


def test_rounded_values_are_densities_with_their_noise(tmp_path: Path):
    r = np.random.default_rng(0)
    steps = r.normal(0, 9, size=(90, 3))
    steps[:, [0, 2]] = steps[:, [0, 2]].round(1)
    np.save(tmp_path / "steps.npy", steps)
    words = ["images", "data.kind=array", f"data.path={tmp_path / 'steps.npy'}", "data.spacing=[0.1, 0, 0.1]"]
    mlp = ["network.kind=mlp", "network.hidden=8", "network.layers=1", "train.flips=false"]
    run = library.load(train(tmp_path / "run", [*words, *mlp, "train.evaluate_every=0"]))
    for ask in (run.bits, run.evaluate):
        with pytest.raises(ValueError, match=r"data.spacing=\[0\.1, 0\.0, 0\.1\]\): give it raw \+ spacing"):
            ask(torch.from_numpy(steps[:2]))
    noise = torch.from_numpy(r.uniform(-0.05, 0.05, size=(2, 3)))
    assert run.bits(torch.from_numpy(steps[:2]) + noise, terms=2).shape == (2,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", *BINOMIAL], "the data have 17 levels, the kernel is for 2 symbols"),
        (["swiss-roll", *BINOMIAL, "objective=variational"], "continuous values, the kernel"),
        ([*BITS, "kernel.p0=0"], "p0=0.0: the share of ones lies strictly between 0 and 1"),
        ([*BITS, "kernel.p0=1.5"], "p0=1.5"),
        ([*BITS, "kernel.p0=[0.1, 0.2]"], "p0 has shape (2,), the data (20,)"),
        ([*BITS, "kernel={kind: categorical, symbols: -1, schedule: linear}"], "symbols=-1"),
        ([*BITS, "objective.kind=simple"], "the simple objective is for Gaussian kernels"),
        ([*BITS, "parameterization=v"], "use parameterization=logit"),
        ([*BITS, "sampler.kind=ddim"], "DDIM needs a Gaussian kernel"),
        ([*BITS, "data.period=7"], "length=20"),
        ([*BITS, "grid.steps=1"], "one latent time is no chain"),
        (["swiss-roll-2015", "kernel.schedule.steps=1"], "at least two steps"),
        (["swiss-roll-2015", "objective.kind=simple"], "does not train a learned variance"),
        (["textures", "data.size=200"], "patch"),
        (["swiss-roll", "dequantize=true"], "continuous"),
    ],
)
def test_what_does_not_fit(words: list[str], message: str, tmp_path: Path):
    assert message in refused("train", *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_reproduce_prints_the_paper_beside_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    small = "train: {steps: 20, batch: 16}\ngrid: {kind: uniform, steps: 12}\nobjective: variational\n"
    (tmp_path / "roll.yaml").write_text(
        "data: {kind: swiss-roll, train: 99, test: 30}\nnetwork: mlp\n" + small
    )
    (tmp_path / "lost.yaml").write_text("data: mnist\nnetwork: mlp\n" + small)
    recipes = [str(tmp_path / name) for name in ("roll.yaml", "lost.yaml")]
    rows = (
        PaperRow("a roll", recipes[0], "K - L_null", "6.45", "bits/point", "another roll"),
        PaperRow("lost", recipes[1], "Parzen", "317", "bits/image", "not here", True),
    )
    monkeypatch.setattr(reproduce, "PAPERS", {"2015": rows})
    first = undiffuse("reproduce", "2015", "--minutes", 1, "--out", "out")
    assert first.code == 0, first.err
    words = first.out.split()
    assert "roll" in words and "6.45" in words and "20" in words
    assert "lost: left out" in first.err and "--data-dir" in first.err
    (found,) = json.loads(Path("out/table.json").read_text())
    assert found["row"]["paper"] == "6.45" and found["steps"] == 20
    again = undiffuse("reproduce", "2015", "--minutes", 1, "--out", "out")
    assert again.out == first.out
    assert "did you mean '2015'" in refused("reproduce", "2016")
    assert "no such name" in refused("reproduce", "2015", "--rows", "moon")
    assert "--minutes 0" in refused("reproduce", "2015", "--minutes", 0)
    endless = undiffuse("reproduce", "2015", "--minutes", "inf", "--rows", recipes[0], "--out", "endless")
    assert endless.code == 0 and "20 steps" in " ".join(endless.out.split())


def test_a_row_of_parzen_windows_is_in_bits(runs: Path):
    """As its unit says: the nats of `undiffuse parzen` over ln 2."""
    row = PaperRow("digits", "digits", "Parzen", "317", "bits/image", "fewer")
    run = library.load(runs / "digits")
    track, told = watched()
    found = reproduce.measure(row, runs / "digits", torch.device("cpu"), samples=10, track=track)
    exact = parzen_of(run, protocol(run), 10, steps=12).nats
    assert found.ours.mean == pytest.approx(exact.mean / math.log(2), rel=1e-6)
    assert found.ours.se == pytest.approx(exact.se / math.log(2), rel=1e-6)
    assert reports(told, "sample") and reports(told, "score")
