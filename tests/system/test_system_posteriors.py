"""undiffuse inpaint, denoise, restore and impute: files, sameness, what is known stays, refusals."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, train

import undiffuse as library
from undiffuse import posteriors
from undiffuse.cli.posterior import summary
from undiffuse.diffusion import Posterior, Way
from undiffuse.recipes import load_data

ENDS = (".npy", "-mean.npy", "-std.npy")
PICTURES = (".png", "-mean.png", "-std.png", "-sheet.png")


def drawn(*arguments: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Samples, mean and standard deviation that a verb wrote, and what it printed."""
    for before in Path().glob("x[.-]*"):
        before.unlink()
    out = good(*arguments, "--out", "x")
    samples, mean, std = (np.load(f"x{end}") for end in ENDS)
    return samples, mean, std, out


def example(run: Path, index: int = 0) -> np.ndarray:
    """Of the test data."""
    found: np.ndarray = load_data(library.load(run).recipe).test[index].numpy()
    return found


def test_a_hole_is_filled_and_the_rest_stays(runs: Path):
    run = runs / "digits"
    samples, mean, std, out = drawn("inpaint", run, "--index", 1, "--mask", "left", "-n", 4)
    assert out.splitlines() == ["method: matched", *(f"x{end}" for end in ENDS + PICTURES)]
    truth = example(run, 1)
    assert samples.shape == (4, 1, 8, 8) and samples.dtype == truth.dtype
    assert (samples[..., 4:] == truth[..., 4:]).all() and (samples[..., :4].std(0) > 0).any()
    np.testing.assert_allclose(mean, samples.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, samples.std(0, ddof=1), rtol=1e-5, atol=1e-6)
    assert (std[..., 4:] == 0).all()
    with Image.open("x-sheet.png") as sheet:
        assert sheet.width > 4 * sheet.height
    np.save("a.npy", truth)
    Image.fromarray((truth[0] * 255.0 / 16).round().astype("u1")).save("a.png")
    for name in ("a.npy", "a.png"):
        assert np.array_equal(drawn("inpaint", run, name, "--mask", "left", "-n", 4)[0], samples)
    assert np.array_equal(drawn("inpaint", run, "a.npy", "--mask", "left", "-n", 2)[0], samples[:2])
    assert not np.array_equal(
        drawn("inpaint", run, "a.npy", "--mask", "left", "-n", 4, "--seed", 1)[0], samples
    )


def test_masks_of_all_kinds_say_the_same(runs: Path):
    run = runs / "digits"
    known = np.ones((8, 8), bool)
    known[2:6, 2:6] = False
    grey, clear = 255 * known.astype("u1"), np.full((8, 8, 4), 77, "u1")
    np.save("m.npy", known)
    np.save("whole.npy", known[None])
    Image.fromarray(grey).save("m.png")
    clear[..., 3] = grey
    Image.fromarray(clear).save("clear.png")
    solid = np.stack([grey, grey, grey, np.full_like(grey, 255)], -1)
    Image.fromarray(solid).save("solid.png")
    words = ("inpaint", run, "--index", 0, "-n", 2, "--steps", 2, "--mask")
    wanted = drawn(*words, "centre")[0]
    for mask in ("m.npy", "whole.npy", "m.png", "clear.png", "solid.png"):
        assert np.array_equal(drawn(*words, mask)[0], wanted), mask
    for mask, place in (("top", np.s_[..., 4:, :]), ("bottom", np.s_[..., :4, :]), ("right", np.s_[..., :4])):
        assert (drawn(*words, mask)[0][place] == example(run)[place]).all()


