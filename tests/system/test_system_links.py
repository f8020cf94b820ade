"""A run from a stranger: no verb opens what a link, a pipe or a forged file in its folder leads to."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shell import POINTS, good, refused, refused_last, train, tree

from undiffuse.runs import Experiment
from undiffuse.training import checkpoint

EVERY = ["train.sample_every=2", "train.sample_steps=2", "train.log_every=1", "train.checkpoint_every=2"]
NEWEST = "checkpoints/step-00000004"
READ = ["recipe.yaml", "run.json", "metrics.jsonl", "checkpoints", NEWEST]
READ += [f"{NEWEST}/{name}" for name in ("MANIFEST.json", "state.json", "average.safetensors")]
WRITTEN = [".lock", "events.jsonl", "samples", "figures"]
ON_THE_WAY = ["samples/step-00000006.png", "evaluation-test.json", "terms-test.csv", "figures/monitors.png"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 steps, all of whose files are there."""
    run = train(tmp_path_factory.mktemp("links") / "run", POINTS, *EVERY, "train.steps=4")
    (run / "events.jsonl").write_text("")
    (run / "figures").mkdir()
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy that has two more steps to go."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    recipe = (run / "recipe.yaml").read_text().replace("  steps: 4\n", "  steps: 6\n")
    (run / "recipe.yaml").write_text(recipe.replace("figures_every: 0", "figures_every: 6"))
    return run


