"""One writer a run, whatever becomes of it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from undiffuse.training import BusyError, Lock

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


def test_one_that_has_not_written_its_name_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    held = Lock(tmp_path)
    held.path.write_text("")
    monkeypatch.setattr("undiffuse.training.lock.PATIENCE", 0.01)
    with pytest.raises(BusyError, match=re.escape("in use by another process")):
        Lock(tmp_path)
