"""Shared by all tests: one seed, one thread's arithmetic, no network, helpers importable as `oracles`."""

import gc
import signal
import sys
from collections import defaultdict
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make test-fast` asks for."""
    parser.addoption("--few", type=int, metavar="N", help="at most N cases of a test, the first and the last")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test's cases, which lie between its first and its last, so many are left, evenly spread."""
    most, cases = config.getoption("--few"), defaultdict(list)
    if most is None:
        return
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    places = [i / max(1, most - 1) for i in range(most)]
    kept = {each[round(place * (len(each) - 1))] for each in cases.values() for place in places}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def pytest_collection_finish() -> None:
    """What was imported and collected stays: it is not looked through for garbage again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """A test that asked for another machine fails."""
    yield
    network.judge()
