"""The tutorial of posteriors runs as it stands, its assertions hold, and the docs have what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
PAGE = FOLDER / "posteriors.md"
SHOWN = re.compile(r"(?:\]\(|src=\")(figures/[\w.-]+)")
LARGEST = 150_000  # bytes of a figure
ELSEWHERE = {"figures/shirt.png"}  # made with a run of Fashion-MNIST, as the page says


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_posteriors(tmp_path: Path) -> None:
    """In an empty folder, warnings being errors; in a process of its own, since it sets PyTorch's threads."""
    surroundings = {name: value for name, value in os.environ.items() if name != "FASHION"}
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / "run.py", PAGE, "--out", tmp_path],
        env=surroundings | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    shown = set(SHOWN.findall(PAGE.read_text(encoding="utf-8")))
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert shown > ELSEWHERE and written == shown - ELSEWHERE
    assert all((FOLDER / name).stat().st_size < LARGEST for name in shown)  # and the docs have them
    (seconds,) = re.findall(r"# posteriors\.md: ([\d.]+) s$", done.stdout.strip())
    assert float(seconds) < 150  # of the processor: 35 to 55 on the development machine
