"""Tiny runs, trained once for all tests; a test that changes one takes a copy."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image
from several import QUIET, STARTED, WORDS, run
from shell import POINTS, UNET, train

from undiffuse import plots

SHOWN = {name: getattr(plots, name) for name in ("save_training", "save_schedules", "save_columns")}
SPARED = dict.fromkeys(SHOWN, lambda *_: None)
DRAWING = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}  # without `spared`
MLP = ["network.kind=mlp", "network.hidden=8", "network.layers=1", "train.flips=false"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data: pictures of an odd size, arrays of vectors, sequences and levels."""
    folder, r = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    np.save(folder / "vectors.npy", (5 + 3 * r.normal(size=(60, 3))).astype("f4"))
    np.save(folder / "sequences.npy", r.normal(size=(60, 2, 7)).astype("f4"))
    np.save(folder / "levels.npy", r.integers(0, 5000, size=(60, 4)).astype("u2"))
    (folder / "pictures").mkdir()
    for i in range(20):
        picture = r.integers(0, 256, size=(7, 9, 3)).astype("u1")
        Image.fromarray(picture).save(folder / "pictures" / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def runs(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind of data; `points` was sampled, evaluated and logged on the way."""
    root = tmp_path_factory.mktemp("runs")
    every = ["train.sample_every=3", "train.sample_steps=4", "train.evaluate_every=3", "train.log_every=2"]
    kinds = {
        "points": [*POINTS, *every, "train.checkpoint_every=4"],
        "digits": ["digits", *UNET, *QUIET],
        "pictures": ["images", f"data.path={made / 'pictures'}", *UNET, *QUIET],
    }
    for name in ("vectors", "sequences", "levels"):
        kinds[name] = ["images", "data.kind=array", f"data.path={made / name}.npy", *MLP, *QUIET]
    for name, words in kinds.items():
        with pytest.MonkeyPatch.context() as patch:
            spare(patch, SHOWN if name == "points" else SPARED)
            train(root / name, words)
    return root


def spare(patch: pytest.MonkeyPatch, drawing: dict[str, Callable[..., None]]) -> None:
    """A training draws these figures at its end, and none looks for room, as those of tests/plots do."""
    for name, save in drawing.items():
        patch.setattr(plots, name, save)
    patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)


@pytest.fixture(scope="module", autouse=True)
def spared() -> Iterator[None]:
    """Of all tests, and of the runs that are trained for one file of them."""
    with pytest.MonkeyPatch.context() as patch:
        spare(patch, SPARED)
        yield


@pytest.fixture(scope="session")
def bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 bits."""
    words = ["heartbeat", "network.kind=mlp", "network.hidden=8", "network.layers=1", "data.train=60"]
    quiet = ["train.evaluate_every=0", "train.figures_every=0"]
    return train(tmp_path_factory.mktemp("bits") / "run", [*words, "data.test=7"], *quiet)


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process of its own."""
    folder = tmp_path_factory.mktemp("single") / "run"
    run(*WORDS, "--out", folder, env=DRAWING)
    return folder


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same command on two processes; they spoke once."""
    folder = tmp_path_factory.mktemp("double") / "run"
    out, err = run(*WORDS, "--out", folder, "--processes", 2, env=DRAWING)
    assert "on 2 processes" in out
    assert out.count("done: ") == 1 and err.count("step 20: bound") == 1
    return folder


@pytest.fixture
def all_runs(runs: Path, bits: Path) -> dict[str, Path]:
    """Runs by the kind of their data."""
    return {path.name: path for path in runs.iterdir()} | {"bits": bits}


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A run of one's own."""
    return lambda name: Path(shutil.copytree(runs / name, tmp_path / name))


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """A test that fails leaves no process behind: the others end with the one that is killed here."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
