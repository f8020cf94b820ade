"""Trackers: what they are told is what can be read back, and nothing leaves the machine."""

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import undiffuse
from undiffuse.trackers import TRACKERS, Tracker


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    path = tmp_path / "shot.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)
    return path


def told(name: str, folder: Path, shot: Path, steps: range) -> Tracker:
    """A tracker that was told a loss of 1 / step, and shown a picture at the last."""
    tracker = TRACKERS[name](folder, steps[0] - 1, {"seed": 0})
    for step in steps:
        tracker.scalars(step, {"loss": 1 / step})
    tracker.picture("samples", steps[-1], shot)
    tracker.close()
    return tracker


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_extra_says_how_to_get_it(name, tmp_path, monkeypatch):
    for module in (name, f"torch.utils.{name}"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    with pytest.raises(ImportError, match=rf"train\.tracker={name} needs: pip install '{name}>="):
        TRACKERS[name].ready(tmp_path)
    monkeypatch.delenv("TRACKIO_DIR", raising=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_events_read_back(tmp_path, shot):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told("tensorboard", tmp_path, shot, range(1, 6))
    told("tensorboard", tmp_path, shot, range(4, 8))  # resumed after step 3
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [
        (step, pytest.approx(1 / step)) for step in range(1, 8)
    ]
    image = events.Images("samples")[-1]
    assert (image.step, image.width, image.height) == (7, 4, 4)


class Recorder(types.ModuleType):
    """A stand-in for wandb or trackio that remembers what it was told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begun: dict = {}
        self.rows: list[tuple[int, dict]] = []
        self.ended = False

    def Settings(self, **options):
        return options

    def setup(self, settings):
        self.ready = settings

    def Image(self, path: str):
        return Path(path)

    def init(self, **options):
        print("a greeting")
        self.begun = options
        return self

    def log(self, values, step):
        self.rows.append((step, values))

    def finish(self):
        print("a farewell")
        self.ended = True


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_what_the_packages_are_told(name, tmp_path, shot, monkeypatch):
    recorder = Recorder(name)
    monkeypatch.setitem(sys.modules, name, recorder)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    told(name, tmp_path, shot, range(1, 3))
    assert recorder.rows == [(1, {"loss": 1.0}), (2, {"loss": 0.5}), (2, {"samples": shot})]
    assert recorder.begun["config"] == {"seed": 0} and recorder.ended
    if name == "wandb":
        assert recorder.ready == {"mode": "offline"} and recorder.begun["mode"] == "offline"
        assert recorder.begun["dir"] == str(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_works_offline_below_the_run(tmp_path, shot, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens: a connection would fail
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    (tmp_path / "run").mkdir()
    told("wandb", tmp_path / "run", shot, range(1, 3))
    wandb.teardown()  # its own process writes on for a moment
    (record,) = (tmp_path / "run").rglob("*.wandb")
    assert record.stat().st_size > 1000
    assert len(list((tmp_path / "run").rglob("media/images/*.png"))) == 1


REPORTED = """
import sys
from pathlib import Path
import network
network.refuse()
from undiffuse.trackers import TRACKERS
run = Path(sys.argv[1])
run.mkdir()
tracker = TRACKERS["wandb"](run, 0, {"seed": 0})
tracker.scalars(1, {"loss": 1.0})
tracker.close()
"""


@pytest.mark.slow
def test_wandb_does_not_report_its_use(tmp_path):
    """It does so at the end of a process, unless told before a run begins that all are offline."""
    pytest.importorskip("wandb")
    paths = [str(Path(__file__).parent), str(Path(undiffuse.__file__).parents[1])]
    other = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-c", REPORTED, str(tmp_path / "run")],
        env=other | {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "NetworkError" not in done.stderr


@pytest.mark.parametrize("there", [None, "elsewhere"])
def test_trackio_writes_below_the_run_and_says_nothing(tmp_path, shot, monkeypatch, capsys, there):
    """By its stand-in, as the package itself keeps Pillow back: unless told, its folder is the run's."""
    recorder = Recorder("trackio")
    monkeypatch.setitem(sys.modules, "trackio", recorder)
    monkeypatch.setenv("TRACKIO_DIR", there or "")  # so that it is put back afterwards
    if there is None:
        monkeypatch.delenv("TRACKIO_DIR")
    told("trackio", tmp_path / "run", shot, range(1, 3))
    assert os.environ["TRACKIO_DIR"] == (there or str(tmp_path / "run" / "trackio"))
    begun = recorder.begun
    assert (begun["project"], begun["name"], begun["resume"]) == ("undiffuse", "run", "allow")
    assert not (begun["embed"] or begun["auto_log_gpu"] or begun["auto_log_cpu"]) and recorder.ended
    assert capsys.readouterr().out == ""
