"""The quick tier of tools/faults, thinned further: every check, a few times each."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = (
    *("kills", "points", "flushes", "failures", "sizes", "full", "flips", "cuts", "older", "clocks"),
    *("signals", "twice", "starts", "recipes", "nonfinite", "spikes", "sampling", "evaluating", "data"),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not hasattr(os, "fork") or not (ROOT / "tools").is_dir(), reason="forks, in a checkout")
def test_every_check_holds(tmp_path: Path):
    import subprocess

    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "tools.faults", "--quick"],
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert [
        line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("ok")
    ] == list(CHECKS)