def bytes_of(folder: Path) -> dict[str, str]:
    """Names and contents below a folder."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes().hex() if path.is_file() else "" for name, path in files.items()}


def led_out(run: Path, name: str) -> Path:
    """Put a link in the place of a file or folder, to what it was, now outside."""
    outside = run.with_name("outside")
    outside.mkdir(exist_ok=True)
    (run / name).parent.mkdir(exist_ok=True)
    if (run / name).exists():
        (run / name).rename(outside / Path(name).name)
    (run / name).symlink_to(outside / Path(name).name)
    return outside


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
def test_links_are_not_followed_by_a_training(run: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    outside = led_out(run, name)
    before = bytes_of(outside)
    monkeypatch.setattr("undiffuse.runs.rounding.canary", lambda _: "another")  # an event to write down
    message = refused_last("train", "--resume", run, code=2)
    assert message.startswith(f"{run / name}: a link")
    assert bytes_of(outside) == before
    assert (run / name).is_symlink()


@pytest.mark.parametrize("name", ["run.json", NEWEST, f"{NEWEST}/average.safetensors"])
@pytest.mark.parametrize("verb", ["sample", "evaluate", "info", "export"])
def test_links_are_not_followed_by_other_verbs(run: Path, name: str, verb: str):
    led_out(run, name)
    words = {"export": ["new"], "sample": ["-n", 1], "evaluate": ["--examples", 2]}.get(verb, [])
    assert ": a link" in refused(verb, run, *words)


def test_what_is_written_beside_a_link_is_not_written_through_it(run: Path):
    for name in ON_THE_WAY:
        outside = led_out(run, name)  # dangling: nothing of these is there yet
    before = bytes_of(outside)
    good("train", "--resume", run)
    good("evaluate", run)
    assert bytes_of(outside) == before
    assert not any((run / name).is_symlink() for name in ON_THE_WAY)


def test_samples_are_not_written_through_a_link(run: Path):
    shutil.rmtree(run / "samples")
    outside = led_out(run, "samples")
    for words in (["sample", run], ["denoise", run, "--index", 0, "--std", 1]):
        assert ": a link" in refused_last(*words, "-n", 1, "--steps", 2, code=2)
    assert list(outside.iterdir()) == []


def test_a_run_that_the_user_reaches_through_a_link(run: Path, tmp_path: Path):
    (tmp_path / "mine").symlink_to(run.parent)
    good("train", "--resume", tmp_path / "mine/run")
    good("sample", tmp_path / "mine/run", "-n", 1, "--steps", 1)
    assert checkpoint.latest(run / "checkpoints").name == "step-00000006"


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
@pytest.mark.parametrize("name", ["recipe.yaml", "run.json", "events.jsonl", f"{NEWEST}/state.json"])
def test_pipes_are_not_waited_for(run: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    (run / name).unlink()
    os.mkfifo(run / name)
    monkeypatch.setattr("undiffuse.runs.rounding.canary", lambda _: "another")
    if name.startswith(NEWEST):  # damage such as any other: the checkpoint before is used
        good("train", "--resume", run)
    else:
        assert f"{name}: no plain file" in refused_last("train", "--resume", run, code=2)
    os.mkfifo("pipe.yaml")
    assert refused("train", "pipe.yaml", "--out", "new").startswith("pipe.yaml: no plain file")


def steps(run: Path) -> Iterator[int]:
    """A training of the run in the folder, a step at a time."""
    experiment = Experiment.open(run)
    return (event.progress.step for event in experiment.train())


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_is_moved_while_it_trains(run: Path, again: bool):
    training = steps(run)
    assert next(training) == 5
    run.rename(run.with_name("moved"))
    if again:
        run.mkdir()
    before = tree(run.parent)
    with pytest.raises(RuntimeError, match="run: no longer the folder that this process has locked: moved"):
        list(training)
    assert tree(run.parent) == before


def test_a_lock_that_is_removed_lets_nobody_in(run: Path):
    training = steps(run)
    assert next(training) == 5
    (run / ".lock").unlink()
    assert "in use by another process" in refused("train", "--resume", run, code=75)
    assert list(training) == [6]


def test_what_killed_processes_left_goes_at_a_start(run: Path):
    left = [
        ".metrics.jsonl",
        ".evaluation-test.json",
        "samples/.step-00000002.png",
        "figures/step-2/.plain.png",
    ]
    (run / "figures/step-2").mkdir()
    for number, name in enumerate(left):
        process = f"{os.getpid()}-" if number % 2 else ""  # by the number of a process that lives
        (run / f"{name}.{process}0123abcd.tmp").write_text("half")
    (run / ".notes.tmp").write_text("the user's")
    Experiment.open(run)
    assert [name for name in tree(run) if name.endswith(".tmp")] == [".notes.tmp"]


FORGED: dict[str, Callable[[dict], object]] = {
    "no step": lambda state: state.pop("step"),
    "a step that is text": lambda state: state.update(step="4"),
    "another step": lambda state: state.update(step=3),
    "no losses": lambda state: state.pop("losses"),
    "pending text": lambda state: state.update(pending=["a"]),
    "pending numbers": lambda state: state.update(pending=7),
    "times of another kind": lambda state: state.update(times=[1]),
    "a scale that is a list": lambda state: state.update(scaling={"scale": [], "clean": 0, "overflows": 0}),
    "beyond 64 bits": lambda state: state.update(skips=2**64),
}


def sealed(path: Path, state: dict) -> None:
    """A forged state.json, with a manifest that agrees."""
    text = json.dumps(state, indent=2) + "\n"
    (path / "state.json").write_text(text)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    del manifest["seal"]
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    manifest["files"]["state.json"] = {"bytes": len(text), "sha256": sha256}
    seal = checkpoint.seal(manifest)
    (path / "MANIFEST.json").write_text(json.dumps(manifest | {"seal": seal}, indent=2) + "\n")


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_state_is_damage(run: Path, name: str):
    for path in checkpoint.steps(run / "checkpoints"):
        state = json.loads((path / "state.json").read_text())
        FORGED[name](state)
        sealed(path, state)
    message = refused("train", "--resume", run)
    assert "state.json" in message or "step-00000004" in message
    assert "damaged" in message or "no step" in message


def test_a_checkpoint_under_another_name(run: Path):
    (run / NEWEST).rename(run / "checkpoints/step-00000099")
    assert "of step 4, its folder has another name" in refused("info", run)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("run.json", "[" * 9 + "]" * 9, "damaged, it is [[["),
        ("run.json", "[" * 99_999, "damaged, no JSON"),
        ("run.json", '{"format": ' + "[" * 20 + "]" * 20 + "}", "more than 16 lists and mappings"),
        ("run.json", '{"format": 1, "shape": [1e3]}', "damaged, element 0 of 'shape' is 1000.0"),
        ("run.json", '{"format": ' + "9" * 30 + "}", "damaged, 'format' is beyond 64 bits"),
        ("run.json", " " * 2**22 + "{}", "larger than 4,194,304 bytes"),
        ("metrics.jsonl", "{}\n", "metrics.jsonl: line 1: damaged, it has no 'step'"),
        ("metrics.jsonl", "[" * 99_999 + "\n", "metrics.jsonl: line 1: damaged, no JSON"),
        ("metrics.jsonl", '{"step": NaN}\n', "metrics.jsonl: line 1: damaged, no JSON: NaN is no number"),
        ("metrics.jsonl", "3\n", "metrics.jsonl: line 1: damaged, it is 3"),
    ],
)
def test_json_that_is_damaged_says_where(run: Path, file: str, text: str, message: str):
    (run / file).write_text(text)
    assert message in refused_last("train", "--resume", run, code=2)


def test_facts_that_are_forged(run: Path):
    facts = json.loads((run / "run.json").read_text())
    forgeries = {"shape": [2**70], "levels": "256", "conditions": [], "examples": {"train": 1}, "shades": [0]}
    for key, value in (forgeries | {"space": {"kind": []}, "files": 3}).items():
        (run / "run.json").write_text(json.dumps(facts | {key: value}))
        assert f"{run / 'run.json'}: damaged, " in refused("info", run)
    image = {"kind": "image", "shape": [1, 2], "mean": [0.0], "std": [1.0]}
    for given in ({"kind": "class", "count": 10**9}, {"kind": "os"}, {}, 3, image, {"kind": [], "count": 1}):
        (run / "run.json").write_text(json.dumps(facts | {"conditions": {"it": given}}))
        assert f"{run / 'run.json'}: damaged, " in refused("evaluate", run)
        good("info", run)
    (run / "run.json").write_text(json.dumps(facts | {"shape": [2**40]}))
    assert "bases.safetensors: damaged, " in refused("evaluate", run)
    none = {"kinds": {}, "model": None, "sha256": ""}
    (run / "run.json").write_text(json.dumps(facts | {"shape": [2**40], "bases": none}))
    assert "network: more than" in refused("evaluate", run)
    kinds = ({"normal": 3}, {"normal": []}, {"normal": "os"}, {"independent": "mixture"}, [], 3)
    for bases in (3, {}, none | {"model": "normal"}, *(facts["bases"] | {"kinds": each} for each in kinds)):
        (run / "run.json").write_text(json.dumps(facts | {"bases": bases}))
        assert "damaged" in refused("evaluate", run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.clip=.inf"], "train.clip=inf: give a finite number"),
        (["train.clip=1e999"], "train.clip=inf: give a finite number"),
        (["train.clip='inf'"], "train.clip=inf: give a finite number"),
        (["objective=variational", "data.noise=.nan"], "data.noise=nan: give a finite number"),
        ([f"seed={2**64}"], "seed: a whole number of 65 bits; they have at most 63"),
        ([f"network.hidden={10**9}"], "network: more than"),
        ([f"network.hidden={10**17}"], "network: "),
        ([f"network.layers={10**9}"], "network: more than"),
        ([f"grid.steps={10**13}"], "grid.steps=10000000000000: at most 1,048,576 latent times"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_built(words: list[str], message: str):
    found = refused("train", *POINTS, *words, "--out", "new")
    assert found.startswith(message)
    assert not Path("new").exists()


def test_a_seed_beyond_64_bits(run: Path):
    assert refused("sample", run, "--seed", 2**70).endswith("424: a whole number within 64 bits")
    good("sample", run, "-n", 1, "--steps", 1, "--seed", 2**63 - 1, "--first", 2**61)
    assert "samples are numbered from 0 to" in refused("sample", run, "--first", 2**70)
