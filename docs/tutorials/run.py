"""Run a tutorial: its python blocks, top to bottom, in one namespace and in the folder where figures go.

    python docs/tutorials/run.py                      # rewrites docs/tutorials/figures
    python docs/tutorials/run.py --out FOLDER         # leaves the docs alone

A `text` block holds what the python block above it prints. It must be what is printed: the same words and
whole numbers; decimals may differ a little, because processors round differently and training amplifies that.
Times are those of the processor.
"""

import argparse
import contextlib
import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
RELATIVE, ABSOLUTE = 0.05, 0.005  # how far a decimal may be from the one quoted


@dataclass(frozen=True)
class Block:
    """Python code, the line of the tutorial it starts on, and what it is said to print (None: unsaid)."""

    code: str
    line: int
    quoted: str | None = None


def blocks(tutorial: str) -> list[Block]:
    """The python blocks of a tutorial, in order. Raises ValueError for output that follows no code."""
    found: list[Block] = []
    for match in BLOCK.finditer(tutorial):
        kind, body = match.groups()
        line = tutorial.count("\n", 0, match.start(2)) + 1
        if kind == "python":
            found.append(Block(body, line))
        elif not found or found[-1].quoted is not None:
            raise ValueError(f"line {line}: a text block without a python block of its own above it")
        else:
            found[-1] = Block(found[-1].code, found[-1].line, body)
    return found


def figures(tutorial: str) -> list[str]:
    """The files that the tutorial shows."""
    return FIGURE.findall(tutorial)


def agree(quoted: str, printed: str) -> bool:
    """Whether what is quoted is what was printed: words exactly, decimals nearly."""
    pairs = list(zip(NUMBER.findall(quoted), NUMBER.findall(printed), strict=False))
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (quoted, printed)]
    return words[0] == words[1] and all(_near(*pair) for pair in pairs)


def _near(quoted: str, printed: str) -> bool:
    if "." not in quoted or "." not in printed:
        return quoted == printed
    return abs(float(printed) - float(quoted)) <= max(ABSOLUTE, RELATIVE * abs(float(quoted)))


def run(path: Path, out: Path) -> Iterator[tuple[Block, float, str]]:
    """Execute the tutorial in the folder `out`; yields each block, its processor seconds and what it printed.

    Raises RuntimeError where a block prints something else than is quoted, or a figure was not written.
    """
    text, space, began = path.read_text(encoding="utf-8"), {"__name__": "__tutorial__"}, time.time()
    with contextlib.chdir(out):
        for block in blocks(text):
            clock = time.process_time()
            printed = _execute(block, path, space)
            yield block, time.process_time() - clock, printed
            if block.quoted is not None and not agree(block.quoted, printed):
                said = f"is said to print\n{block.quoted}but prints\n{printed}"
                raise RuntimeError(f"{path}:{block.line} {said}")
        for name in figures(text):
            if not Path(name).is_file() or Path(name).stat().st_mtime < began - 2:
                raise RuntimeError(f"{path} shows {name}, which it does not write")


def _execute(block: Block, path: Path, space: dict[str, Any]) -> str:
    """What the code prints; the lines of a traceback are those of the tutorial."""
    code = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, space)
    return out.getvalue()


def main() -> None:
    """Run the tutorials that are named, or all."""
    parser = argparse.ArgumentParser(description="run the python blocks of tutorials")
    parser.add_argument("tutorials", nargs="*", type=Path, default=sorted(HERE.glob("*.md")))
    parser.add_argument("--out", type=Path, default=HERE, help="where figures/ goes")
    given = parser.parse_args()
    for path in given.tutorials:
        total = 0.0
        for block, seconds, printed in run(path.resolve(), given.out.resolve()):
            total += seconds
            print(f"# {path.name}:{block.line}  {seconds:.1f} s\n{printed}", end="", flush=True)
        print(f"# {path.name}: {total:.1f} s")


if __name__ == "__main__":
    main()
