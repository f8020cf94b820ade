"""One command on several processes: those that torchrun started, or that `--processes N` starts.

Every process runs the same command; the first of them alone prints, draws bars and writes.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from undiffuse.cli.console import device_of
from undiffuse.cli.launching import launch

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
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of GPUs: without one PyTorch need not be asked
LONG = timedelta(days=1)  # that processes wait for one which draws a shard more than they


def leave(code: int) -> NoReturn:
    """End this process; at once if it is one of several.

    After an error their connections end in disorder; after none PyTorch's threads may, by SIGABRT.
    """
    if "WORLD_SIZE" in os.environ:
        _end(code)
    sys.exit(code)


def _end(code: int) -> NoReturn:
    """Without taking PyTorch down in order, which takes a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def sharing(
    count: int | None, device: str, patience: timedelta | None = None
) -> "Iterator[tuple[torch.device, Processes]]":
    """This process's device, and the processes that share the work; `patience` is theirs with one another.

    With a count, and not yet one of them, it starts them, waits, and leaves with their exit code.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if count is not None and "WORLD_SIZE" not in os.environ:
        _check(count, device)
        if count > 1:
            _end(launch(count))
    from undiffuse.processes import ALONE, PATIENCE, grouped

    if size == 1:
        yield device_of(device), ALONE
        return
    here = device_of(_numbered(device))
    advice = "run the command again: it goes on where it stopped"
    with grouped(here, patience or PATIENCE) as processes, processes.watched(advice):
        yield here, processes


def _check(count: int, device: str) -> None:
    """Raise ValueError for a number of processes that cannot be started."""
    if count < 1:
        raise ValueError(f"{OPTION} {count}: at least one")
    if count == 1 or device == "cpu" or not any(map(os.path.exists, DRIVERS)):
        return
    import torch

    cuda = torch.cuda.device_count()
    if cuda and count > cuda:
        raise ValueError(f"{OPTION} {count}: a process needs a GPU of its own, there are {cuda}")


def _numbered(device: str) -> str:
    """Of several GPUs, this process's. Raises ValueError for one GPU that all would share."""
    import torch

    if device.startswith("cuda:"):
        raise ValueError(f"--device {device}: each process takes a GPU of its own; leave the number out")
    if device.startswith("mps"):
        raise ValueError(f"--device {device}: one process has it; use --device cpu for several")
    if device != "cpu" and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "cpu" if device == "auto" else device
