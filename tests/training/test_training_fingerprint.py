"""The canary sings the same here, and differently where rounding differs."""

import os
import subprocess
import sys

import pytest
import torch

from undiffuse.training import canary, fingerprint

SING = "import torch; torch.set_num_threads({}); from undiffuse.training import canary; print(canary())"


def elsewhere(threads: int, **flags: str) -> str:
    words = [sys.executable, "-c", SING.format(threads)]
    return subprocess.run(
        words, env=os.environ | flags, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_it_is_the_same_again():
    here = fingerprint()
    assert here["canary"] == canary() == elsewhere(torch.get_num_threads())
    assert here["threads"] == torch.get_num_threads()


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="no vector instructions")
def test_other_instructions_and_threads_are_heard():
    threads = torch.get_num_threads()
    heard = {canary(), elsewhere(threads + 1), elsewhere(threads, ATEN_CPU_CAPABILITY="default")}
    assert len(heard) == 3
