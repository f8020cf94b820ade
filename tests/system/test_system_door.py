"""The front door: data in, a model out, the same as by the command line; scores, and checks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from several import QUIET
from shell import UNET, good, refused, train, undiffuse
from torch import nn

import undiffuse as ud
from undiffuse import door
from undiffuse.data import read_image
from undiffuse.metrics import Pixels
from undiffuse.recipes import read
from undiffuse.runs import budget, read_example
from undiffuse.runs.incoming import read_examples

R = np.random.default_rng(0)
POINTS = (R.normal(size=(120, 2)) @ [[2.0, 1.0], [0.0, 1.0]] + 5).astype("f4")
FAST = {
    "network.hidden": 8,
    "network.layers": 1,
    "grid.steps": 8,
    "train.batch": 16,
    "train.evaluate_terms": 4,
}
WORDS = [f"{name}={value}" for name, value in FAST.items()]


class Net(nn.Module):
    """A network that is not part of the package."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([x, t[:, None]], 1))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ud.Run:
    folder = tmp_path_factory.mktemp("fitted") / "run"
    return ud.fit(POINTS, steps=6, settings=FAST, out=folder, quiet=True)


def test_python_and_the_command_line_make_the_same_bits(fitted: ud.Run):
    np.save("points.npy", POINTS)
    said = good("train", "points.npy", *WORDS, "train.steps=6", "--out", "same")
    assert "recipe vectors: numbers, shape (2,) each" in said and "next: undiffuse score same PATH" in said
    same = ud.load("same")
    assert isinstance(same.sample(3), torch.Tensor) and isinstance(fitted.sample(3), np.ndarray)
    assert np.array_equal(fitted.sample(3), same.sample(3))
    assert np.array_equal(ud.load(fitted.folder).bits(POINTS), same.bits(POINTS))
    assert (same.folder / "samples.npy").exists() and (fitted.folder / "samples.npy").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.sample(4.0), "n=4.0: give a whole number, this is a float"),
        (lambda run: run.sample(4, "a"), "seed='a': give a whole number"),
        (lambda run: run.sample(4, steps=True), "steps=True: give a whole number, this is a bool"),
        (lambda run: run.sample(4, sampler="ddim"), "sampler='ddim': give a sampler, such as"),
        (lambda run: run.trajectory(2, steps="4"), "steps='4': give a whole number"),
        (lambda run: run.interpolate(POINTS[:1], POINTS[1:2], "a"), "t='a': give a number, this is a str"),
        (lambda run: run.bits(None), "raw: NoneType is no data"),
        (lambda run: run.bits(POINTS, terms=2.0), "terms=2.0: give a whole number"),
        (lambda run: run.noisy(POINTS[0], "a"), "std='a': give a number"),
        (lambda run: run.impute(POINTS, n="2"), "n='2': give a whole number"),
        (lambda run: ud.fit(POINTS, minutes="a"), "minutes='a': give a number"),
        (lambda run: ud.fit(POINTS, steps=2.5), "steps=2.5: give a whole number"),
    ],
)
def test_a_wrong_type_is_named(fitted: ud.Run, call: object, message: str):
    with pytest.raises(TypeError, match=message):
        call(fitted)


def test_holes_are_filled_in_data_of_any_kind(fitted: ud.Run):
    raw = POINTS[:3].copy()
    raw[:, 1] = np.nan
    way = ud.diffusion.Way(steps=4)
    found = fitted.impute(raw, n=5, way=way)
    assert found.samples.shape == (3, 5, 2) and isinstance(found.samples, np.ndarray)
    assert np.array_equal(found.samples[:, :, 0], np.repeat(raw[:, :1], 5, 1)) and (found.std[:, 1] > 0).all()
    frame = pd.DataFrame(raw, columns=["a", "b"], index=["x", "y", "z"])
    filled = fitted.impute(frame, n=5, way=way).mean
    assert list(filled.index) == ["x", "y", "z"] and np.array_equal(filled.to_numpy(), found.mean)
    same = fitted.impute(torch.tensor(raw), torch.tensor(~np.isnan(raw)), n=5, way=way)
    assert torch.equal(same.samples, torch.tensor(found.samples)) and isinstance(same.mean, torch.Tensor)
    seen = fitted.noisy(POINTS[0], 0.5)
    assert isinstance(fitted.posterior(seen, n=4, way=way).mean, np.ndarray)  # as samples of the run


def test_gradients_that_are_off_outside_are_none_of_trainings_business():
    with torch.no_grad():
        made = ud.fit(POINTS, steps=2, settings=FAST, quiet=True)
    assert made.step == 2
    assert not (made.folder / "curves.png").exists()  # nobody would look at it
    with torch.inference_mode():
        assert ud.fit(POINTS, steps=1, settings=FAST, quiet=True).step == 1


