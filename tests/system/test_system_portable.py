"""Systems that lack what Linux has: the same commands in a process from which the names are taken away."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shell import CHAIN, POINTS

TAKEN = """
import fcntl, json, mmap, os, shutil, signal, sys
import matplotlib.pyplot, multiprocessing.popen_spawn_posix, numpy, PIL.Image, pydantic, rich.progress, torch
import torch.distributed, torch.utils.data, typer.rich_utils

LINUX = "sched_getaffinity sched_setaffinity process_cpu_count posix_fadvise posix_fallocate"
FOLDERS = "O_CLOEXEC O_NOFOLLOW O_DIRECTORY O_NONBLOCK register_at_fork fork getuid mkfifo statvfs"
SIGNALS = "SIGHUP SIGUSR1 SIGUSR2 SIGKILL SIGCHLD SIGALRM pthread_sigmask pthread_kill setitimer"
getfl, real = fcntl.fcntl, (os.open, os.fsync)


def take(module, names):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)


def opened(path, flags, mode=0o777, *, dir_fd=None):
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    if flags & os.O_CREAT and not flags & os.O_BINARY and not str(path).endswith((".lock", ".tmp", ".jsonl")):
        raise AssertionError(f"{path}: written as text")  # the endings: by io.FileIO, which adds O_BINARY
    return real[0](path, flags & ~os.O_BINARY, mode)


def flushed(handle):
    if not getfl(handle, 3) & 3:
        raise OSError(9, "Bad file descriptor")  # FlushFileBuffers wants a handle to write with
    real[1](handle)


import filelock  # has calls of its own for every system

take(os, LINUX)
if sys.argv.pop(1) == "Windows":
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    take(os, FOLDERS)
    take(signal, SIGNALS)
    take(mmap, "MADV_RANDOM")
    shutil._use_fd_functions = False
    os.open, os.fsync, os.supports_dir_fd, os.O_BINARY = opened, flushed, set(), 1 << 30

from undiffuse import *
from undiffuse.cli import main

for words in json.loads(sys.argv.pop(1)):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as leaving:
        if leaving.code:
            raise
"""


@pytest.mark.parametrize("system", ["Windows", "macOS"])
def test_training_and_sampling_without_what_linux_alone_has(system: str, tmp_path: Path):
    run = str(tmp_path / "run")
    small = [*POINTS, *CHAIN, "train.checkpoint_every=1", "train.evaluate_every=0", "train.sample_every=0"]
    train = ["train", *small, "train.steps=3", "--out", run]
    sample = ["sample", run, "-n", "4", "--steps", "2", "--out", str(tmp_path / "a.npy")]
    words = json.dumps([train, ["train", "--resume", run], sample])
    command = [sys.executable, "-c", TAKEN, system, words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "already trained: 3 of 3 steps" in done.stdout and (tmp_path / "a.npy").exists()
