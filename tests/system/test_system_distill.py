"""undiffuse distill: a student is a run, taught in a folder of its own, and its price is told."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from several import run
from shell import good, refused, tree, undiffuse

import undiffuse as library
from undiffuse.samplers import DDIM

FEW = [
    "train.batch=8",
    "train.optimizer=adamw",
    "train.log_every=1",
    "train.checkpoint_every=2",
    "objective.substeps=2",
]


@pytest.fixture(scope="module")
def student(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A student of three calls, and what was printed."""
    out, before = tmp_path_factory.mktemp("taught") / "student", tree(runs / "digits")
    result = undiffuse("distill", runs / "digits", "--steps", 3, "--out", out, "train.steps=4", *FEW)
    assert result.code == 0, result.err
    assert tree(runs / "digits") == before
    return out, result.out


def test_it_is_a_run_of_so_many_calls(student: tuple[Path, str], runs: Path):
    path, out = student
    run, teacher = library.load(path), library.load(runs / "digits")
    assert run.step == 4 and len(run.grid) == 3 and isinstance(run.sampler, DDIM)
    assert run.recipe["objective"].kind == "distilled" and "distilled from digits" in run.recipe["about"]
    ours, theirs = (dict(each.model.named_parameters()) for each in (run, teacher))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    assert all((ours[name] - theirs[name]).abs().max() < 0.5 for name in ours)
    assert torch.equal(run.sample(2, 1), run.sample(3, 1)[:2])
    for line in (
        "student, 3 calls",
        "teacher, the same 3 times",
        "teacher's whole chain",
        "training examples",
    ):
        assert line in out
    assert f"{float(run.evaluate(library.recipes.load_data(run.recipe).test[:500]).total.mean):.4f}" in out


def test_it_goes_on_where_it_stopped(student: tuple[Path, str], tmp_path: Path):
    """From its beginning again, without what came after: the same weights."""
    again = library.load(student[0]).save(tmp_path / "again")
    for old in sorted((again / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(old)
    good("train", "--resume", again)
    one, two = (dict(library.load(each).model.named_parameters()) for each in (student[0], again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_student_can_teach(student: tuple[Path, str], tmp_path: Path):
    out = tmp_path / "second"
    good("distill", student[0], "--steps", 2, "--out", out, "train.steps=1", *FEW)
    assert len(library.load(out).grid) == 2


def test_a_teacher_is_not_split(student: tuple[Path, str], tmp_path: Path):
    again = library.load(student[0]).save(tmp_path / "again")
    words = ("train.steps=9", "train.shard=true", "--processes", 2)
    _, err = run("train", "--resume", again, *words, code=2)
    assert "train.shard=true: a teacher is whole on each process" in err


def test_refusals(student: tuple[Path, str], runs: Path, bits: Path, tmp_path: Path):
    run = runs / "digits"
    assert "not an empty folder" in refused("distill", run, "--out", student[0])
    assert "steps=1: a grid of less than two" in refused(
        "distill", run, "--steps", 1, "--out", tmp_path / "a"
    )
    assert "Binomial kernel is of symbols" in refused("distill", bits, "--out", tmp_path / "b")
    for change, said in (
        ("objective.substeps=0", "substeps=0: a teacher walks one step"),
        ("objective.kind=simple", "objective.kind: a student's is distilled"),
        ("network.blocks=3", "network.blocks=3: a student has its own train, objective"),
    ):
        assert said in refused("distill", run, "--out", tmp_path / "e", change)
    assert "no_such" in refused("distill", run, "--out", tmp_path / "c", "train.no_such=1")
    assert "has no teacher" in refused("train", "digits", "objective.kind=distilled", "--out", tmp_path / "d")
    assert not any(tmp_path.iterdir())
    broken = library.load(student[0]).save(tmp_path / "broken")
    (broken / "teacher.safetensors").write_bytes(b"nothing")
    assert "teacher.safetensors" in refused("train", "--resume", broken, "train.steps=9")
    assert json.loads((student[0] / "run.json").read_text())["levels"] == 17
