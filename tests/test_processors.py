"""How many cores there are to use: masks, quotas of both versions, threads of a core, and what others use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from undiffuse import processors
from undiffuse.cli import threads
from undiffuse.processors import Moment, available, busy


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine of files: eight processors, no limits."""
    monkeypatch.setattr(processors, "_mask", lambda: set(range(8)))
    for name in ("STAT", "OWN", "GROUPS", "TOPOLOGY"):
        monkeypatch.setattr(processors, name, tmp_path / name)

    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    return write


def test_a_machine_without_limits(machine):
    assert available() == 8
    machine("OWN", "0::/\n")
    machine("GROUPS/cpu.max", "max 100000\n")
    assert available() == 8


def test_threads_of_one_core_count_once(machine):
    for number in range(8):
        machine(f"TOPOLOGY/cpu{number}/topology/thread_siblings_list", f"{number % 4},{number % 4 + 4}\n")
    assert available() == 4


@pytest.mark.parametrize(("text", "cores"), [("300000 100000", 3), ("250000 100000", 3), ("50000 100000", 1)])
def test_a_quota(machine, text: str, cores: int):
    """Of this group, or of one around it."""
    machine("OWN", "0::/pods/mine\n")
    machine("GROUPS/pods/cpu.max", text)
    machine("GROUPS/pods/mine/cpu.max", "600000 100000\n")
    assert available() == cores


@pytest.mark.parametrize(("quota", "cores"), [(200_000, 2), (-1, 8)])
def test_a_quota_of_version_1(machine, quota: int, cores: int):
    machine("OWN", "1:cpu:/\n0::/\n")
    machine("GROUPS/cpu/cpu.cfs_quota_us", str(quota))
    machine("GROUPS/cpu/cpu.cfs_period_us", "100000")
    assert available() == cores


@pytest.mark.parametrize("text", ["", "nonsense", "1 0 3", "x y"])
def test_a_limit_that_cannot_be_read_is_none(machine, text: str):
    machine("OWN", "0::/\nnonsense\n")
    machine("GROUPS/cpu.max", text)
    assert available() == 8


def test_what_others_use(machine):
    """Two of the mask's processors at work, one of them by this process; one that is not in the mask."""
    ticks = os.sysconf("SC_CLK_TCK")
    zero, work = "0 0 0 {} 0 0 0 0 0 0", "{} 0 0 0 0 0 0 0 0 0"

    def rows(seconds: int) -> str:
        worked = {0: work, 3: work, 9: work}
        return (
            "".join(f"cpu{i} {worked.get(i, zero).format(seconds * ticks)}\n" for i in range(12)) + "intr 1\n"
        )

    machine("STAT", rows(100))
    since = Moment(at=time.monotonic() - 10, own=time.process_time() - 10)
    machine("STAT", rows(110))
    assert busy(since) == pytest.approx(1.0, rel=0.01)
    machine("STAT", "damaged")
    assert busy(since) == 0


def test_this_machine():
    assert 1 <= available() <= (os.cpu_count() or 1)
    assert 0 <= busy(Moment()) <= (os.cpu_count() or 1) + 1


CODE = """
from undiffuse import processors
from undiffuse.cli import threads
threads.available = lambda: {cores}
threads.busy = lambda since: {taken}
threads.os.cpu_count = lambda: 4
threads.prepare(processors.Moment(), ["train"])
import os
print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("GOMP_SPINCOUNT"))
threads.divide(2)
print(os.environ["OMP_NUM_THREADS"])
"""


@pytest.mark.parametrize(
    ("cores", "taken", "given", "expected"),
    [
        (4, 0.2, {}, "None 20000\n2"),
        (4, 0.9, {}, "3 20000\n1"),
        (4, 6.0, {}, "1 20000\n1"),
        (2, 0.0, {}, "2 20000\n1"),
        (4, 1.1, {"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "active"}, "4 None\n4"),
        (4, 0.0, {"GOMP_SPINCOUNT": "100"}, "None 100\n2"),
    ],
)
def test_as_many_threads_as_are_free(cores: int, taken: float, given: dict[str, str], expected: str):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    code = CODE.format(cores=cores, taken=taken)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == expected


def test_once_torch_is_loaded_nothing_is_set(monkeypatch: pytest.MonkeyPatch):
    import torch  # noqa: F401

    before = dict(os.environ)
    monkeypatch.setattr(threads, "busy", lambda since: 100.0)
    threads.prepare(Moment(), ["train"])
    assert dict(os.environ) == before
