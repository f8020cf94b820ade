"""Deliberate bugs that the tests must find: `python -m tools.mutants [WORD ..]`, minutes on one core.

Each one listed in mutants.txt is put into a copy of the package, on which the tests named beside it are run.
Words choose the bugs in files that have one of them in their name. Exits with 1 if a bug is not caught.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
OUTCOMES = {0: "survived", 1: "caught"}  # by pytest's exit code; with any other, nothing was tested
OPTIONS = ["-x", "-q", "--tb=no", "--timeout=100", "-p", "no:xdist"]
SLOW = ("torch", "torch._dynamo", "scipy.integrate", "scipy.stats")  # imported once for all


class Mutant(NamedTuple):
    """The file below src/undiffuse, its code, the bug in its place, and test files below tests/."""

    file: str
    old: str
    new: str
    tests: list[str]


def listed() -> Iterator[Mutant]:
    """The bugs of mutants.txt."""
    file, old, tests = "", "", list[str]()
    for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
        sign, text = line[:2], line[2:]
        if sign == "@ ":
            file, *tests = text.split()
        elif sign == "- ":
            old = text
        elif sign == "+ ":
            yield Mutant(file, old, text, tests)


def outcome(mutant: Mutant, package: Path) -> str:
    """What the tests make of the bug, which is in the copy of the package only meanwhile."""
    path = package / mutant.file
    code = path.read_text()
    if code.count(mutant.old) != 1:
        return f"there {code.count(mutant.old)} times"
    path.write_text(code.replace(mutant.old, mutant.new))
    try:
        return OUTCOMES.get(tested(mutant.tests, package.parent), "not tested")
    finally:
        path.write_text(code)


def tested(tests: list[str], source: Path) -> int:
    """pytest's exit code for these test files, with the package that is in the folder `source`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        sys.path.insert(0, str(source))
        os.environ["PYTHONPATH"] = str(source)
        code = pytest.main([*OPTIONS, *(str(ROOT / "tests" / name) for name in tests)])
    finally:
        os._exit(code)


def main(words: list[str]) -> int:
    """Try every bug that was asked for; 1 if one is not caught."""
    chosen = [each for each in listed() if not words or any(word in each.file for word in words)]
    sys.dont_write_bytecode, caught = True, 0  # of a bug, which would outlive it
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in SLOW:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        leave = shutil.ignore_patterns("__pycache__")
        package = Path(shutil.copytree(ROOT / "src" / "undiffuse", Path(folder) / "undiffuse", ignore=leave))
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
