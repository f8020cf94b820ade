"""undiffuse interpolate, and samples that share a state or are filmed: files, sameness, refusals."""

import builtins
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused, tree

import undiffuse as library
from undiffuse.recipes import load_data


def drawn(verb: str, run: Path, *arguments: object) -> np.ndarray:
    """What a verb wrote as an array."""
    Path("drawn.npy").unlink(missing_ok=True)
    good(verb, run, *arguments, "--out", "drawn.npy")
    return np.load("drawn.npy")


def ends(run: Path) -> list[str]:
    """Two examples of the run's test data as .npy files here."""
    for name, example in zip("ab", load_data(library.load(run).recipe).test[:2].numpy(), strict=True):
        np.save(f"{name}.npy", example)
    return ["a.npy", "b.npy"]


@pytest.mark.parametrize("kind", ["points", "digits", "pictures", "vectors", "sequences", "levels"])
def test_between_two_examples_of_any_kind(runs: Path, kind: str):
    run = runs / kind
    found = drawn("interpolate", run, "--index", 0, 1, "--from", 0.4, "--from", 1, "--points", 3)
    trained = library.load(run)
    assert found.shape == (2, 3, *trained.shape) and np.isfinite(found).all()
    files = drawn("interpolate", run, *ends(run), "--from", 0.4, "--from", 1, "--points", 3)
    assert found.dtype == files.dtype and np.array_equal(found, files)
    a, b = load_data(trained.recipe).test[:2].split(1)
    assert np.array_equal(trained.interpolate(a, b, 0.4, 3)[0].numpy(), found[0])


def test_options_decide(runs: Path):
    run, base = runs / "digits", ("--index", 0, 1, "--points", 3)
    first = drawn("interpolate", run, *base)
    assert np.array_equal(drawn("interpolate", run, *base, "--from", 0.5), first[:1])
    for extra in (["--seed", 1], ["--steps", 5], ["--from", 0.8]):
        assert not np.array_equal(drawn("interpolate", run, *base, *extra), first)
    assert np.array_equal(drawn("interpolate", run, *base[:3], "--points", 5)[:, ::2], first)


def test_from_zero_the_data_themselves_are_mixed(runs: Path):
    found = drawn("interpolate", runs / "points", "--index", 3, 5, "--from", 0, "--points", 3)[0]
    test = load_data(library.load(runs / "points").recipe).test.numpy()
    np.testing.assert_allclose(found, [test[3], (test[3] + test[5]) / 2, test[5]], atol=1e-5)


def test_a_picture_is_the_example_it_shows(runs: Path):
    """Bytes become the run's own levels, 0 to 16 of the digits."""
    a = torch.arange(64).reshape(1, 8, 8) % 17
    Image.fromarray((a[0] * 255 / 16).round().byte().numpy()).save("a.png")
    np.save("a.npy", a.numpy())
    found = [
        drawn("interpolate", runs / "digits", name, name, "--from", 0)[0, 4] for name in ("a.png", "a.npy")
    ]
    assert all(np.array_equal(x, a) and x.dtype == np.uint8 for x in found)


@pytest.mark.parametrize(("kind", "both"), [("points", True), ("digits", True), ("sequences", False)])
def test_without_a_name_it_goes_to_the_run(copy: Callable[[str], Path], kind: str, both: bool):
    run = copy(kind)
    stem = run / "samples/interpolate-0-1-seed0-points9-from0.5-from1"
    names = [f"{stem}.png"] * both + [f"{stem}.npy"]
    assert good("interpolate", run, "--index", 0, 1, "--from", 0.5, "--from", 1).splitlines() == names
    if kind == "digits":
        with Image.open(names[0]) as sheet:  # two rows of the nine between their ends
            assert sheet.width > 4 * sheet.height and sheet.width >= 560


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("digits", "", "give two files, or --index I J"),
        ("digits", "a.npy", "give two files, or --index I J"),
        ("digits", "a.npy b.npy --index 0 1", "give two files, or --index I J"),
        ("digits", "--index 0 300", "index=300: the test data have examples 0 to 299"),
        ("digits", "--index -1 0", "index=-1: "),
        ("digits", "a.npy none.png", "none.png: no such file"),
        ("digits", "a.npy text.txt", "text.txt: one example is read from a .png, .jpg or .npy file"),
        ("digits", "a.npy text.png", "text.png cannot be read as PNG or JPEG"),
        ("digits", "a.npy wide.png", "wide.png: 9 x 8 pixels, this run has 8 x 8; resize it first"),
        ("digits", "a.npy colour.png", "colour.png: colour (3 channels), this run has grey (1 channel)"),
        ("digits", "a.npy wide.npy", "wide.npy: shape (1, 8, 9), this run has examples of shape (1, 8, 8)"),
        ("digits", "a.npy high.npy", "high.npy: values 17 to 17, this run has whole numbers 0 to 16"),
        ("digits", "a.npy half.npy", "half.npy: values 0.5 to 0.5, this run has whole numbers 0 to 16"),
        ("digits", "a.npy nan.npy", "nan.npy: holds values that are not finite"),
        ("points", "a.npy grey.png", "grey.png: a picture, but this run has examples of shape (2,)"),
        ("digits", "--index 0 1 --points 1", "--points 1: an interpolation has two ends at least"),
        ("digits", "--index 0 1 --from 1.5", "--from 1.5: a time from 0 (mix the data) to 1"),
        ("digits", "--index 0 1 --from nan", "--from nan: a time from 0"),
        ("digits", "--index 0 1 --steps 13", "steps=13: this run's chain can be thinned to 1 to 12 steps"),
        ("digits", "--index 0 1 --out x.jpg", "--out x.jpg: samples are written as .png or .npy"),
        ("digits", "--index 0 1 --out no/x.npy", "--out no/x.npy: the folder no does not exist"),
        ("vectors", "--index 0 1 --out x.png", "--out x.png: these samples are no pictures"),
    ],
)
def test_bad_input(runs: Path, kind: str, words: str, message: str):
    ends(runs / kind)
    Path("text.txt").write_text("text")
    Path("text.png").write_text("text")
    for name, shape in (("wide", (8, 9)), ("colour", (8, 8, 3)), ("grey", (8, 8))):
        Image.fromarray(np.zeros(shape, np.uint8)).save(f"{name}.png")
    for name, value, width in (("wide", 0.0, 9), ("high", 17.0, 8), ("half", 0.5, 8), ("nan", np.nan, 8)):
        np.save(f"{name}.npy", np.full((1, 8, width), value))
    before = tree(Path())
    assert refused("interpolate", runs / kind, *words.split()).startswith(message)
    assert tree(Path()) == before