def test_data_in_memory_need_no_folder(capsys: pytest.CaptureFixture[str]):
    frame = pd.DataFrame(POINTS.round(1), columns=["a", "b"])
    made = ud.fit(frame, steps=2, settings=FAST)
    said = capsys.readouterr().out
    assert "data.spacing=0.1: values that repeat or go in steps" in said
    assert list(made.sample(2).columns) == ["a", "b"]
    with pytest.raises(ValueError, match=r"without its noise; .*with_noise"):
        made.bits(frame)
    assert (made.with_noise(frame) - frame).abs().to_numpy().max() <= 0.05
    assert list(made.score(frame).frame().columns)[:3] == ["bits_per_dim", "standard_error", "percentile"]
    folder = made.folder
    assert folder.exists()
    del made
    assert not folder.exists()


def test_a_frame_is_learned_as_its_file_is(capsys: pytest.CaptureFixture[str]):
    """Columns that never vary are left out of both, and it is said; holes are none of what is learned."""
    a, b = POINTS.astype("f8").T
    frame = pd.DataFrame({"b": b, "word": "x", "same": 1.0, "a": a})
    frame.loc[4, "a"] = np.nan
    frame.to_csv("table.csv", index=False)
    made = ud.fit(frame, steps=2, settings=FAST)
    said = capsys.readouterr().out
    assert "columns left out: word (never varies, always x), same (never varies, always 1.0)" in said
    assert "1 of 240 cells are missing, and count nowhere" in said
    assert list(made.sample(2).columns) == ["b", "a"]
    filed = ud.fit("table.csv", steps=2, settings=FAST, quiet=True)
    assert np.array_equal(made.sample(3), filed.sample(3))
    assert np.array_equal(filed.bits(frame[["a", "b"]]), made.bits(frame))


def test_reports_of_a_run_of_arrays_are_those_of_tensors(fitted: ud.Run):
    fixed = ud.reports.contest(fitted, Pixels("values"), 8, 0)
    found = ud.reports.distances_of(fitted, fixed, 8, 0)
    plain = ud.reports.distances_of(ud.runs.load(fitted.folder), fixed, 8, 0)
    assert isinstance(fitted.sample(2), np.ndarray)
    assert list(found.rows()) == list(plain.rows())


def test_a_network_of_ones_own_is_given_and_never_named_by_a_file():
    made = ud.fit(
        POINTS, network=Net(), steps=3, settings={"grid.steps": 8, "train.batch": 16}, out="own", quiet=True
    )
    again = ud.load("own", network=Net())
    assert np.array_equal(made.sample(3), again.sample(3))
    with pytest.raises(ValueError, match=r"Net is not part of this package.*load\(RUN, network=Net"):
        ud.load("own")
    assert "give the module in Python" in refused("sample", "own")
    with pytest.raises(ValueError, match="not the weights of the model"):
        ud.load("own", network=nn.Linear(2, 2))


def test_a_run_of_the_package_takes_no_other_network(fitted: ud.Run):
    with pytest.raises(ValueError, match="this recipe's is mlp"):
        ud.load(fitted.folder, network=Net())


def test_no_steps_save_the_model_as_it_begins(capsys: pytest.CaptureFixture[str]):
    """At its base; of a network of one's own with the weights that it has."""
    settings = FAST | {"train.evaluate_terms": 7}
    made = ud.fit(POINTS, steps=0, settings=settings, out="base")
    assert "saved as it begins" in capsys.readouterr().out
    assert (made.step, Path("base/samples.png").exists()) == (0, True)
    _, more = made.evaluate(POINTS, terms=7).beside[made.bases.begins]
    assert abs(more.mean) < 3 * more.se < 0.5
    net = Net()
    ud.fit(POINTS, network=net, steps=0, settings=settings, out="theirs", quiet=True)
    again = ud.load("theirs", network=Net())
    for name, weight in net.state_dict().items():
        assert torch.equal(again.model.network.state_dict()[name], weight)
    good("train", "--resume", "base", "train.steps=4")
    assert ud.load("base").step == 4


