"""The command line without a new process for every command."""

import contextlib
import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from undiffuse.cli import main

POINTS = ["swiss-roll", "data.train=200", "data.test=40", "network.hidden=8", "network.layers=1"]
UNET = ["network.channels=4", "network.multipliers=[1, 2]", "network.blocks=1", "network.attention=[]"]
CHAIN = ["grid.steps=12", "train.batch=16", "train.warmup=2"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def undiffuse(*arguments: object) -> Result:
    """Run `undiffuse ARGUMENTS` here; what it printed, and its exit code."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    words = ["undiffuse", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return Result(code, out.getvalue(), err.getvalue())


def good(*arguments: object) -> str:
    """What a command that must succeed printed."""
    result = undiffuse(*arguments)
    assert result.code == 0, result.err
    return result.out


def train(out: Path, recipe: Iterable[str] = POINTS, *changes: str) -> Path:
    """A run with a short chain, trained for 6 steps unless told."""
    good("train", *recipe, *CHAIN, "train.steps=6", *changes, "--out", out)
    return out


def refused(*arguments: object, code: int = 2) -> str:
    """The one line on standard error of a command that must fail."""
    result = undiffuse(*arguments)
    assert result.code == code, result
    assert "Traceback" not in result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("undiffuse: ")
    return result.err.removeprefix("undiffuse: ").removesuffix("\n")


def refused_last(*arguments: object, code: int) -> str:
    """The last line of what a command that must fail printed; a bar came before."""
    result = undiffuse(*arguments)
    assert result.code == code, result
    assert "Traceback" not in result.err
    return result.err.strip().rpartition("undiffuse: ")[2]


def tree(folder: Path) -> set[str]:
    """Everything below a folder, hidden and temporary files too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
