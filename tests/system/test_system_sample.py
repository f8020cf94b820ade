"""undiffuse sample: the same bits however they are asked for, in files of every kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused, tree, undiffuse

import undiffuse as library
from undiffuse.samplers import DDIM


def drawn(run: Path, *arguments: object) -> np.ndarray:
    """Samples by the command line."""
    Path("drawn.npy").unlink(missing_ok=True)
    good("sample", run, *arguments, "--out", "drawn.npy")
    return np.load("drawn.npy")


@pytest.mark.parametrize(
    ("kind", "dtype", "shape"),
    [
        ("points", "float32", (2,)),
        ("digits", "uint8", (1, 8, 8)),
        ("pictures", "uint8", (3, 7, 9)),
        ("vectors", "float32", (3,)),
        ("sequences", "float32", (2, 7)),
        ("levels", "int32", (4,)),
    ],
)
def test_samples_are_like_the_data(runs: Path, kind: str, dtype: str, shape: tuple[int, ...]):
    samples = drawn(runs / kind, "-n", 5)
    assert samples.shape == (5, *shape)
    assert samples.dtype == dtype
    assert len(np.unique(samples.reshape(5, -1), axis=0)) == 5
    assert np.isfinite(samples).all()
    if kind == "digits":
        assert samples.max() <= 16
    if kind == "vectors":  # in raw units, not in those of x_0
        assert abs(samples.mean() - 5) < 3


@pytest.mark.parametrize("kind", ["points", "digits"])
@pytest.mark.parametrize("extra", [[], ["--steps", 5, "--sampler", "ddim"], ["--eta", 0.5, "--seed", 9]])
def test_a_sample_is_the_same_alone_and_among_many(runs: Path, kind: str, extra: list[object]):
    every = drawn(runs / kind, "-n", 80, *extra)
    for first, n in ((0, 1), (3, 1), (70, 10), (63, 3)):
        assert np.array_equal(drawn(runs / kind, "-n", n, "--first", first, *extra), every[first:][:n])


def test_options_decide(runs: Path):
    run = runs / "points"
    base = drawn(run, "-n", 2)
    for extra in (["--seed", 1], ["--steps", 5], ["--sampler", "ddim"], ["--first", 1]):
        assert not np.array_equal(drawn(run, "-n", 2, *extra), base)
    assert np.array_equal(drawn(run, "-n", 2, "--sampler", "ancestral", "--steps", 12), base)
    assert np.array_equal(drawn(run, "-n", 2, "--eta", 0), drawn(run, "-n", 2, "--sampler", "ddim"))


def test_python_draws_the_same(runs: Path):
    run = library.load(runs / "digits")
    assert np.array_equal(drawn(run.folder, "-n", 3), run.sample(3).numpy())


@pytest.mark.parametrize(
    ("kind", "files"),
    [("points", {"png", "npy"}), ("digits", {"png", "npy"}), ("sequences", {"npy"}), ("levels", {"npy"})],
)
def test_without_a_name_they_go_to_the_run(copy: Callable[[str], Path], kind: str, files: set[str]):
    run = copy(kind)
    before = tree(run)
    out = good("sample", run, "-n", 4)
    new = {f"samples/seed0-from0-n4.{end}" for end in files}
    assert {name for name in tree(run) - before if "." in name} == new
    assert out.splitlines() == [str(run / name) for name in sorted(new, reverse=True)]


def test_other_samplers_do_not_overwrite(copy: Callable[[str], Path]):
    run = copy("vectors")
    for extra in ([], ["--steps", 3], ["--steps", 3, "--eta", 0.5], ["--sampler", "ddim"], ["--first", 2]):
        good("sample", run, "-n", 4, *extra)
    assert {p.name for p in (run / "samples").iterdir()} == {
        "seed0-from0-n4.npy",
        "seed0-from0-n4-steps3.npy",
        "seed0-from0-n4-steps3-ddim-eta0.5.npy",
        "seed0-from0-n4-ddim.npy",
        "seed0-from2-n4.npy",
    }


@pytest.mark.parametrize("kind", ["points", "digits", "pictures"])
def test_a_picture(runs: Path, kind: str):
    assert good("sample", runs / kind, "-n", 4, "--out", "a.b.png") == "a.b.png\n"
    assert list(Path().iterdir()) == [Path("a.b.png")]
    with Image.open("a.b.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100


@pytest.mark.parametrize("kind", ["points", "digits"])
def test_an_animation_ends_with_the_samples(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    good("sample", run, "-n", 4, "--first", 3, "--animate")
    with Image.open(run / "samples/seed0-from3-n4.gif") as moving:
        assert moving.format == "GIF"
        assert moving.n_frames >= 10
        moving.seek(moving.n_frames - 1)
        final = np.asarray(moving.convert("L"), float)
    if kind == "digits":
        with Image.open(run / "samples/seed0-from3-n4.png") as picture:
            sheet = np.asarray(picture.convert("L").resize(final.shape[::-1]), float)
        assert abs(sheet - final).mean() < 30


def test_a_walk_is_that_of_its_samples(runs: Path):
    run = library.load(runs / "points")
    states = dict(run.trajectory(3, seed=4, first=2))
    assert list(states) == pytest.approx([i / 12 for i in range(12, -1, -1)])
    final = run.space.decode(states[0.0])
    assert np.array_equal(final.numpy(), run.sample(3, seed=4, first=2).numpy())


def test_slices_of_points(copy: Callable[[str], Path]):
    run = copy("points")
    assert good("sample", run, "-n", 2, "--slices").splitlines()[-1].endswith("slices-seed0.png")
    with Image.open(run / "samples/slices-seed0.png") as figure:
        assert figure.format == "PNG"
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 12\n", "steps: 1\n"))
    assert undiffuse("sample", run, "-n", 2, "--slices").code == 2


@pytest.mark.parametrize("option", ["--animate", "--out=x.png", "--slices"])
def test_no_pictures_of_what_has_none(copy: Callable[[str], Path], option: str):
    run = copy("sequences")
    before = tree(run)
    assert option.partition("=")[0] in refused("sample", run, "-n", 2, option)
    assert tree(run) == before
    assert not Path("x.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-n 0", "n=0: draw at least one sample"),
        ("-n -3", "n=-3: draw at least one sample"),
        ("--first -1", "first=-1: samples are numbered from 0"),
        ("--steps 13", "steps=13: this run's chain can be thinned to 1 to 12 steps"),
        ("--steps 0", "steps=0: "),
        ("--stop 1.5", "stop=1.5: a time from 0 (the whole chain) to 1"),
        ("--stop 0.6 --steps 6", "steps=6: this run's chain can be thinned to 1 to 5 steps"),
        ("--sampler dim", "sampler.kind='dim': no such name; did you mean 'ddim'?"),
        ("--sampler ancestral --eta 0.5", "sampler.eta=0.5: no such name"),
        ("--eta 2", "sampler: eta=2: from 0 (deterministic) to 1"),
        ("--eta nan", "sampler.eta=nan"),
        ("--out x.jpg", "--out x.jpg: samples are written as .png or .npy"),
        ("--out no/x.npy", "--out no/x.npy: the folder no does not exist"),
        ("--device gpu", "--device gpu: choose auto, cpu, cuda, cuda:N or mps"),
        ("--device mps", "--device mps: this machine has no GPU of Apple's; use --device cpu"),
        ("--device cpu:x", "--device cpu:x: there is no such device"),
        ("--device cuda:x", "--device cuda:x: "),
    ],
)
def test_bad_input(copy: Callable[[str], Path], words: str, message: str):
    run = copy("points")
    before = tree(run.parent)
    assert refused("sample", run, *words.split()).startswith(message)
    assert tree(run.parent) == before


def test_options_that_are_none():
    for words in (["sample"], ["sample", "x", "--noise"], ["sample", "x", "-n", "many"], ["smaple"]):
        result = undiffuse(*words)
        assert result.code == 2
        assert "Usage" in result.err
        assert "Traceback" not in result.err


def test_a_chain_that_stops_early_gives_means(runs: Path):
    """With DDIM, E[x_0 | x_t] at the first time that is left, where the whole chain comes by."""
    run = library.load(runs / "digits")
    early = run.stopped(0.6)
    assert torch.equal(early.grid, run.grid[run.grid >= 0.6])
    states = {t: x for t, x in run.trajectory(3, sampler=DDIM()) if t == float(early.grid[0])}
    ((t, x_t),) = states.items()
    with torch.no_grad():
        mean = run.model.predict(x_t, torch.tensor(t, dtype=torch.float64))
    assert torch.equal(early.sample(3, sampler=DDIM()), run.space.decode(mean))


def test_times_are_chosen_for_so_few_steps(copy, capsys):
    run = copy("points")
    good("sample", run, "-n", 4, "--steps", 5, "--sampler", "deis order=2", "--tuned")
    drawn = np.load(run / "samples" / "seed0-from0-n4-steps5-deis-order=2-tuned.npy")
    loaded = library.load(run)
    tuned = loaded.tuned(5, library.samplers.DEIS(2))
    assert len(tuned.grid) == 5 and isinstance(tuned.sampler, library.samplers.DEIS)
    assert np.array_equal(tuned.sample(4).numpy(), drawn)
    assert not np.array_equal(loaded.sample(4, steps=5, sampler=library.samplers.DEIS(2)).numpy(), drawn)
    assert isinstance(loaded.tuned(3, rows=2).sampler, library.samplers.UniPC)
    assert "--tuned: of how many steps? Say --steps" in refused("sample", run, "--tuned")
    assert "would all be equal" in refused("sample", run, "--tuned", "--steps", 5, "--share-from", 0.5)
    said = refused("sample", run, "--tuned", "--steps", 5, "--sampler", "ancestral")
    assert "Ancestral adds noise: no path of it can be judged" in said
    with pytest.raises(ValueError, match="rows=0: at least one"):
        loaded.tuned(5, rows=0)
