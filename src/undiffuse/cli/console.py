"""What the verbs share: progress with an estimated end, devices, one-line errors."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from undiffuse.cli.options import DEVICES
from undiffuse.memory import asked, out_of_memory
from undiffuse.signals import Signals

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from undiffuse.track import Track

MEMORY = (
    "train with train.accumulate=2 (the same batch in two parts), 4, .., or train.halve_on_oom=true, which "
    "finds the number; or with a smaller train.batch or network; a run goes on from its last checkpoint with "
    "another train.accumulate in its recipe.yaml"
)

LOG = logging.getLogger("undiffuse")
SWITCHES = ("-q", "--quiet", "-v", "--verbose", "--debug")  # of all verbs, wherever they stand
CHATTER = logging.INFO + 5  # bars, and what is chosen and announced: between what -v adds and warnings


class Echo(logging.Handler):
    """Records of the logger as lines on standard error, where bars leave room for them."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        typer.echo(level + printable(" ".join(record.getMessage().split())), err=True)


def listen(quiet: bool, verbose: bool) -> None:
    """Show what the library logs: warnings, with `verbose` also what it reads and writes."""
    LOG.handlers = [Echo()]
    LOG.setLevel(logging.INFO if verbose else logging.WARNING if quiet else CHATTER)


def quiet() -> bool:
    """Whether only results, warnings and errors are wanted."""
    return LOG.getEffectiveLevel() > CHATTER if LOG.handlers else False


def follows() -> bool:
    """Whether another process of this command is the first, which alone prints and draws."""
    return os.environ.get("RANK", "0") != "0"


def failed(error: Any, code: int) -> int:
    """Print one line to standard error; returns the exit code."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    line = " ".join(text.split()) or type(error).__name__
    typer.echo(f"undiffuse: {printable(line)}", err=True)
    return code


def explained(error: Exception) -> "tuple[Any, int]":
    """What to say of an error, and the exit code: its own, 2 for bad input, 1 for what went wrong here."""
    if out_of_memory(error):
        need = f": {asked(error)} could not be had" if asked(error) else ""
        return f"out of memory{need}; {MEMORY}", 71  # EX_OSERR of sysexits.h
    bad_input = isinstance(error, (ValueError, OSError, ImportError))
    return error, int(getattr(error, "exit_code", 2 if bad_input else 1))


def printable(text: str) -> str:
    """The text without control characters, which a file's name could carry into the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def device_of(name: str) -> "torch.device":
    """The device of this name. Raises ValueError for one that is not here."""
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in here if here[kind]))
    kind = name.partition(":")[0]
    if kind not in here:
        raise ValueError(f"--device {name}: choose {DEVICES}")
    if not here[kind]:
        of = {"cuda": "CUDA device", "mps": "GPU of Apple's"}[kind]
        raise ValueError(f"--device {name}: this machine has no {of}; use --device cpu")
    try:
        device = torch.device(name)
        torch.zeros((), device=device)
    except RuntimeError as error:
        raise ValueError(f"--device {name}: there is no such device; choose {DEVICES}") from error
    return device


def progress(*columns: str, silent: bool = False) -> "Progress":
    """A progress bar with the given extra fields, elapsed time and the time left; plain lines in a file."""
    from undiffuse.cli.bars import bar_of

    return bar_of(*columns, quiet=silent or follows() or quiet())


def answered(bar: "Progress", patience: float = 0.0) -> Signals:
    """Signals that are answered where the bar is."""

    def say(line: str) -> None:
        bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    return Signals(patience, say)


@contextmanager
def tracked(description: str) -> "Iterator[Track]":
    """A track that is shown as a bar, and another for each stage; the first report begins it."""
    from undiffuse.track import Track

    with progress() as bar:
        tasks: dict[str, Any] = {}

        def show_share(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage or description, total=1.0, percent=True)
            bar.update(tasks[stage], completed=share)

        yield Track(show_share)


def table(*columns: str, title: str | None = None) -> Any:
    """A plain table; numbers to the right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in columns:
        justify: Any = "right" if name.startswith(">") else "left"
        made.add_column(name.lstrip(">"), justify=justify, overflow="fold")
    return made


def show(renderable: Any) -> None:
    """Print a table or text to standard output, brackets and all."""
    from rich.console import Console

    Console(markup=False, emoji=False).print(
        renderable, soft_wrap=isinstance(renderable, str), highlight=False
    )


def duration(seconds: float) -> str:
    """A time, in the unit that fits."""
    for unit, size, most in (("seconds", 1, 90), ("minutes", 60, 90), ("hours", 3600, 48)):
        if seconds < size * most:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds / 86400:.2g} days"
