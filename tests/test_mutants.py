"""The deliberate bugs of `python -m tools.mutants` stand where they say; that tests find them it shows."""

from pathlib import Path

from tools.mutants import listed

ROOT = Path(__file__).parents[1]


def test_what_each_bug_replaces_is_there_once():
    lost = []
    for mutant in listed():
        path = ROOT / "src" / "undiffuse" / mutant.file
        count = path.read_text().count(mutant.old) if path.exists() else 0
        tests = [test for test in mutant.tests if not (ROOT / "tests" / test).exists()]
        if count != 1 or tests or mutant.old == mutant.new:
            lost.append((mutant.file, mutant.old, count, tests))
    assert not lost