def test_all_and_nothing_known(runs: Path, bits: Path):
    for run in (runs / "digits", runs / "vectors", bits):
        shape = library.load(run).shape
        for known in (True, False):
            np.save("m.npy", np.full(shape, known))
            samples = drawn("inpaint", run, "--index", 0, "--mask", "m.npy", "-n", 8, "--steps", 2)[0]
            assert np.isfinite(samples).all()
            assert (samples == example(run)).all() == known


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("digits", "flat", ()),
        ("digits", "constant", ()),
        ("digits", "annealed", ()),
        ("digits", "replaced, every step 3 times", ("--times", 3)),
        ("pictures", "matched", ()),
        ("sequences", "matched", ()),
        ("levels", "matched", ()),
        ("points", "matched", ()),
        ("bits", "tilted", ()),
        ("bits", "constant", ()),
        ("bits", "replaced, every step 10 times", ()),
        ("points", "matched, groups of 8 particles", ("--particles", 8)),
        ("bits", "tilted, groups of 8 particles", ("--particles", 8)),
    ],
)
def test_methods_on_data_of_all_kinds(all_runs: dict[str, Path], kind: str, method: str, words: tuple):
    run = all_runs[kind]
    asked = ("inpaint", run, *["--index", "0", "--steps", "4", "--mask", "right", "--method"])
    asked = (*asked, method.partition(",")[0], *words)
    samples, _, _, out = drawn(*asked, "-n", 12)
    truth, half = example(run), example(run).shape[-1] // 2
    assert f"method: {method}\n" in out
    assert ("effective sample size: " in out) == ("--particles" in words)
    assert np.isfinite(samples).all() and len(samples) == 12
    assert (samples[..., : truth.shape[-1] - half] == truth[..., : truth.shape[-1] - half]).all()
    assert np.array_equal(drawn(*asked, "-n", 2)[0], samples[:2])


def test_noise_is_taken_away(runs: Path, all_runs: dict[str, Path]):
    run = runs / "digits"
    own, slight = ("--index", 2), ("--std", 0.01, "--steps", 3)
    samples, mean, _, out = drawn("denoise", run, *own, *slight, "-n", 3)
    assert "method: matched" in out and np.abs(mean - example(run, 2)).max() < 1
    Image.fromarray((example(run, 2)[0] * 255.0 / 16).round().astype("u1")).save("a.png")
    found = drawn("denoise", run, "a.png", *slight, "-n", 2)[1]
    assert np.abs(found - example(run, 2)).max() < 1
    assert np.array_equal(drawn("denoise", run, *own, *slight, "-n", 2)[0], samples[:2])
    for kind, width in (("points", 1e-3), ("vectors", 1e-2), ("sequences", 1e-3)):  # in raw units
        run = all_runs[kind]
        found = drawn("denoise", run, "--index", 0, "--std", width, "-n", 4)[1]
        assert np.abs(found - example(run)).max() < 6 * width
    np.save("far.npy", np.array([50.0, -40.0, 30.0], "f4"))  # outside of the data is no error
    assert np.isfinite(drawn("denoise", runs / "vectors", "far.npy", "--std", 1, "-n", 4)[0]).all()


def test_detail_and_colour_come_back(runs: Path):
    run = runs / "digits"
    small = example(run, 2).reshape(1, 4, 2, 4, 2).mean((2, 4))
    np.save("small.npy", small)
    words = ("restore", run, "small.npy", "--operator", "downsample:2", "--std", 0.02, "--steps", 4)
    samples, _, _, out = drawn(*words, "-n", 3)
    assert "x-sheet.png" in out and samples.shape == (3, 1, 8, 8)
    away = samples.reshape(3, 1, 4, 2, 4, 2).mean((3, 5)) - small
    assert np.abs(away).mean() < 1.5
    assert np.array_equal(drawn(*words, "-n", 2)[0], samples[:2])
    Image.fromarray((small[0] * 255 / 16).round().astype("u1")).save("small.png")
    good("restore", run, "small.png", "--operator", "downsample:2", "-n", 2, "--steps", 2, "--out", "y")
    for operator in ("downsample:4", "blur:1"):
        asked = f"--index 2 --operator {operator} -n 2 --method flat --steps 2 --out {operator[:4]}"
        good("restore", run, *asked.split())
    Image.fromarray(np.full((7, 9), 100, "u1")).save("grey.png")
    words = ("restore", runs / "pictures", "grey.png", "--operator", "grey", "-n", 2, "--steps", 2)
    assert drawn(*words)[0].shape == (2, 3, 7, 9)


