"""undiffuse solvers: what few steps are worth, kept with the run, and what `sample` makes of it."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused, tree, undiffuse

import undiffuse as library
from undiffuse.diffusion import Walk, Walks
from undiffuse.estimate import Estimate
from undiffuse.runs import noted
from undiffuse.samplers import DDIM
from undiffuse.schedules import grids

FEW = ["-n", 24, "--steps", 3, "--steps", 4, "--sampler", "ddim"]


@pytest.fixture(scope="module")
def measured(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose walks were measured."""
    run = library.load(runs / "digits").save(tmp_path_factory.mktemp("measured") / "run")
    out = good("solvers", run, *FEW)
    assert "24 samples, pixels" in out and "training examples" in out
    return run


def marked(run: Path, shortest: bool) -> dict:
    """The file, changed so that the walk of 3 steps is the one to take, or that none is."""
    found = json.loads((run / "solvers.json").read_text())
    for walk in found["walks"]:
        walk["frechet"] = [0.1 if shortest and len(walk["times"]) == 3 else 9.0, 0.01]
    found["chain"]["frechet"] = [0.2, 0.01]
    (run / "solvers.json").write_text(json.dumps(found))
    return found


def test_what_is_kept(measured: Path):
    found = json.loads((measured / "solvers.json").read_text())
    assert [(w["sampler"], w["asked"]) for w in found["walks"]] == [("ddim", 3), ("ddim", 4)]
    assert (measured / "solvers.png").stat().st_size > 1000
    walks = library.load(measured).walks
    assert [walk.steps for walk in walks.walks] == [3, 4] and walks.chain.steps == len(
        library.load(measured).grid
    )


def test_again_it_measures_only_what_is_new(copied: Callable[[], Path]):
    run = copied()
    before = json.loads((run / "solvers.json").read_text())
    found = before | {"walks": [w | {"frechet": [7.25, 0.5]} for w in before["walks"]]}
    (run / "solvers.json").write_text(json.dumps(found))
    out = good("solvers", run, *FEW, "--steps", 5)
    assert out.count("7.25") >= 2
    (run / "solvers.json").write_text(json.dumps(found | {"chain": None}))  # as if it had been cut off
    assert library.load(run).walks is None
    assert good("solvers", run, *FEW).count("7.25") >= 2
    assert library.load(run).walks is not None
    assert "7.25" not in good("solvers", run, *FEW, "--seed", 1)  # of another seed, nothing is known


@pytest.fixture
def copied(measured: Path, tmp_path: Path) -> Callable[[], Path]:
    return lambda: library.load(measured).save(tmp_path / "copy")


def test_samples_take_the_fewest_steps_that_are_as_good(copied: Callable[[], Path]):
    run = copied()
    found = marked(run, shortest=True)
    times = torch.tensor(next(w["times"] for w in found["walks"] if len(w["times"]) == 3)).double()
    opened = library.load(run)
    plain = opened.replace(walks=None)
    few = opened.sample(4)
    assert torch.equal(few, plain.replace(chain=times, sampler=DDIM()).sample(4))
    assert torch.equal(opened.sample(4, steps="all"), plain.sample(4))
    assert not torch.equal(few, plain.sample(4))
    assert torch.equal(opened.sample(4, sampler=DDIM()), plain.sample(4, sampler=DDIM()))  # as it was named
    assert torch.equal(opened.sample(4, steps=5), plain.sample(4, steps=5))  # not measured
    assert torch.equal(opened.stopped(0.5).sample(4), plain.stopped(0.5).sample(4))
    *_, (_, last) = opened.trajectory(4)
    assert torch.equal(opened.space.decode(last), few)
    result = undiffuse("sample", run, "-n", 4)
    assert "3 steps of ddim, at times chosen for this run: Fréchet distance 0.1" in result.err
    assert torch.equal(torch.from_numpy(np.load(result.out.split()[-1])), few)
    assert "steps3-ddim" in result.out
    whole = good("sample", run, "-n", 4, "--steps", "all").split()[-1]
    assert torch.equal(torch.from_numpy(np.load(whole)), plain.sample(4)) and "stepsall" in whole


