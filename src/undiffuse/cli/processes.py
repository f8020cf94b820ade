"""One command on several processes: those that torchrun started, or that `--processes N` starts.

Every process runs the same command; the first of them alone prints, draws bars and writes.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from undiffuse.cli.console import device_of
from undiffuse.cli.threads import THREADS
from undiffuse.processors import available

if TYPE_CHECKING:
    import torch

    from undiffuse.processes import Processes

Count = Annotated[
    int | None,
    typer.Option(
        "--processes",
        help="Share the work between so many processes on this machine (torchrun's, if it ran).",
    ),
]
OPTION = "--processes"
GRACE = 600  # seconds to save in after a signal
LONG = timedelta(days=1)  # that processes wait for one which draws a shard more than they


def leave(code: int) -> NoReturn:
    """End this process; at once if it is one of several: after an error their connections end in disorder."""
    if "WORLD_SIZE" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@contextmanager
def sharing(
    count: int | None, device: str, patience: timedelta | None = None
) -> "Iterator[tuple[torch.device, Processes]]":
    """This process's device, and the processes that share the work; `patience` is theirs with one another.

    With a count, and not yet one of them, it starts them, waits, and leaves with their exit code.
    """
    from undiffuse.processes import ALONE, PATIENCE, grouped

    size = int(os.environ.get("WORLD_SIZE", "1"))
    if count is not None and "WORLD_SIZE" not in os.environ:
        _check(count, device)
        if count > 1:
            sys.exit(_launch(count))
    if size == 1:
        yield device_of(device), ALONE
        return
    here = device_of(_numbered(device))
    advice = "run the command again: it goes on where it stopped"
    with grouped(here, patience or PATIENCE) as processes, processes.watched(advice):
        yield here, processes


def _check(count: int, device: str) -> None:
    """Raise ValueError for a number of processes that cannot be started."""
    import torch

    cuda = 0 if device == "cpu" else torch.cuda.device_count()
    if count < 1:
        raise ValueError(f"{OPTION} {count}: at least one")
    if count == 1:
        return
    if cuda and count > cuda:
        raise ValueError(f"{OPTION} {count}: a process needs a GPU of its own, there are {cuda}")


def _numbered(device: str) -> str:
    """Of several GPUs, this process's. Raises ValueError for one GPU that all would share."""
    import torch

    if device.startswith("cuda:"):
        raise ValueError(f"--device {device}: each process takes a GPU of its own; leave the number out")
    if device != "cpu" and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device


def _launch(count: int) -> int:
    """Run this command by torchrun's launcher; returns the exit code of the first process that failed."""
    import logging
    import uuid

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.run"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the processes explain themselves
    os.environ.setdefault(THREADS, str(max(1, available() // count)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(GRACE))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
    )
    command: Any = elastic_launch(config, sys.executable)
    try:
        command("-m", "undiffuse", *sys.argv[1:])
    except SignalException as signalled:
        return 128 + int(signalled.sigval)
    except ChildFailedError as error:
        by = {rank: -failure.exitcode for rank, failure in error.failures.items()}
        # A SIGTERM is the launcher's own, after another one has failed.
        killed = {rank: number for rank, number in by.items() if number > 0 and number != signal.SIGTERM}
        for rank, number in killed.items():
            typer.echo(f"undiffuse: process {rank} was killed by signal {number}", err=True)
        first = int(error.get_first_failure()[1].exitcode)
        return 75 if killed else first if first > 0 else 128 - first
    return 0
