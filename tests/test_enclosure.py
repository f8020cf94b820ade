"""Nothing below an enclosed folder is opened through a link, whatever opens it; no pipe is waited for."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from undiffuse import enclosure, files, tensorfile
from undiffuse.data import read_npy
from undiffuse.enclosure import LinkError, MovedError, Place, enclose
from undiffuse.jsonfile import read_json

SECRET = b"not theirs\n"


@pytest.fixture(params=["from folders", "by paths"])
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An enclosed folder, and beside it `outside`, with a file, a folder and a checkpoint's worth."""
    monkeypatch.setattr(enclosure, "FROM_FOLDERS", request.param == "from folders")
    monkeypatch.setattr(enclosure, "_enclosed", {})
    folder, outside = tmp_path / "run", tmp_path / "outside"
    for each in (folder, outside, outside / "in"):
        each.mkdir()
    for name in ("f", "in/f", "in/.f.0123abcd.tmp"):
        (outside / name).write_bytes(SECRET)
    tensorfile.write(outside / "in/t", {"a": torch.ones(2)})
    np.save(outside / "in/a.npy", np.ones(3))
    enclose(folder)
    return folder


def folder(path: Path) -> None:
    with files.folder(path) as inside:
        files.write_text(inside / "x", "x")


OPENERS: dict[str, Callable[[Path], object]] = {
    "write_json": lambda path: files.write_json(path / "f", 1),
    "append": lambda path: files.append(path / "f", "mine\n"),
    "folder": lambda path: folder(path / "new"),
    "remove": lambda path: files.remove(path),
    "remove below": lambda path: files.remove(path / "f"),
    "sweep": lambda path: files.sweep(path),
    "discard": lambda path: files.discard(path / "f"),
    "sync": lambda path: files.sync(path / "f"),
    "read_bytes": lambda path: files.read_bytes(path / "f", 99),
    "read_json": lambda path: read_json(path / "f", 1),
    "names": lambda path: enclosure.names(path),
    "tensors read": lambda path: tensorfile.read(path / "t"),
    "tensors written": lambda path: tensorfile.write(path / "new", {}),
    "array": lambda path: read_npy(path / "a.npy"),
}


def contents(path: Path) -> dict[str, bytes | None]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes() if each.is_file() else None
        for each in sorted(path.rglob("*"))
    }


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("depth", ["", "deep/er/"])
def test_a_folder_that_is_a_link_is_not_entered(run: Path, opener: str, depth: str):
    (run / depth).mkdir(parents=True, exist_ok=True)
    link, outside = run / depth / "samples", run.with_name("outside")
    link.symlink_to(outside / "in")
    before = contents(outside)
    if opener == "remove":  # of the link itself: that goes, and what it leads to stays
        files.remove(link)
        assert not link.is_symlink()
    else:
        with pytest.raises(LinkError, match=r"samples: a link, which may lead out of its folder"):
            OPENERS[opener](link)
    assert contents(outside) == before


@pytest.mark.parametrize("opener", ["append", "sync", "read_bytes", "read_json", "tensors read", "array"])
def test_a_file_that_is_a_link_is_not_opened(run: Path, opener: str):
    outside, name = run.with_name("outside"), {"tensors read": "t", "array": "a.npy"}.get(opener, "f")
    before = contents(outside)
    for target in (outside / "in" / name, outside / "new"):  # there, and dangling
        (run / name).symlink_to(target)
        with pytest.raises((LinkError, FileNotFoundError), match=r"a link|nothing at"):
            OPENERS[opener](run)
        (run / name).unlink()
    assert contents(outside) == before


def test_a_link_gives_way_to_a_file_that_takes_its_name(run: Path):
    outside = run.with_name("outside")
    (run / "f").symlink_to(outside / "f")
    files.write_text(run / "f", "mine")
    assert ((run / "f").is_symlink(), (outside / "f").read_bytes()) == (False, SECRET)


def test_what_has_another_name_elsewhere_is_not_added_to(run: Path):
    (run / "f").hardlink_to(run.with_name("outside") / "f")
    with pytest.raises(LinkError, match="f: has another name elsewhere"):
        files.append(run / "f", "mine")
    assert files.read_bytes(run / "f", 99) == SECRET  # a backup made of links can be read
    files.write_text(run / "f", "mine")
    assert (run.with_name("outside") / "f").read_bytes() == SECRET