def test_tables_with_holes(runs: Path, bits: Path):
    rows = load_data(library.load(runs / "vectors").recipe).test[:3].numpy().copy()
    rows[0, 1] = rows[1, :] = np.nan
    np.save("t.npy", rows)
    samples, mean, _, out = drawn("impute", runs / "vectors", "t.npy", "-n", 5)
    assert samples.shape == (3, 5, 3) and mean.shape == (3, 3) and np.isfinite(samples).all()
    known = np.broadcast_to(~np.isnan(rows)[:, None], samples.shape)
    assert (samples[known] == np.broadcast_to(rows[:, None], samples.shape)[known]).all()
    assert (samples[2] == rows[2]).all() and (samples[1].std(0) > 0).all()
    assert len(re.findall(r"^ *[012] +[012] ", out, re.MULTILINE)) == 9  # a table of seen, mean, std
    assert np.array_equal(drawn("impute", runs / "vectors", "t.npy", "-n", 2)[0], samples[:, :2])
    found = library.load(runs / "vectors").impute(torch.from_numpy(rows), n=5)
    assert np.array_equal(found.samples.numpy(), samples)
    assert found.method == "matched, groups of 64 particles"
    row = example(bits).astype("f4")
    row[::2] = np.nan
    np.save("b.npy", row)
    samples = drawn("impute", bits, "b.npy", "-n", 4)[0]
    assert samples.shape == (4, 20) and samples.dtype == np.uint8 and samples.max() <= 1
    assert (samples[:, 1::2] == row[1::2]).all()
    assert "z-sheet.png" in good("impute", bits, "b.npy", "--particles", 4, "--out", "z")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("points", "inpaint --mask left"),
        ("points", "denoise --std 0.5"),
        ("bits", "inpaint --mask right"),
        ("digits", "restore --operator downsample:4 --std 0.3 --method flat"),
    ],
)
def test_evidence(all_runs: dict[str, Path], kind: str, words: str):
    verb, *rest = words.split()
    asked = (verb, all_runs[kind], *rest, "--index", 0, "--evidence", "--groups", 3, "--particles", 4)
    samples, _, _, out = drawn(*asked)
    assert len(samples) == 4
    found = re.search(r"log evidence: (\S+) \+- (\S+) nats, (\S+) \+- (\S+) bits", out)
    assert found is not None, out
    nats, se, in_bits, _ = map(float, found.groups())
    assert np.isfinite(nats) and se >= 0 and in_bits == pytest.approx(nats / np.log(2), abs=1e-3)


def test_doubt_is_printed_beside_the_numbers():
    found = Posterior(torch.zeros(1, 4, 2), "flat", 0.1, -1.0, 0.2, "6.4 of 64 particles carry the weight")
    lines = summary(found, 64)
    assert lines[1] == "effective sample size: 6.4 of 64 at the least"
    assert lines[-1] == "warning: 6.4 of 64 particles carry the weight"
    assert not any("warning" in line for line in summary(replace(found, doubt=None), 64))


