"""Deliberate bugs that the tests must find: `python -m tools.mutants [WORD ..]`, about twenty minutes.

Each one listed in mutants.txt is put into a copy of the package, on which the tests named beside it are run.
Words choose the bugs in files that have one of them in their name. Exits with 1 if a bug survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
OUTCOMES = {0: "survived", 1: "caught"}  # by pytest's exit code; with any other, nothing was tested
OPTIONS = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:xdist"]


class Mutant(NamedTuple):
    """The file below src/undiffuse, its code, the bug in its place, and test files below tests/."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def listed() -> Iterator[Mutant]:
    """The bugs of mutants.txt."""
    file, old, tests = "", "", ()
    for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
        sign, text = line[:2], line[2:]
        if sign == "@ ":
            file, *names = text.split()
            tests = tuple(names)
        elif sign == "- ":
            old = text
        elif sign == "+ ":
            yield Mutant(file, old, text, tests)


def outcome(mutant: Mutant, package: Path) -> str:
    """What the tests make of the bug, which is in the copy of the package only meanwhile."""
    path = package / mutant.file
    code = path.read_text()
    if code.count(mutant.old) != 1:
        return f"stands there {code.count(mutant.old)} times"
    path.write_text(code.replace(mutant.old, mutant.new))
    try:
        return OUTCOMES.get(tested(mutant.tests, package.parent), "not tested")
    finally:
        path.write_text(code)


def tested(tests: tuple[str, ...], source: Path) -> int:
    """pytest's exit code for these test files, with the package that is in the folder `source`."""
    paths = [str(ROOT / "tests" / name) for name in tests]
    env = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *paths]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True).returncode


def main(words: list[str]) -> int:
    """Try every bug that was asked for; 1 if one is not caught."""
    chosen = [each for each in listed() if not words or any(word in each.file for word in words)]
    caught = 0
    with tempfile.TemporaryDirectory() as folder:
        package = Path(shutil.copytree(ROOT / "src" / "undiffuse", Path(folder) / "undiffuse"))
        for mutant in chosen:
            began = time.perf_counter()
            found = outcome(mutant, package)
            caught += found == "caught"
            seconds = time.perf_counter() - began
            print(f"{found:8} {seconds:4.0f} s  {mutant.file}: {mutant.new.strip()}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
