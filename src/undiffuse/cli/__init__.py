"""The command line: one verb a file; torch is imported only inside commands, so that help is instant."""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

import typer

from undiffuse.cli import (
    calibrate,
    check,
    compare,
    compress,
    datasets,
    decompress,
    demo,
    denoise,
    distances,
    distill,
    doctor,
    evaluate,
    export,
    import_,
    impute,
    info,
    inpaint,
    inspect_,
    interpolate,
    optimal_variance,
    parzen,
    rate_distortion,
    recipes,
    reproduce,
    restore,
    sample,
    score,
    solvers,
    train,
)
from undiffuse.cli.console import SWITCHES, explained, failed, follows, listen
from undiffuse.cli.launching import attend
from undiffuse.cli.processes import leave

app = typer.Typer(
    name="undiffuse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    *(train, check, sample, score, inpaint, denoise, restore, impute, interpolate),
    *(evaluate, compare, calibrate, distances, solvers, distill, parzen, optimal_variance),
    *(compress, decompress, inspect_, rate_distortion),
    *(demo, info, doctor, reproduce, recipes, datasets, import_, export),
)
for command in VERBS:
    app.command(epilog=command.EXAMPLES)(command.command)
    name = command.__name__.rpartition(".")[2].rstrip("_")  # import_, inspect_
    app.registered_commands[-1].name = name.replace("_", "-")

BEHIND = 5.0  # seconds that the first of several processes has to say what is wrong with all of them


@app.callback(epilog="Start with: undiffuse train digits --out runs/first")
def about(
    version: bool = typer.Option(False, "--version", "-V", help="Print the version and leave."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No bars and no announcements: results only."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Also say what is read and written."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Diffusion probabilistic models: train them, sample them, and know the bits of your data."""


def main() -> None:
    """The `undiffuse` command.

    Exit codes: 0 done, 1 failed, 2 bad input, 71 out of memory, 74 a file could not be written, 75 the run
    is in use or another process of it is gone, 129, 130 and 143 interrupted.
    """
    arguments = sys.argv[1:]
    if {"--version", "-V"} & set(arguments):
        from undiffuse.version import __version__

        print(f"undiffuse {__version__}")
        return
    debug, words = "--debug" in arguments, {*arguments}
    listen(bool({"-q", "--quiet"} & words), bool({"-v", "--verbose"} & words) and not follows())
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        attend()
    if follows():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    try:
        app([a for a in arguments if a not in SWITCHES], prog_name="undiffuse")
    except SystemExit as leaving:  # typer makes one of Ctrl-C
        if leaving.code == 130:
            failed("interrupted", 130)
        leave(int(leaving.code or 0))
    except (ValueError, OSError, ImportError, ArithmeticError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        _leave(error)


def _leave(error: Exception) -> NoReturn:
    """Say what is wrong, and end; of several processes once, by the one that knows."""
    (text, code), lost = explained(error), getattr(error, "of_another", False)
    if follows() and getattr(error, "said_by_first", False):
        leave(code)
    if follows() and not lost:
        time.sleep(BEHIND)
    failed(text, code)
    if lost:
        time.sleep(2 * BEHIND)  # the one that is gone may have an error to tell, whose code counts
    leave(code)