def test_evidence_is_a_density_in_raw_units(runs: Path):
    """It moves by the log-determinant of what is known, of noise that is seen, and of measurements."""
    run = library.load(runs / "vectors")
    raw, std = torch.from_numpy(example(runs / "vectors")), run.space.std
    way, mask = Way(particles=8, groups=2), torch.tensor([True, False, True])
    own = {"particles": 8, "groups": 2, "grid": run.grid}
    for factor, shift in (
        (run.known(raw, mask), -float(std.log()[mask].sum())),
        (run.noisy(raw, 0.5), -float(std.log().sum())),
        (run.measured(posteriors.operators.Matrix(torch.ones(1, 3)), raw.sum()[None], 0.5), 0.0),
        (run.noisy(raw, 0.5) * run.noisy(raw + 1, 2.0), -2 * float(std.log().sum())),
        (run.known(raw, mask) * run.noisy(raw, 0.5), -float(std.log()[mask].sum() + std.log().sum())),
        (posteriors.Linearised(run.noisy(raw, 0.5)), -float(std.log().sum())),
    ):
        generator = torch.Generator().manual_seed(0)
        there = library.samplers.evidence(run.model * factor, run.shape, generator=generator, **own)
        found = run.posterior(factor, 4, way=way)
        assert found.log_evidence == pytest.approx(there.log_evidence + shift, abs=1e-6)


def test_measurements_by_any_operator_are_in_raw_units(runs: Path):
    """The sum of three features, seen almost without noise, is the sum of every sample."""
    run = library.load(runs / "vectors")
    total = run.measured(posteriors.operators.Matrix(torch.ones(1, 3)), torch.tensor([20.0]), 1e-3)
    np.testing.assert_allclose(run.posterior(total, 8).samples[0].sum(-1), 20, atol=0.05)


def test_without_a_name_it_goes_to_the_run(bits: Path, runs: Path):
    for verb, run, words, stem in (
        ("inpaint", bits, "--index 0 --mask left", "inpaint-0-left-seed0-n16"),
        ("denoise", runs / "digits", "--index 0 -n 2 --steps 4", "denoise-0-std0.3-seed0-n2-steps4"),
        (
            "restore",
            runs / "digits",
            "--index 0 -n 2 --method flat",
            "restore-0-downsample4-std0.05-seed0-n2-flat",
        ),
    ):
        out = good(verb, run, *words.split()).splitlines()
        assert out[1:] == [f"{run}/samples/{stem}{end}" for end in ENDS + PICTURES]
        assert all(Path(path).is_file() for path in out[1:])
    good("inpaint", bits, "--index", 0, "--out", ".")
    assert Path("inpaint-0-centre-seed0-n16-sheet.png").is_file()


def test_of_a_class(tmp_path: Path):
    words = ["digits", "network.channels=4", "network.multipliers=[1, 2]", "network.blocks=1"]
    run = train(
        tmp_path / "ten", [*words, "network.attention=[]", "condition=labels"], "train.evaluate_every=0"
    )
    asked = ("inpaint", run, "--index", 0, "--mask", "left", "-n", 2, "--steps", 2)
    assert not np.array_equal(drawn(*asked, "--class", 3)[0], drawn(*asked, "--class", 4)[0])


@pytest.mark.parametrize("verb", ["inpaint", "denoise", "restore", "impute"])
def test_help_teaches(verb: str):
    out = good(verb, "--help")
    assert f"undiffuse {verb} runs/" in out and "Examples" in out


def test_noise_has_the_unit_of_the_data(runs: Path):
    """r as a function of raw data is N(y; raw, std^2): std of levels is from -1 to 1."""
    for kind, y, std, unit in (
        ("vectors", torch.tensor([6.0, 1.0, 4.0]), 0.5, 1.0),
        ("digits", None, 0.3, 8.0),
    ):
        run = library.load(runs / kind)
        raw = load_data(run.recipe).test[:4]
        y = raw[0] if y is None else y
        away = (raw.double() - y.double()).flatten(1) / (std * unit)
        for factor in (run.noisy(y, std), run.measured(posteriors.operators.Identity(), y, std)):
            log_r = factor.log(run.space.encode(raw))
            expected = -0.5 * away.square().sum(1)
            torch.testing.assert_close(log_r - log_r[0], expected - expected[0], rtol=1e-4, atol=1e-4)
