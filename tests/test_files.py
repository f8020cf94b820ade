import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from undiffuse.files import WriteError, atomic, folder, sync


def test_a_file_appears_complete_under_its_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.bin"
    with atomic(path) as file:
        file.write(b"one")
        file.flush()
        assert not path.exists()
        assert [other.suffix for other in path.parent.iterdir()] == [".tmp"]
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failing_writer_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic(path) as file:
        file.write(b"half of the n")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_on_the_disk_before_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *a, **how: (order.append("replace"), replace(*a, **how))[1])
    with atomic(tmp_path / "a.bin") as file:
        file.write(b"x" * 10)
    assert order == ["fsync", "replace", "fsync"]  # the bytes, the name, the folder's entry


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_others_may_read_a_picture_as_far_as_the_umask_allows(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.bin") as file:
        file.write(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.bin", "plain")}
    assert len(modes) == 1


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "step-1"
    with pytest.raises(RuntimeError), folder(target) as inside:
        (inside / "a").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with folder(target) as inside:
        (inside / "a").write_text("whole")
        assert not target.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]
    assert (target / "a").read_text() == "whole"


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_flush_that_fails_says_what_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "metrics.jsonl"
    file.write_bytes(bytes(1234))
    sync(file)
    monkeypatch.setattr(os, call, fails)
    with pytest.raises(
        WriteError, match=r"metrics\.jsonl: No space left.*: 1,234 bytes were needed"
    ) as error:
        sync(file)
    assert (error.value.exit_code, error.value.errno) == (74, errno.ENOSPC)
