"""undiffuse inpaint, denoise, restore and impute: files, sameness, what is known stays, refusals."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused, train, tree

import undiffuse as library
from undiffuse import posteriors
from undiffuse.recipes import Way, load_data

BITS = [
    "heartbeat",
    "network.kind=mlp",
    "network.hidden=8",
    "network.layers=1",
    "data.train=60",
    "data.test=7",
]
ENDS = (".npy", "-mean.npy", "-std.npy")
PICTURES = (".png", "-mean.png", "-std.png", "-sheet.png")


@pytest.fixture(scope="module")
def bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 bits."""
    return train(
        tmp_path_factory.mktemp("bits") / "run", BITS, "train.evaluate_every=0", "train.figures_every=0"
    )


@pytest.fixture
def all_runs(runs: Path, bits: Path) -> dict[str, Path]:
    """Runs by the kind of their data."""
    return {path.name: path for path in runs.iterdir()} | {"bits": bits}


def drawn(*arguments: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Samples, mean and standard deviation that a verb wrote, and what it printed."""
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
    asked = (
        "inpaint",
        run,
        "--index",
        0,
        "--steps",
        4,
        "--mask",
        "right",
        "--method",
        method.partition(",")[0],
        *words,
    )
    samples, _, _, out = drawn(*asked, "-n", 12)
    truth, half = example(run), example(run).shape[-1] // 2
    assert f"method: {method}\n" in out
    assert ("effective sample size: " in out) == ("--particles" in words)
    assert np.isfinite(samples).all() and len(samples) == 12
    assert (samples[..., : truth.shape[-1] - half] == truth[..., : truth.shape[-1] - half]).all()
    assert np.array_equal(drawn(*asked, "-n", 2)[0], samples[:2])


def test_noise_is_taken_away(runs: Path, all_runs: dict[str, Path]):
    run = runs / "digits"
    samples, mean, _, out = drawn("denoise", run, "--index", 2, "--std", 0.01, "-n", 3, "--steps", 3)
    assert "method: matched" in out and np.abs(mean - example(run, 2)).max() < 1
    Image.fromarray((example(run, 2)[0] * 255.0 / 16).round().astype("u1")).save("a.png")
    assert (
        np.abs(
            drawn("denoise", run, "a.png", "--std", 0.01, "-n", 2, "--steps", 3)[1] - example(run, 2)
        ).max()
        < 1
    )
    assert np.array_equal(
        drawn("denoise", run, "--index", 2, "--std", 0.01, "-n", 2, "--steps", 3)[0], samples[:2]
    )
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
        good(
            "restore",
            run,
            "--index",
            2,
            "--operator",
            operator,
            "-n",
            2,
            "--method",
            "flat",
            "--steps",
            2,
            "--out",
            "y",
        )
    Image.fromarray(np.full((7, 9), 100, "u1")).save("grey.png")
    assert drawn("restore", runs / "pictures", "grey.png", "--operator", "grey", "-n", 2, "--steps", 2)[
        0
    ].shape == (
        2,
        3,
        7,
        9,
    )


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
    assert (
        np.array_equal(found.samples.numpy(), samples) and found.method == "matched, groups of 64 particles"
    )
    row = example(bits).astype("f4")
    row[::2] = np.nan
    np.save("b.npy", row)
    samples = drawn("impute", bits, "b.npy", "-n", 4)[0]
    assert samples.shape == (4, 20) and samples.dtype == np.uint8 and samples.max() <= 1
    assert (samples[:, 1::2] == row[1::2]).all()
    assert "x-sheet.png" in good("impute", bits, "b.npy", "--particles", 4, "--out", "x")


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
        tmp_path / "ten", [*words, "network.attention=[]", "conditional=true"], "train.evaluate_every=0"
    )
    asked = ("inpaint", run, "--index", 0, "--mask", "left", "-n", 2, "--steps", 2)
    assert not np.array_equal(drawn(*asked, "--class", 3)[0], drawn(*asked, "--class", 4)[0])


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("digits", "inpaint", "give a file, or --index I for an example of the test data"),
        ("digits", "inpaint a.npy --index 0", "give a file, or --index I"),
        ("digits", "denoise --index 300", "index=300: the test data have examples 0 to 299"),
        ("digits", "inpaint none.png", "none.png: no such file"),
        (
            "digits",
            "inpaint --index 0 --mask none.png",
            "mask none.png: no such file; give one, or a word: left",
        ),
        (
            "digits",
            "inpaint --index 0 --mask wide.png",
            "wide.png: a mask of 9 x 8 pixels, this run has 8 x 8",
        ),
        ("digits", "inpaint --index 0 --mask wide.npy", "wide.npy: holds float64; a mask is bool"),
        ("digits", "inpaint --index 0 --mask mask9.npy", "mask9.npy: a mask of shape (8, 9), this run has"),
        ("digits", "inpaint --index 0 --mask text.png", "text.png cannot be read as PNG or JPEG"),
        ("vectors", "inpaint --index 0 --mask top", "mask top: examples of shape (3,) have left, right and"),
        ("vectors", "inpaint --index 0 --mask wide.png", "wide.png: a picture, but this run has examples of"),
        ("digits", "inpaint nan.npy", "nan.npy: holds values that are not finite"),
        ("digits", "denoise nan.npy", "nan.npy: holds values that are not finite"),
        ("digits", "restore nan.npy --operator blur:1", "nan.npy: holds values that are not finite"),
        ("digits", "inpaint high.npy", "high.npy: values 17 to 17, this run has whole numbers 0 to 16"),
        (
            "digits",
            "denoise far.npy --std 0.1",
            "the observation has values 200 to 200, this run's data 0 to 16",
        ),
        ("digits", "impute high.npy", "known values 17 to 17: this run has whole numbers 0 to 16"),
        ("bits", "impute half.npy", "known values 0.5 to 0.5: this run has whole numbers 0 to 1"),
        ("bits", "impute two.npy", "known values 2 to 2: this run has whole numbers 0 to 1"),
        ("vectors", "impute inf.npy", "inf.npy: holds infinite values; NaN marks what is missing"),
        ("vectors", "impute wide.npy", "wide.npy: shape (1, 8, 9), this run has examples of shape (3,)"),
        ("vectors", "impute wide.png", "wide.png: a table with holes is read from an .npy file"),
        ("vectors", "impute none.npy", "none.npy: no such file"),
        ("digits", "denoise --index 0 --std 0", "std=0: noise has a positive, finite width"),
        ("digits", "denoise --index 0 --std -1", "std=-1: noise has a positive, finite width"),
        ("digits", "restore --index 0 --std nan", "std=nan: noise has a positive, finite width"),
        (
            "bits",
            "denoise --index 0",
            "normal noise is that of numbers, this run is of symbols: use inpaint or",
        ),
        (
            "bits",
            "denoise two.npy",
            "normal noise is that of numbers, this run is of symbols: use inpaint or",
        ),
        ("bits", "restore --index 0", "downsample is for images (C, H, W), these examples have shape (20,)"),
        (
            "digits",
            "restore --index 0 --operator shrink:2",
            "operator shrink:2: one of downsample:4, blur:1.5",
        ),
        ("digits", "restore --index 0 --operator blur", "operator blur: blur needs a number, such as blur:2"),
        (
            "digits",
            "restore --index 0 --operator downsample:3",
            "downsample:3: blocks do not fill images of 8x8",
        ),
        ("digits", "restore a.npy", "a.npy: shape (1, 8, 8), downsample:4 gives examples of shape (1, 2, 2)"),
        ("digits", "restore wide.png", "wide.png: 9 x 8 pixels, downsample:4 gives 2 x 2; resize it first"),
        ("digits", "inpaint --index 0 --method best", "method best: one of matched, flat, tilted, constant"),
        ("digits", "inpaint --index 0 --method tilted", "method tilted: Tilted takes x_0 to be independent"),
        ("bits", "inpaint --index 0 --method flat", "method flat: Matched takes x_0 to be normal given x_t"),
        (
            "digits",
            "denoise --index 0 --method replaced",
            "method replaced: Noisy: what replaces elements of",
        ),
        (
            "digits",
            "inpaint --index 0 --method constant --particles 4",
            "method constant: Constant with Known",
        ),
        ("digits", "inpaint --index 0 --method replaced --evidence", "method replaced: Replaced with Known"),
        ("digits", "inpaint --index 0 --particles 1", "particles=1: a group has at least two"),
        ("digits", "inpaint --index 0 --evidence --groups 1", "groups=1: the error of the evidence needs at"),
        ("digits", "inpaint --index 0 --groups 4", "--groups 4: they are for --evidence"),
        (
            "digits",
            "inpaint --index 0 --evidence --particles 2 -n 17",
            "n=17: 8 groups of 2 particles are 16",
        ),
        ("vectors", "impute table.npy --evidence", "the evidence is of one example at a time, these are 2"),
        ("digits", "inpaint --index 0 --times 4", "times=4: it is the method replaced that makes every step"),
        (
            "digits",
            "inpaint --index 0 --method replaced --times 0",
            "times=0: every step is made at least once",
        ),
        ("digits", "inpaint --index 0 -n 0", "n=0: draw at least one sample"),
        (
            "digits",
            "inpaint --index 0 --steps 13",
            "steps=13: this run's chain can be thinned to 1 to 12 steps",
        ),
        ("digits", "inpaint --index 0 --class 3", ""),
        ("digits", "inpaint --index 0 --out x.png", "--out x.png: several files are written; give a folder"),
        ("digits", "inpaint --index 0 --out no/x", "--out no/x: the folder no does not exist"),
    ],
)
def test_bad_input(all_runs: dict[str, Path], kind: str, words: str, message: str):
    Path("text.png").write_text("text")
    Image.fromarray(np.zeros((8, 9), np.uint8)).save("wide.png")
    values = {"high": 17.0, "far": 200.0, "nan": np.nan, "a": 3.0}
    arrays = {name: np.full((1, 8, 8), value) for name, value in values.items()}
    arrays |= {"wide": np.zeros((1, 8, 9)), "mask9": np.ones((8, 9), bool)}
    arrays |= {"half": np.full(20, 0.5), "two": np.full(20, 2.0), "inf": np.array([1, np.inf, 2])}
    arrays |= {"table": np.full((2, 3), np.nan)}
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    verb, *rest = words.split()
    before = tree(Path()) | tree(all_runs[kind])
    assert refused(verb, all_runs[kind], *rest).startswith(message)
    assert tree(Path()) | tree(all_runs[kind]) == before


@pytest.mark.parametrize("verb", ["inpaint", "denoise", "restore", "impute"])
def test_help_teaches(verb: str):
    out = good(verb, "--help")
    assert f"undiffuse {verb} runs/" in out and "Examples" in out