def test_what_is_said_of_the_chain_is_of_the_chain(copied: Callable[[], Path]):
    """Parzen windows, and pictures of a walk: of its own times, whichever these are."""
    run = copied()
    marked(run, shortest=False)
    good("parzen", run, "-n", 8)
    (scores,) = run.glob("parzen-*.json")
    plain = scores.read_text()
    marked(run, shortest=True)
    good("parzen", run, "-n", 8)
    assert scores.read_text() == plain
    out = good("sample", run, "-n", 2, "--stages", "--animate")
    (film,) = [path for path in out.split() if path.endswith(".gif")]
    with Image.open(film) as frames:
        assert frames.n_frames <= 4  # of three steps
    (stages,) = [path for path in out.split() if path.endswith("stages.png")]
    whole = good("sample", run, "-n", 2, "--stages", "--steps", 3, "--sampler", "ancestral").split()
    (three,) = [path for path in whole if path.endswith("stages.png")]
    with Image.open(stages) as ours, Image.open(three) as theirs:
        assert ours.size == theirs.size  # as many stages as a chain of three steps has


def test_slices_of_points_stay_on_the_chain(runs: Path, tmp_path: Path):
    run = library.load(runs / "points").save(tmp_path / "points")
    good("solvers", run, "-n", 24, "--steps", 3, "--sampler", "ddim")
    marked(run, shortest=True)
    assert "slices-seed0.png" in good("sample", run, "-n", 8, "--slices")


def test_a_run_that_may_only_be_read_is_measured(copied: Callable[[], Path], monkeypatch: pytest.MonkeyPatch):
    run = copied()
    (run / "solvers.json").unlink()

    def denied(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(noted, "write_json", denied)
    result = undiffuse("solvers", run, *FEW)
    assert result.code == 0 and "training examples" in result.out and "cannot be written to" in result.err


def test_all_is_a_word_for_samples_alone(runs: Path):
    run = library.load(runs / "digits")
    for ask in (run.tuned, run.evaluate, run.weighted):
        with pytest.raises(TypeError, match="steps='all': give a whole number"):
            ask(**({} if ask == run.tuned else {"raw": torch.zeros(2, *run.shape)}), steps="all")


def test_the_chain_stays_where_nothing_is_as_good_or_weights_are_others(copied: Callable[[], Path]):
    run = copied()
    marked(run, shortest=False)
    opened = library.load(run)
    assert torch.equal(opened.sample(2), opened.replace(walks=None).sample(2))
    file = run / "solvers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"key": "0" * 32}))
    assert library.load(run).walks is None
    for text in ("{", json.dumps(json.loads(file.read_text()) | {"walks": 3})):
        file.write_text(text)
        assert library.load(run).walks is None


def test_elsewhere_and_of_symbols(runs: Path, bits: Path, tmp_path: Path):
    before = tree(bits)
    out = good("solvers", bits, "-n", 24, "--steps", 3, "--out", tmp_path / "made")
    assert "ancestral" in out and tree(bits) == before
    assert tree(tmp_path / "made") == {"solvers.json", "solvers.png"}


def test_refusals(runs: Path):
    run, few = runs / "digits", ("-n", 24, "--sampler")
    assert "nothing" in refused("solvers", run, "--sampler", "nothing")
    assert "steps=1: a grid of less than two" in refused(
        "solvers", run, "-n", 24, "--sampler", "ddim", "--steps", 1
    )
    assert "can be thinned to" in refused("solvers", run, *few, "ancestral", "--steps", 9999)
    assert "--steps few: a whole number, or all" in refused("sample", run, "--steps", "few")
    assert "steps=0" in refused("sample", run, "--steps", 0)
    with pytest.raises(TypeError, match="steps='few': give a whole number"):
        library.load(run).sample(2, steps="few")


def walk(steps: int, mean: float) -> Walk:
    return Walk("ddim", DDIM(), grids.uniform(steps), Estimate(mean, 0.1), Estimate(mean, 0.1))


def test_the_shortest_is_within_an_error_of_the_chain():
    found = Walks(
        [walk(5, 1.2), walk(8, 1.3), walk(8, 1.05), walk(20, 0.7)],
        walk(100, 1.0),
        (Estimate(0, 0),) * 2,
        9,
        "",
    )
    assert found.shortest is found.walks[2] and found.of(8) is found.walks[2] and found.of(6) is None
    none = Walks(found.walks, walk(100, 0.1), found.training, 9, "")
    assert none.shortest is None and "no walk is as good as the whole chain of 100 steps" in none.said(
        none.shortest
    )