def test_labels_make_a_model_of_each_class():
    labels = (POINTS[:, 0] > 5).astype(int)
    images = np.repeat(np.repeat((40 + 90 * labels[:, None, None]).astype("u1"), 8, 1), 8, 2)
    images += R.integers(0, 100, images.shape).astype("u1")
    settings = {
        "network.channels": 4,
        "network.multipliers": [1],
        "network.blocks": 1,
        "network.attention": [],
    }
    settings |= {"grid.steps": 4, "train.batch": 8, "train.evaluate_terms": 2}
    made = ud.fit(images, labels=labels, steps=2, settings=settings, quiet=True)
    assert made.given(1).sample(2).shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="class 2; this model knows 0 to 1"):
        made.given(2)
    np.savez("classes.npz", x=images, kind=labels)
    again = ud.fit("classes.npz", labels="kind", steps=2, settings=settings, quiet=True)
    assert torch.equal(again.given(1).sample(2), torch.as_tensor(made.given(1).sample(2)))
    with pytest.raises(ValueError, match="labels says where"):
        ud.fit("classes.npz", labels=labels)


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (POINTS, {"steps": 5, "minutes": 1.0}, "give one of them"),
        (POINTS, {"minutes": -1.0}, "minutes=-1: a positive number"),
        ("nowhere.npy", {}, "no such file or folder"),
        ("nowhere.npy", {"test": POINTS}, "these are there too"),
        (POINTS, {"settings": {"train.bach": 4}}, "did you mean 'batch'"),
    ],
)
def test_what_contradicts_is_refused(data: object, how: dict[str, object], message: str):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ud.fit(data, quiet=True, **how)


BUSY = [(1.2, None, 3), (9.0, None, 1), (0.2, None, 4), (1.2, "4", 4)]


@pytest.mark.parametrize(("taken", "said", "left"), BUSY)
def test_a_training_leaves_busy_cores_alone(
    monkeypatch: pytest.MonkeyPatch, taken: float, said: str | None, left: int
):
    before, seen = torch.get_num_threads(), []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr(door, "available", lambda: 4)
    monkeypatch.setattr(door, "busy", lambda _: taken)
    monkeypatch.setattr(door, "follow", lambda *_: seen.append(torch.get_num_threads()) or 1 / 0)
    torch.set_num_threads(4)
    try:
        with pytest.raises(ZeroDivisionError):
            ud.fit(POINTS, steps=2, settings=FAST)
        assert seen == [left] and torch.get_num_threads() == 4  # whatever happens inside
    finally:
        torch.set_num_threads(before)


def test_data_of_another_run_stay_as_they_are(fitted: ud.Run):
    before = (fitted.folder / "data.npy").read_bytes()
    with pytest.raises(FileExistsError, match="a run of other data; choose another folder"):
        ud.fit(POINTS + 1, steps=6, settings=FAST, out=fitted.folder, quiet=True)
    assert (fitted.folder / "data.npy").read_bytes() == before
    again = ud.fit(POINTS, steps=6, settings=FAST, out=fitted.folder, quiet=True)
    assert np.array_equal(again.sample(2), fitted.sample(2))  # trained already


def test_a_run_is_saved_with_its_data(fitted: ud.Run, tmp_path: Path):
    target = fitted.save(tmp_path / "saved")
    saved = ud.load(target)
    assert np.array_equal(saved.sample(3), fitted.sample(3))
    assert read(str(target / "recipe.yaml"))["data"]["path"] == str(target / "data.npy")
    good("train", "--resume", target, "train.steps=7")
    assert ud.load(target).step == 7 and ud.load(fitted.folder).step == 6
    with pytest.raises(FileExistsError, match="choose a new folder"):
        fitted.save(target)
    (target / "container.json").write_text('{"kind": "polars", "names": []}')
    with pytest.raises(ValueError, match="damaged, kind 'polars'"):
        ud.load(target)


def test_test_data_of_ones_own_are_held_out():
    made = ud.fit(POINTS[:100], test=POINTS[100:], steps=2, settings=FAST, quiet=True)
    assert made.score(POINTS[:2]).held_out == 20


def test_minutes_become_steps(monkeypatch: pytest.MonkeyPatch):
    for step, look in ((0.01, 0.0), (0.2, 3.0), (1e-5, 0.0)):
        pace = budget.Pace(step, look, 1)
        steps = pace.steps(10)
        assert budget.FEWEST <= steps <= budget.MOST
        assert pace.seconds(steps) <= 600 and (steps > 0.9 * budget.MOST or pace.seconds(1.15 * steps) > 600)
    monkeypatch.setattr(budget, "measure", lambda *_: budget.Pace(0.01, 0.1, 1))
    np.save("points.npy", POINTS)
    assert "train.steps=" in good("train", "points.npy", *WORDS, "--minutes", 0.03, "--out", "timed")
    monkeypatch.setattr(budget, "measure", lambda *_: budget.Pace(30.0, 0.1, 1))
    assert "steps of this network take" in refused("train", "points.npy", "--minutes", 1)