def test_links_on_the_way_to_the_folder_are_the_users(run: Path):
    link = run.with_name("mine")
    link.symlink_to(run)
    enclose(link)
    for path in (link, run):
        files.append(path / "log", "line\n")
        files.write_text(path / "a/b/c", "x")
    assert (run / "log").read_text() == "line\n" * 2
    for path in (run / "..", run.parent):  # not below: any path will do
        assert files.read_bytes(path / "outside/f", 99) == SECRET


@pytest.mark.parametrize("run", ["from folders"], indirect=True)
def test_a_link_put_there_after_the_folder_was_opened(run: Path, monkeypatch: pytest.MonkeyPatch):
    samples, outside, make = run / "samples", run.with_name("outside"), Place.open

    def swapped(self: Place, name: str, flags: int) -> int:
        if samples.is_dir() and not samples.is_symlink():
            samples.rename(run / "moved")
            samples.symlink_to(outside)
        return make(self, name, flags)

    samples.mkdir()
    monkeypatch.setattr(Place, "open", swapped)
    before = contents(outside)
    files.write_text(samples / "f", "mine")
    assert contents(outside) == before
    assert (run / "moved/f").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("opener", ["append", "read_bytes", "read_json", "tensors read", "array"])
def test_a_pipe_is_not_waited_for(run: Path, opener: str):
    name = {"tensors read": "t", "array": "a.npy"}.get(opener, "f")
    for folder in (run, run.with_name("outside") / "pipes"):
        folder.mkdir(exist_ok=True)
        os.mkfifo(folder / name)
        with pytest.raises((ValueError, files.WriteError), match=f"{name}: (no plain|a pipe|No such dev)"):
            OPENERS[opener](folder)


def test_a_device_is_not_read():
    with pytest.raises(ValueError, match="/dev/zero: no plain file"):
        files.read_bytes(Path("/dev/zero"), 99)


def test_a_folder_that_another_has_replaced(run: Path):
    def check(here: Place) -> None:
        if here.status.st_ino != inode:
            raise MovedError("another folder")

    inode = run.stat().st_ino
    enclose(run, check)
    files.append(run / "log", "line\n")
    run.rename(run.with_name("moved"))
    for write in (lambda: files.append(run / "log", "x"), lambda: files.write_text(run / "a/b", "x")):
        with pytest.raises(MovedError, match="moved, or removed"):
            write()
        assert not run.exists()
    run.mkdir()
    with pytest.raises(MovedError, match="another folder"):
        files.write_text(run / "a/b", "x")
    enclosure.unlocked(run, check)
    files.write_text(run / "a/b", "x")
    assert contents(run.with_name("moved")) == {"log": b"line\n"}


def test_links_that_others_would_follow(run: Path):
    (run / "wandb/here").mkdir(parents=True)
    (run / "wandb/latest").symlink_to("here")
    enclosure.check_links(run, "wandb")
    (run / "wandb/here/debug.log").symlink_to(run.with_name("outside") / "new")
    with pytest.raises(LinkError, match=r"debug\.log: a link that leads out of"):
        enclosure.check_links(run, "wandb")
    (run / "trackio").symlink_to(run.with_name("outside"))
    with pytest.raises(LinkError, match="trackio: a link that leads out of"):
        enclosure.check_links(run, "trackio")


def test_what_is_half_written_is_left_alone_until_its_writer_is_gone(tmp_path: Path):
    import subprocess
    import sys

    code = "import sys; from pathlib import Path; from undiffuse.files import atomic, folder\n"
    code += "with atomic(Path('a.png')), folder(Path('step-1')): print(1, flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writer = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, **pipes)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    (tmp_path / f".old.csv.{os.getpid()}-0123abcd.tmp").write_text("of a dead process with this one's number")
    (tmp_path / ".figure.png.01234567.tmp").symlink_to("nowhere")
    try:
        files.sweep(tmp_path)
        assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == ["a", "step-1"]
    finally:
        writer.kill()
        writer.communicate()
    files.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_an_enclosed_one_that_is_not_there_yet(tmp_path: Path):
    """Both are made, as by `reproduce --out` for its first row."""
    enclosure.enclose(tmp_path / "table")
    with enclosure.place(tmp_path / "table" / "row", make=True) as here:
        assert here.names() == []
    assert (tmp_path / "table" / "row").is_dir()


def test_hidden_names_of_the_users_own_stay(tmp_path: Path):
    mine = [".notes.tmp", ".del-mine", ".del-step-old", ".a.0123456.tmp"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    files.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)