def test_samples_of_shared_states(copy: Callable[[str], Path]):
    run = copy("digits")
    words = ("-n", 3, "--share-from", 0.5, "--share-from", 1, "--states", 2)
    found = drawn("sample", run, *words)
    assert found.shape == (4, 3, 1, 8, 8)  # both times of a state, then those of the next
    trained = library.load(run)
    assert np.array_equal(found[[0, 2]], trained.sample_shared(3, 0.5, 2).numpy())
    assert np.array_equal(found[[1, 3]], trained.sample_shared(3, 1.0, 2).numpy())
    assert not np.array_equal(drawn("sample", run, *words, "--seed", 1), found)
    stem = run / "samples/seed0-from0-n3-states2-share0.5-share1"
    assert good("sample", run, *words).splitlines() == [f"{stem}.png", f"{stem}.npy"]


def test_films_and_stages(copy: Callable[[str], Path]):
    pytest.importorskip("imageio_ffmpeg")
    run = copy("digits")
    for ending, start in (("gif", b"GIF89a"), ("png", b"\x89PNG"), ("mp4", b"\0\0\0")):
        out = good("sample", run, "-n", 4, "--film", f"film.{ending}", "--out", f"{ending}.npy")
        assert out.splitlines() == [f"{ending}.npy", f"film.{ending}"]
        assert Path(f"film.{ending}").read_bytes().startswith(start)
    stem = run / "samples/seed0-from0-n4"
    out = good("sample", run, "-n", 4, "--animate", "--stages")
    assert out.splitlines() == [f"{stem}{end}" for end in (".png", ".npy", ".gif", "-stages.png")]
    assert np.array_equal(np.load(f"{stem}.npy"), np.load("gif.npy"))
    with Image.open(f"{stem}-stages.png") as sheet:
        assert sheet.height > sheet.width / 2  # five rows of four, and their labels


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("digits", "--share-from 0", "t=0: a latent time lies above 0, and at most at 1"),
        ("digits", "--share-from 2", "t=2: "),
        ("digits", "--share-from 0.5 --states 0", "states=0: at least one state to share"),
        ("digits", "--share-from 0.5 --sampler ddim", "DDIM adds no noise"),
        ("digits", "--share-from 0.5 --animate", "--share-from: its samples are not animated"),
        ("digits", "--film x.avi", "--film x.avi: films are written as .gif or .png or .mp4"),
        ("digits", "--film x.png --out x.png", "--film x.png: is the file of --out, too"),
        ("digits", "--film no/x.gif", "--film no/x.gif: the folder no does not exist"),
        ("vectors", "--film x.gif", "--film: samples of shape (3,) are no pictures"),
        ("vectors", "--stages", "--stages: samples of shape (3,) are no pictures"),
        ("points", "--stages", "--stages: a picture of images; points in the plane have --slices"),
    ],
)
def test_bad_films_and_shares(copy: Callable[[str], Path], kind: str, words: str, message: str):
    run = copy(kind)
    before = tree(run.parent)
    assert refused("sample", run, "-n", 2, *words.split()).startswith(message)
    assert tree(run.parent) == before


def test_without_the_extra_it_is_named_at_once(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    run, real = copy("digits"), builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    before = tree(run)
    assert "pip install 'imageio-ffmpeg>=" in refused("sample", run, "--film", "x.mp4")
    assert tree(run) == before


def test_langevin_by_name(runs: Path):
    run = runs / "digits"
    every = drawn("sample", run, "-n", 70, "--sampler", "langevin")
    assert np.array_equal(drawn("sample", run, "-n", 3, "--first", 66, "--sampler", "langevin"), every[66:69])
    assert not np.array_equal(drawn("sample", run, "-n", 70), every)
