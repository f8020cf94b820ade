"""Shared by all tests: one seed, one thread's arithmetic, no network, helpers importable as `oracles`."""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

import network

settings.register_profile("fixed", derandomize=True, deadline=None, database=None, max_examples=25)
settings.load_profile("fixed")
network.refuse()
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:  # as in the background of a shell, or under nohup
        signal.signal(number, usual)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: it is not looked through for garbage again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """A test that asked for another machine fails."""
    yield
    network.judge()
