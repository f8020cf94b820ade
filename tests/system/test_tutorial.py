"""The tutorial runs as it stands, prints what it says it prints, and writes what it shows."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
RUN = FOLDER / "run.py"
LARGEST = 150_000  # bytes of a figure


@pytest.fixture(scope="module")
def tutorials() -> ModuleType:
    """The runner, as a module."""
    spec = importlib.util.spec_from_file_location("tutorials", RUN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_annotated(tutorials: ModuleType, tmp_path: Path) -> None:
    """In an empty folder, warnings being errors; in a process of its own, since it sets PyTorch's threads."""
    page = FOLDER / "annotated.md"
    done = subprocess.run(
        [sys.executable, "-W", "error", RUN, page, "--out", tmp_path],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    shown = tutorials.figures(page.read_text(encoding="utf-8"))
    written = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert shown and set(shown) == set(written)
    assert max(path.stat().st_size for path in written.values()) < LARGEST
    assert all((FOLDER / name).is_file() for name in shown)  # and the docs have them
    (seconds,) = re.findall(r"# annotated\.md: ([\d.]+) s$", done.stdout.strip())
    assert float(seconds) < 90  # of the processor: about 45 on the development machine


@pytest.mark.slow
def test_tables(tmp_path: Path) -> None:
    """From `read_csv` to filled holes, as it stands."""
    done = subprocess.run(
        [sys.executable, "-W", "error", RUN, FOLDER / "tables.md", "--out", tmp_path],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (seconds,) = re.findall(r"# tables\.md: ([\d.]+) s$", done.stdout.strip())
    assert float(seconds) < 150  # of the processor: about 40 on the development machine


def test_blocks_know_their_lines_and_output(tutorials: ModuleType) -> None:
    text = "one\n```python\nprint(1)\n```\n\n```text\n1\n```\n```python\nx = 2\n```\n```sh\nls\n```\n"
    first, second = tutorials.blocks(text)
    assert (first.code, first.line, first.quoted) == ("print(1)\n", 3, "1\n")
    assert (second.code, second.line, second.quoted) == ("x = 2\n", 10, None)
    with pytest.raises(ValueError, match="line 2: a text block without"):
        tutorials.blocks("```text\n1\n```\n")


def test_agree(tutorials: ModuleType) -> None:
    assert tutorials.agree("loss  2.00 of 3\n", "loss 2.09 of 3\n")
    assert not tutorials.agree("loss 2.00", "loss 2.11")
    assert not tutorials.agree("3 steps", "4 steps")
    assert not tutorials.agree("2.00", "2")
    assert not tutorials.agree("2.00 bits", "2.00 nats")
    assert not tutorials.agree("1 2", "1")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_one_namespace(tutorials: ModuleType, tmp_path: Path) -> None:
    page = write(tmp_path / "page.md", "```python\nx = 2\n```\n```python\nprint(x)\n```\n```text\n2\n```\n")
    printed = [text for _, _, text in tutorials.run(page, tmp_path)]
    assert printed == ["", "2\n"]


def test_other_output_is_refused(tutorials: ModuleType, tmp_path: Path) -> None:
    page = write(tmp_path / "page.md", "```python\nprint(1)\n```\n```text\n2\n```\n")
    with pytest.raises(RuntimeError, match=r"page\.md:2 is said to print"):
        list(tutorials.run(page, tmp_path))


def test_figure_not_written_is_refused(tutorials: ModuleType, tmp_path: Path) -> None:
    page = write(tmp_path / "page.md", "```python\nx = 1\n```\n![a figure](figures/a.png)\n")
    with pytest.raises(RuntimeError, match=r"shows figures/a\.png"):
        list(tutorials.run(page, tmp_path))


def test_traceback_has_the_line_of_the_page(tutorials: ModuleType, tmp_path: Path) -> None:
    page = write(tmp_path / "page.md", "one\n```python\nx = 1\nx / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as found:
        list(tutorials.run(page, tmp_path))
    assert found.traceback[-1].path == page and found.traceback[-1].lineno == 3  # counted from 0