def test_a_network_is_made_smaller_before_steps_are_few(monkeypatch: pytest.MonkeyPatch):
    seen: list[object] = []

    def measure(node: dict[str, dict[str, object]], *_: object) -> budget.Pace:
        seen.append(node["network"]["channels"])
        return budget.Pace(1.0 if node["network"]["channels"] != 8 else 0.1, 0.0, 1)

    monkeypatch.setattr(budget, "measure", measure)
    node = {"network": {"kind": "unet", "channels": None}, "train": {"warmup": 100}}
    made, reason = budget.fitted(node, 2.0, "cpu")
    assert seen == [None, 16, 8] and made["network"]["channels"] == 8
    assert made["train"] == {"steps": 1000, "warmup": 100, "sample_every": 0}
    assert reason == "network.channels=8, train.steps=1000: 0.1 s a step here, 2 minutes"
    seen.clear()
    budget.fitted(node | {"network": {"kind": "unet", "channels": 32}}, 2.0, "cpu")
    assert seen == [32]  # what is named stays


def test_what_is_measured_is_thrown_away(fitted: ud.Run):
    np.save("points.npy", POINTS)
    said = good("check", "points.npy", *WORDS)
    assert "s a step here: 6,000 steps take about" in said
    assert sorted(path.name for path in Path().iterdir()) == ["points.npy"]


def test_every_file_that_is_wrong_is_named_at_once():
    Path("photos").mkdir()
    for number in range(30):
        Image.fromarray(R.integers(0, 256, (8, 8)).astype("u1")).save(f"photos/{number}.png")
    for name in ("a.png", "b.jpg"):
        Path("photos", name).write_bytes(b"no picture")
    result = undiffuse("check", "photos", "network.channels=4", "grid.steps=4", "train.batch=2")
    assert result.code == 0, result.err
    assert result.err.count("cannot be read as PNG or JPEG") == 2 and "2 files cannot be read" in result.out


def test_new_examples_are_prepared_as_the_runs_own(runs: Path, made: Path):
    photos = ud.runs.load(runs / "pictures")
    found = read_examples(photos, made / "pictures")
    assert found.raw.shape == (20, 3, 7, 9) and len(found.names) == 20
    Image.fromarray(R.integers(0, 256, (70, 90, 3)).astype("u1")).save("large.png")
    assert "resize it first" in refused("score", runs / "pictures", "large.png")
    frame = pd.DataFrame({"b": POINTS[:, 1], "a": POINTS[:, 0]}).astype("f8")
    frame.to_csv("table.csv", index=False)
    frame["word"] = "x"
    good("train", "table.csv", *WORDS, "train.steps=2", "--out", "table")
    table = ud.runs.load("table")
    frame.loc[2, "a"] = np.nan
    frame[["word", "a", "b"]].to_csv("other.csv", index=False)
    found = read_examples(table, "other.csv")
    assert found.skipped == {"2": "a value is missing"} and len(found.raw) == len(POINTS) - 1
    assert np.allclose(found.raw[0], [POINTS[0, 1], POINTS[0, 0]])  # in the order of the run's columns
    frame[["a"]].to_csv("less.csv", index=False)
    assert "no column 'b'" in refused("score", "table", "less.csv")


def test_the_demo_is_a_page_of_pictures():
    good("demo", "--out", "demo", "--no-train")
    page = Path("demo/index.html").read_text()
    assert all(Path("demo", name).exists() and name in page for name in ("samples.png", "holes.png"))
    assert "bits/dim" in page and "bytes" in page
    assert "not an empty folder" in refused("demo", "--out", "demo")


def test_a_samplers_arguments_are_words():
    good("train", "swiss-roll", "data.train=60", "data.test=20", *WORDS, "train.steps=2", "--out", "run")
    words = ["sample", "run", "-n", 3, "--sampler", "langevin snr=0.2"]
    paths = good(*words).splitlines()
    assert all("langevin-snr=0.2" in path for path in paths)
    assert "did you mean 'snr'" in refused(*words[:-1], "langevin snt=0.2")
    assert "look like key=value" in refused(*words[:-1], "langevin 0.2")
    found = json.loads(good("evaluate", "run", "--examples", 4, "--json"))
    assert found["examples"] == 4 and found["rows"][0]["unit"] == "bits/dim"
    assert "leave out what prints more" in refused("evaluate", "run", "--json", "--entropy")


def test_a_photo_is_cropped_and_resized_as_the_runs_own_were(made: Path):
    words = ["images", f"data.path={made / 'pictures'}", "data.size=6", "data.channels=1", *UNET, *QUIET]
    run = train(Path("small"), words)
    Image.fromarray(R.integers(0, 256, (40, 70, 3)).astype("u1")).save("photo.png")
    found = read_example(ud.runs.load(run), "photo.png")
    assert torch.equal(found[0], torch.from_numpy(read_image("photo.png", (6, 6), 1)))
    assert torch.equal(read_examples(ud.runs.load(run), "photo.png").raw, found)
    good("inpaint", run, "photo.png", "--mask", "left", "-n", 2, "--steps", 2)
