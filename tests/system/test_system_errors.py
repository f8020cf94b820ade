"""Whatever goes wrong: one line that says what and where, the right exit code, nothing half-written."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import CHAIN, POINTS, refused, tree, undiffuse

from oracles import normals
from undiffuse.cli.console import failed, printable

ARRAY = ["swiss-roll", "data.kind=array", "network.hidden=8"]


def no_run(*words: str) -> str:
    """The message of a training that must not start, and must leave no folder."""
    before = tree(Path())
    message = refused("train", words[0], *CHAIN, *words[1:], "--out", "run")
    assert tree(Path()) == before
    return message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digitz"], "digitz: no such name; did you mean 'digits'?"),
        (["mine.yaml"], "mine.yaml: No such file or directory"),
        ([*POINTS, "train.stpes=4"], "train.stpes=4: no such name; did you mean 'steps'?"),
        ([*POINTS, "train.steps=-1"], "train.steps=-1: must be at least 0"),
        ([*POINTS, "train.batch=16", "train.accumulate=3"], "train.accumulate=3 does not divide"),
        ([*POINTS, "train.flips=true"], "train.flips=true mirrors images"),
        ([*POINTS, "variance=interpolated"], "the simple objective does not train a learned variance"),
        ([*POINTS, "grid.steps=0"], "grid: steps=0"),
        ([*POINTS, "data.test=1", "train.evaluate_every=2"], "train.evaluate_every=2: a standard error"),
        ([*POINTS, "data.noise=-1"], "data: noise=-1"),
        ([*POINTS, "objective=variational", "objective.draws=0"], "objective: draws=0"),
        ([*POINTS, "sampler.kind=ddim", "sampler.eta=3"], "sampler: eta=3"),
        ([*POINTS, "--device", "gpu"], "--device gpu: choose"),
        ([*ARRAY, "data.path=none.npy"], "nothing at "),
        (["images"], "nothing at "),
    ],
)
def test_a_training_that_cannot_start(words: list[str], message: str):
    assert no_run(*words).startswith(message)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]]), "not finite"),
        (np.array([{}, 1], dtype=object), "Python objects, which are never unpickled"),
        (np.zeros(5), "has shape (5,)"),
        (np.zeros((1, 2)), "cannot be split"),
        (np.zeros((9, 2), np.int64), "number of levels is not known"),
    ],
)
def test_arrays_that_are_no_data(array: np.ndarray, message: str):
    np.save("bad.npy", array, allow_pickle=True)
    found = no_run(*ARRAY, "data.path=bad.npy")
    assert message in found
    assert "bad.npy" in found or "split" in found


def test_a_truncated_image():
    Path("pictures").mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (20, 20, 3)).astype("u1")
        Image.fromarray(noise).save(f"pictures/{i}.png")
    whole = Path("pictures/2.png").read_bytes()
    Path("pictures/2.png").write_bytes(whole[: len(whole) // 2])
    assert "2.png" in no_run("images", "data.path=pictures", "network.channels=4", "train.evaluate_every=0")


def test_folders_that_cannot_be():
    Path("file").write_text("")
    assert refused("train", *POINTS, *CHAIN, "--out", "file/run") == "file/run: Not a directory"
    assert refused("train", *POINTS, *CHAIN, "--out", "file").startswith("file: not an empty folder")
    Path("used").mkdir()
    Path("used/mine.txt").write_text("")
    message = refused("train", *POINTS, *CHAIN, "--out", "used")
    assert message == "used: not an empty folder; choose another, or resume it"
    assert tree(Path()) == {"file", "used", "used/mine.txt"}


@pytest.mark.parametrize("verb", [["sample"], ["evaluate"], ["info"], ["train", "--resume"]])
def test_no_run(verb: list[str], copy: Callable[[str], Path]):
    assert refused(*verb, "none") == "none: no run here (it has no run.json)"
    run = copy("points")
    for damage in ("{", "[]", '{"format": 1}', '{"format": 1, "shape": [0]}', '{"format": 1, "shape": [2]}'):
        (run / "run.json").write_text(damage)
        assert "run.json: " in refused(*verb, run)
    facts = json.loads((copy("digits") / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"format": 2}))
    assert "format 2, this version reads 1" in refused(*verb, run)


@pytest.mark.parametrize("verb", ["sample", "evaluate", "info"])
def test_no_checkpoint_yet(verb: str, copy: Callable[[str], Path]):
    run = copy("points")
    for path in (run / "checkpoints").iterdir():
        path.rename(run / path.name)
    assert "has this run reached its first one?" in refused(verb, run)


@pytest.mark.parametrize("verb", [["sample"], ["evaluate"], ["info"]])
def test_a_damaged_checkpoint(verb: list[str], copy: Callable[[str], Path]):
    run = copy("points")
    file = run / "checkpoints/step-00000006/average.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    before = tree(run)
    assert "average.safetensors: damaged or missing" in refused(*verb, run)
    assert tree(run) == before


def test_data_that_are_no_longer_the_same(copy: Callable[[str], Path]):
    run = copy("vectors")
    recipe = run / "recipe.yaml"
    for name, array in {"wide": normals(60, 4).float(), "less": normals(50, 3).float()}.items():
        np.save(f"{name}.npy", array)
        text = recipe.read_text().splitlines()
        text = [f"  path: {name}.npy" if line.startswith("  path:") else line for line in text]
        recipe.write_text("\n".join(text))
        before = tree(run)
        assert "the data are no longer those the run began with" in refused("train", "--resume", run)
        if name == "wide":
            message = refused("evaluate", run)
            assert message == "examples of shape (4,): this run has (3,)"
        assert tree(run) == before


@pytest.mark.parametrize("verb", [["sample"], ["train", "--resume"]])
def test_a_recipe_that_is_no_longer_the_same(verb: list[str], copy: Callable[[str], Path]):
    run = copy("points")
    text = (run / "recipe.yaml").read_text()
    for change in (("hidden: 8", "hidden: 9"), ("layers: 1", "layers: 2")):
        (run / "recipe.yaml").write_text(text.replace(*change))
        message = refused(*verb, run)
        assert "changed since step 6 (network." in message or "not the weights" in message


def test_a_loss_that_explodes_keeps_the_checkpoint(tmp_path: Path):
    words = ["train.lr=1e30", "train.warmup=0", "train.clip=0", "train.checkpoint_every=1"]
    result = undiffuse("train", *POINTS, *CHAIN, *words, "--out", "run")
    assert result.code == 1
    assert "undiffuse: step " in result.err
    assert "train.lr" in result.err
    assert not [name for name in tree(Path("run")) if ".tmp" in name]
    assert undiffuse("sample", "run", "-n", 1).code in (0, 1)


def test_debug_shows_the_traceback():
    for words in (["--debug", "sample", "none"], ["sample", "none", "--debug"]):
        with pytest.raises(FileNotFoundError, match="no run here"):
            undiffuse(*words)


def test_what_was_not_expected_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("undiffuse.runs.load", lambda *_, **__: {}["bug"])
    with pytest.raises(KeyError):
        undiffuse("doctor", "run")


def test_control_characters_are_not_echoed(capsys: pytest.CaptureFixture[str]):
    for words in (["sample", "a\x1b[31mred\nb"], ["train", "\x07.yaml"], ["train", "x\x9b2J"]):
        message = refused(*words)
        assert message.isprintable()
    assert printable("a\x1bb\u202ec") == "a?b?c"
    assert failed(ValueError("two\n lines"), 3) == 3
    assert capsys.readouterr().err == "undiffuse: two lines\n"
    failed(MemoryError(), 1)
    assert capsys.readouterr().err == "undiffuse: MemoryError\n"


def test_messages_are_json_free(copy: Callable[[str], Path]):
    """A metrics file that is no JSON names itself."""
    run = copy("points")
    (run / "metrics.jsonl").write_text("no json\n")
    result = undiffuse("train", "--resume", run)
    assert result.code == 2
    assert json.loads((run / "run.json").read_text())["format"] == 1


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("sample -n 2 --out mine.png", "mine.png"),
        ("sample -n 2 --share-from 0.5 --out mine.npy", "mine.npy"),
        ("sample -n 2 --film mine.gif", "mine.gif"),
        ("interpolate --index 0 1 --out mine.npy", "mine.npy"),
        ("denoise --index 0 --std 1 --out mine", "mine.npy"),
        ("inpaint --index 0 --out yours", "yours-std.png"),
        ("rate-distortion --test 2 -o mine.png", "mine.png"),
        ("compress --test 2 -o mine.gif", "mine.gif"),
    ],
)
def test_no_file_that_is_there_is_overwritten(runs: Path, words: str, name: str):
    files = [Path(each) for each in ("mine.png", "mine.npy", "mine.gif", "yours-std.png")]
    for file in files:
        file.write_text("years of work")
    verb, *rest = words.split()
    assert refused(verb, runs / "digits", *rest) == f"{name}: exists already; choose a new file"
    assert {file.read_text() for file in files} == {"years of work"} and len(tree(Path())) == len(files)
