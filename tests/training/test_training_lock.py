"""One writer a run, whatever becomes of it."""

import errno
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from undiffuse.enclosure import LinkError, MovedError
from undiffuse.files import append
from undiffuse.training import BusyError, Lock, lock

HOLD = "import sys, time; from pathlib import Path; from undiffuse.training.lock import Lock; "
HOLD += "held = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def test_the_second_is_told_of_the_first(tmp_path: Path):
    first = Lock(tmp_path / "run")
    with pytest.raises(BusyError, match=rf"in use by process {os.getpid()} on .+, started \d{{4}}-") as error:
        Lock(tmp_path / "run")
    assert error.value.exit_code == 75
    first.release()
    Lock(tmp_path / "run")


def test_it_ends_with_the_process_and_its_children_do_not_keep_it(tmp_path: Path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=f"process {holder.pid} "):
        Lock(tmp_path)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    mine, (ready, say) = Lock(tmp_path), os.pipe()
    child = os.fork()
    if child == 0:  # would keep the lock if it had its handle
        os.write(say, b"x")
        time.sleep(60)
    os.read(ready, 1)
    mine.release()
    Lock(tmp_path)
    os.kill(child, 9)
    os.waitpid(child, 0)
    for handle in (ready, say):
        os.close(handle)


def test_a_lock_that_was_removed_lets_nobody_in(tmp_path: Path):
    held = Lock(tmp_path)
    held.path.unlink()
    with pytest.raises(BusyError, match="in use by another process"):
        Lock(tmp_path)
    held.release()
    again = Lock(tmp_path)
    assert str(os.getpid()) in again.path.read_text()


def test_where_no_folder_can_be_locked_the_file_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = lock.lock_descriptor

    def files_alone(handle: int, *, blocking: bool) -> bool:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        return real(handle, blocking=blocking)

    monkeypatch.setattr(lock, "lock_descriptor", files_alone)
    held = Lock(tmp_path)
    with pytest.raises(BusyError, match=f"process {os.getpid()}"):
        Lock(tmp_path)
    append(tmp_path / "log", "line")
    held.path.unlink()
    with pytest.raises(MovedError, match="no longer the folder that this process has locked"):
        append(tmp_path / "log", "line")
    assert (tmp_path / "log").read_text() == "line"


def test_what_is_locked_is_a_plain_file_of_its_own(tmp_path: Path):
    theirs, folder = tmp_path / "theirs", tmp_path / "run"
    theirs.write_text("not to be cut off")
    folder.mkdir()
    for link in (Path.symlink_to, Path.hardlink_to):
        link(folder / ".lock", theirs)
        with pytest.raises(LinkError, match=r"\.lock: (a link|has another name)"):
            Lock(folder)
        (folder / ".lock").unlink()
    os.mkfifo(folder / ".lock")
    with pytest.raises(ValueError, match=r"\.lock: no plain file"):
        Lock(folder)
    assert theirs.read_text() == "not to be cut off"


def test_one_that_has_not_written_its_name_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    held = Lock(tmp_path)
    held.path.write_text("")
    monkeypatch.setattr("undiffuse.training.lock.PATIENCE", 0.01)
    with pytest.raises(BusyError, match=re.escape("in use by another process")):
        Lock(tmp_path)
